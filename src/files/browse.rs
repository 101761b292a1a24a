//! What a directory holds.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use serde::Serialize;
use tracing::debug;

use crate::proto;

/// One entry, as `/files/browse` writes it. Source: `model(FileInfo)`, common/http.cpp 1.11.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Name of the group, or its number.
    pub gid: String,
    /// As `ls` shows it: `-rw-r--r--`.
    pub mode: String,
    /// Unix time, seconds.
    pub mtime: i64,
    pub nlink: u64,
    /// The virtual path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Name of the user, or its number.
    pub uid: String,
}

/// The entries of a real directory, by name, under its virtual path; nothing for what is no directory, as
/// in Mesos. Links show what they lead to; dangling ones are left out.
pub fn list(real: &Path, virtual_path: &str) -> Vec<FileInfo> {
    listing(real, virtual_path, info)
}

/// As `list`, as the v1 API has it.
pub fn messages(real: &Path, virtual_path: &str) -> Vec<proto::FileInfo> {
    listing(real, virtual_path, message)
}

fn listing<T>(real: &Path, virtual_path: &str, entry_of: fn(String, &Metadata, &mut Names) -> T) -> Vec<T> {
    let Ok(entries) = std::fs::read_dir(real) else { return Vec::new() };
    let mut names = Names::default();
    let virtual_path = virtual_path.trim_end_matches('/');
    let mut listing = Vec::new();
    for entry in entries.flatten() {
        match std::fs::metadata(entry.path()) {
            Ok(metadata) => {
                let name = entry.file_name();
                let path = format!("{virtual_path}/{}", name.to_string_lossy());
                listing.push((name, entry_of(path, &metadata, &mut names)));
            }
            Err(error) => debug!(path = %entry.path().display(), %error, "listed but not readable"),
        }
    }
    listing.sort_by(|a, b| a.0.cmp(&b.0));
    listing.into_iter().map(|(_, entry)| entry).collect()
}

fn message(path: String, metadata: &Metadata, names: &mut Names) -> proto::FileInfo {
    proto::FileInfo {
        path,
        nlink: i32::try_from(metadata.nlink()).ok(),
        size: Some(metadata.size()),
        mtime: Some(proto::TimeInfo { nanoseconds: metadata.mtime().saturating_mul(1_000_000_000) }),
        mode: Some(metadata.mode()),
        uid: Some(names.user(metadata.uid())),
        gid: Some(names.group(metadata.gid())),
    }
}

fn info(path: String, metadata: &Metadata, names: &mut Names) -> FileInfo {
    FileInfo {
        gid: names.group(metadata.gid()),
        mode: mode(metadata.mode()),
        mtime: metadata.mtime(),
        nlink: metadata.nlink(),
        path,
        size: metadata.size(),
        uid: names.user(metadata.uid()),
    }
}

/// Names looked up for one listing: nearly all of its files have one owner.
#[derive(Default)]
struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    fn user(&mut self, id: u32) -> String {
        let find =
            || User::from_uid(Uid::from_raw(id)).ok().flatten().map_or(id.to_string(), |user| user.name);
        self.users.entry(id).or_insert_with(find).clone()
    }

    fn group(&mut self, id: u32) -> String {
        let find =
            || Group::from_gid(Gid::from_raw(id)).ok().flatten().map_or(id.to_string(), |group| group.name);
        self.groups.entry(id).or_insert_with(find).clone()
    }
}

/// Kind and permissions as ten letters.
fn mode(bits: u32) -> String {
    let kind = match bits & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFLNK => 'l',
        libc::S_IFSOCK => 's',
        _ => '-',
    };
    let permissions = "rwxrwxrwx".chars().enumerate();
    let permissions =
        permissions.map(|(index, letter)| if bits & (0o400 >> index) != 0 { letter } else { '-' });
    std::iter::once(kind).chain(permissions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_ls_shows_them() {
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
        assert_eq!(mode(0o100_640), "-rw-r-----");
        assert_eq!(mode(0o010_007), "p------rwx");
    }
}
