//! Deletes a tree, and goes on where something cannot be deleted: the disk is promised to others already.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Uid;

/// The first error is kept. Links are deleted, never followed; somebody who changes the tree meanwhile leads
/// nobody out of it, as each step by name starts in a folder that is ours.
pub fn tree(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    let Err(first) = fs::remove_dir_all(path) else { return Ok(()) };
    let is_ours = metadata.uid() == Uid::effective().as_raw();
    for entry in fs::read_dir(path)?.flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = match (is_directory, is_ours) {
            (true, true) => tree(&path),
            (true, false) => fs::remove_dir_all(&path),
            (false, _) => fs::remove_file(&path),
        };
    }
    // It may have gone by now: what was in the way may have been changing.
    match fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => Err(first),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        fs::create_dir_all(path("tree/deep/er")).unwrap();
        fs::create_dir(path("other")).unwrap();
        fs::write(path("other/file"), "").unwrap();
        symlink(path("other"), path("tree/deep/link")).unwrap();
        tree(&path("tree")).unwrap();
        assert!(!path("tree").exists() && path("other/file").exists());
        symlink(path("other"), path("link")).unwrap();
        tree(&path("link")).unwrap();
        assert!(!path("link").is_symlink() && path("other/file").exists());
        tree(&path("nothing")).unwrap();
    }

    #[test]
    fn what_is_in_the_way_stops_nothing_else() {
        if Uid::effective().is_root() {
            // Nothing stops root but what takes a file system of its own.
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        fs::create_dir_all(path("tree/locked/in")).unwrap();
        fs::create_dir_all(path("tree/free")).unwrap();
        fs::set_permissions(path("tree/locked"), fs::Permissions::from_mode(0o500)).unwrap();
        assert!(tree(&path("tree")).is_err());
        assert!(!path("tree/free").exists() && path("tree/locked/in").exists());
        fs::set_permissions(path("tree/locked"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
