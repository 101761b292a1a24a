//! Unpacks archives, and keeps what they hold below one directory.
//!
//! An archive is refused at its first entry that would lie, or point, outside: `..`, absolute paths, links
//! that leave, devices. What came before that entry stays.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::uri::{Compression, Packing, inside, link_stays_inside};

/// Longest target of a symbolic link in a zip.
const LINK_LENGTH: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive is broken or cannot be unpacked: {0}")]
    Read(#[source] io::Error),
    #[error("the archive is broken: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("entry '{0}' is outside of the directory")]
    Outside(String),
    #[error("entry '{entry}' is a link to '{link}', which is outside of the directory or may come to be")]
    LinkOutside { entry: String, link: String },
    #[error("entry '{0}' is a device or a pipe")]
    Special(String),
    #[error("writing '{path}': {error}")]
    Write { path: String, error: io::Error },
}

/// Unpacks `archive` into `directory`. What is packed by itself is called as `name` is without the ending.
pub fn extract(archive: &Path, packing: Packing, directory: &Path, name: &Path) -> Result<(), ArchiveError> {
    let directory = directory.canonicalize().map_err(ArchiveError::Read)?;
    let file = File::open(archive).map_err(ArchiveError::Read)?;
    match packing {
        Packing::Tar(compression) => tar(decompress(file, compression)?, &directory),
        Packing::Zip => zip(file, &directory),
        Packing::Single(compression) => {
            let target = directory.join(name.file_stem().unwrap_or_default());
            put(&mut decompress(file, compression)?, &target, None)
        }
    }
}

fn decompress(file: File, compression: Compression) -> Result<Box<dyn Read>, ArchiveError> {
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(ArchiveError::Read)?)
        }
    })
}

fn tar(reader: impl Read, directory: &Path) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let path = entry.path().map_err(ArchiveError::Read)?.into_owned();
        let kind = entry.header().entry_type();
        let shown = || path.display().to_string();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let Some(kept) = inside(&path) else {
            let is_root = path.components().all(|part| part == std::path::Component::CurDir);
            if kind.is_dir() && is_root {
                continue;
            }
            return Err(ArchiveError::Outside(shown()));
        };
        let target = directory.join(&kept);
        let depth = make_parent(&target, directory).ok_or_else(|| ArchiveError::Outside(shown()))?;
        let link = entry.link_name().map_err(ArchiveError::Read)?.map(|link| link.into_owned());
        let link = link.unwrap_or_default();
        let stays = match kind {
            tar::EntryType::Symlink => link_stays_inside(depth, &link),
            tar::EntryType::Link => is_file_inside(&link, directory),
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => {
                return Err(ArchiveError::Special(shown()));
            }
            _ => true,
        };
        if !stays {
            return Err(ArchiveError::LinkOutside { entry: shown(), link: link.display().to_string() });
        }
        entry.set_preserve_permissions(false);
        let failed = |error| ArchiveError::Write { path: shown(), error };
        if !entry.unpack_in(directory).map_err(failed)? {
            return Err(ArchiveError::Outside(shown()));
        }
    }
    Ok(())
}

fn zip(file: File, directory: &Path) -> Result<(), ArchiveError> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let outside = || ArchiveError::Outside(name.clone());
        let kept = inside(Path::new(&name)).filter(|_| !name.contains('\0')).ok_or_else(outside)?;
        let target = directory.join(kept);
        let depth = make_parent(&target, directory).ok_or_else(outside)?;
        let failed = |error| ArchiveError::Write { path: name.clone(), error };
        if entry.is_dir() {
            match fs::create_dir(&target) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
        } else if entry.is_symlink() {
            let mut link = String::new();
            (&mut entry).take(LINK_LENGTH).read_to_string(&mut link).map_err(ArchiveError::Read)?;
            if !link_stays_inside(depth, Path::new(&link)) {
                return Err(ArchiveError::LinkOutside { entry: name, link });
            }
            remove(&target);
            std::os::unix::fs::symlink(&link, &target).map_err(failed)?;
        } else {
            let mode = entry.unix_mode().map(|mode| mode & 0o777).filter(|mode| *mode != 0);
            put(&mut entry, &target, mode)?;
        }
    }
    Ok(())
}

/// Makes the directories above `target`; how deep below `directory` they really are, or `None` if a link
/// leads them elsewhere.
fn make_parent(target: &Path, directory: &Path) -> Option<usize> {
    let parent = target.parent()?;
    // Links to directories stay inside by the rule of `link_stays_inside`, so making these cannot leave either.
    fs::create_dir_all(parent).ok()?;
    let real = parent.canonicalize().ok()?;
    Some(real.strip_prefix(directory).ok()?.components().count())
}

/// A hard link to a symbolic link would move that to another depth, so only files are linked to.
fn is_file_inside(link: &Path, directory: &Path) -> bool {
    let Some(kept) = inside(link) else { return false };
    let path = directory.join(kept);
    let Some(name) = path.file_name() else { return false };
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    let real: Option<PathBuf> = parent.map(|parent| parent.join(name));
    real.is_some_and(|real| {
        real.starts_with(directory) && real.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
    })
}

/// Best effort: what cannot be removed makes the creation fail, which is reported.
fn remove(target: &Path) {
    let _ = fs::remove_file(target);
}

fn put(source: &mut impl Read, target: &Path, mode: Option<u32>) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::Write { path: target.display().to_string(), error };
    remove(target);
    let mut file = File::create_new(target).map_err(failed)?;
    io::copy(source, &mut file).map_err(ArchiveError::Read)?;
    if let Some(mode) = mode {
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Tar(tar::Builder<Vec<u8>>);

    impl Tar {
        fn new() -> Tar {
            Tar(tar::Builder::new(Vec::new()))
        }

        /// Writes names raw, as no honest archiver would.
        fn add(mut self, kind: tar::EntryType, name: &str, link: &str, content: &[u8]) -> Tar {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o4755);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.name[..name.len()].copy_from_slice(name.as_bytes());
            gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            self.0.append(&header, content).unwrap();
            self
        }

        fn file(self, name: &str, content: &str) -> Tar {
            self.add(tar::EntryType::Regular, name, "", content.as_bytes())
        }

        fn symlink(self, name: &str, link: &str) -> Tar {
            self.add(tar::EntryType::Symlink, name, link, b"")
        }

        fn bytes(self) -> Vec<u8> {
            self.0.into_inner().unwrap()
        }
    }

    /// Unpacks in a sandbox with a neighbour that nothing may touch.
    fn unpack(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf, Result<(), ArchiveError>) {
        let above = tempfile::tempdir().unwrap();
        let sandbox = above.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let archive = sandbox.join(name);
        fs::write(&archive, bytes).unwrap();
        let done = extract(&archive, super::super::uri::packing(name).unwrap(), &sandbox, &archive);
        let neighbours: Vec<_> = fs::read_dir(above.path()).unwrap().collect();
        assert_eq!(neighbours.len(), 1, "something lies outside: {neighbours:?}");
        (above, sandbox, done)
    }

    fn refused(tar: Tar) -> ArchiveError {
        let (_above, _sandbox, done) = unpack("a.tar", &tar.bytes());
        done.unwrap_err()
    }

    #[test]
    fn unpacks_every_compression() {
        let tar = Tar::new()
            .add(tar::EntryType::Directory, "./", "", b"")
            .file("d/hello", "hello\n")
            .symlink("d/e/link", "../hello")
            .add(tar::EntryType::Link, "hard", "d/hello", b"")
            .bytes();
        let packed = |kind: &str| -> Vec<u8> {
            let out = Vec::new();
            match kind {
                "gz" => {
                    let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                    writer.write_all(&tar).unwrap();
                    writer.finish().unwrap()
                }
                "bz2" => {
                    let mut writer = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
                    writer.write_all(&tar).unwrap();
                    writer.finish().unwrap()
                }
                "xz" => {
                    let mut writer = liblzma::write::XzEncoder::new(out, 1);
                    writer.write_all(&tar).unwrap();
                    writer.finish().unwrap()
                }
                _ => zstd::encode_all(tar.as_slice(), 1).unwrap(),
            }
        };
        for (name, bytes) in [
            ("a.tar", tar.clone()),
            ("a.tgz", packed("gz")),
            ("a.tar.gz", packed("gz")),
            ("a.tar.bz2", packed("bz2")),
            ("a.txz", packed("xz")),
            ("a.tar.zst", packed("zst")),
        ] {
            let (_above, sandbox, done) = unpack(name, &bytes);
            done.unwrap();
            for path in ["d/hello", "d/e/link", "hard"] {
                assert_eq!(fs::read_to_string(sandbox.join(path)).unwrap(), "hello\n", "{name} {path}");
            }
            let mode = fs::metadata(sandbox.join("d/hello")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7000, 0, "set-user-id must not survive");
        }
    }

    #[test]
    fn refuses_entries_outside() {
        for name in ["../evil", "a/../../evil", "/tmp/evil", ".."] {
            let error = refused(Tar::new().file(name, "x"));
            assert!(matches!(error, ArchiveError::Outside(_)), "{name}: {error}");
        }
    }

    #[test]
    fn refuses_links_outside() {
        for (name, link) in [("l", "../x"), ("l", "/etc"), ("a/l", "../../x"), ("l", "a/../..")] {
            let error = refused(Tar::new().symlink(name, link).file("l/evil", "x"));
            assert!(matches!(error, ArchiveError::LinkOutside { .. }), "{name}: {error}");
        }
        // `a/b` is really at depth 1, so that two steps up leave the sandbox.
        let error = refused(Tar::new().symlink("a/b", ".").symlink("a/b/l", "../.."));
        assert!(matches!(error, ArchiveError::LinkOutside { .. }), "{error}");
        for target in ["/etc/passwd", "../x", "nothing"] {
            let error = refused(Tar::new().add(tar::EntryType::Link, "h", target, b""));
            assert!(matches!(error, ArchiveError::LinkOutside { .. }), "{error}");
        }
        // A hard link to a symbolic link would carry that up to where it leads out.
        let moved = Tar::new().symlink("a/l", "..").add(tar::EntryType::Link, "h", "a/l", b"");
        assert!(matches!(refused(moved), ArchiveError::LinkOutside { .. }));
        let device = refused(Tar::new().add(tar::EntryType::Char, "null", "", b""));
        assert!(matches!(device, ArchiveError::Special(_)));
    }

    #[test]
    fn refuses_what_is_broken() {
        let whole = Tar::new().file("a", "some content").bytes();
        for (name, bytes) in [
            ("a.tar", b"no archive at all, but long enough".repeat(100)),
            ("a.tar", whole[..600].to_vec()),
            ("a.tgz", whole.clone()),
            ("a.tar.bz2", whole.clone()),
            ("a.txz", whole.clone()),
            ("a.tar.zst", whole.clone()),
            ("a.zip", whole),
            ("a.gz", b"\x1f\x8bbroken".to_vec()),
        ] {
            let (_above, _sandbox, done) = unpack(name, &bytes);
            assert!(done.is_err(), "{name}");
        }
    }

    #[test]
    fn unpacks_single_files() {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(b"text").unwrap();
        let (_above, sandbox, done) = unpack("words.gz", &writer.finish().unwrap());
        done.unwrap();
        assert_eq!(fs::read_to_string(sandbox.join("words")).unwrap(), "text");
    }

    fn zipped(entries: &[(&str, &str, u32)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content, mode) in entries {
            let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
            if *mode == 0 {
                writer.add_symlink(*name, *content, zip::write::SimpleFileOptions::default()).unwrap();
            } else {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content.as_bytes()).unwrap();
            }
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn unpacks_zips() {
        let bytes = zipped(&[("d/run", "#!/bin/sh\n", 0o755), ("d/link", "run", 0), ("plain", "x", 0o640)]);
        let (_above, sandbox, done) = unpack("a.zip", &bytes);
        done.unwrap();
        assert_eq!(fs::read_to_string(sandbox.join("d/link")).unwrap(), "#!/bin/sh\n");
        let mode = |path: &str| fs::metadata(sandbox.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("d/run"), mode("plain")), (0o755, 0o640));
        for entries in [[("../evil", "x", 0o644)], [("/evil", "x", 0o644)], [("l", "../x", 0)]] {
            let (_above, _sandbox, done) = unpack("a.zip", &zipped(&entries));
            assert!(matches!(done, Err(ArchiveError::Outside(_) | ArchiveError::LinkOutside { .. })));
        }
    }
}
