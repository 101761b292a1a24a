//! How much of a disk a sandbox takes (`disk/du`).
//!
//! Source: `DiskUsageCollector`, isolators/posix/disk.cpp 1.11, which runs `du`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Blocks are counted in this, whatever the file system's are.
const BLOCK: u64 = 512;

/// Bytes that are taken in and below a folder, on its own file system only; a file with several names counts once.
/// What goes meanwhile is not counted. Reads every folder there is.
pub fn used(folder: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(folder) else { return 0 };
    let mut used = top.blocks() * BLOCK;
    let mut several = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != top.dev()
                || (!found.is_dir() && found.nlink() > 1 && !several.insert(found.ino()))
            {
                continue;
            }
            used += found.blocks() * BLOCK;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let empty = used(folder.path());
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), vec![1; 1 << 20]).unwrap();
        let full = used(folder.path());
        assert!(full >= empty + (1 << 20) && full < empty + (2 << 20), "{empty} {full}");
        fs::hard_link(folder.path().join("deep/file"), folder.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("all")).unwrap();
        assert!(used(folder.path()) < full + (1 << 16));
        assert_eq!(used(Path::new("/no/such/folder")), 0);
    }
}
