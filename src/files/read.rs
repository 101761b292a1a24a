//! A piece of a file, for pages that follow a log.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use bytes::Bytes;
use http::StatusCode;

use crate::http::error::HttpError;

/// The most bytes of one answer, in pages.
const PAGES: usize = 16;

/// Opens a regular file. Anything else in a sandbox might block for ever (a pipe) or never end (a device).
pub fn open(path: &Path, doing: &str) -> Result<(File, u64), HttpError> {
    let failed = |error: io::Error| {
        let text = format!("Failed to open file at '{}': {error}.\n", path.display());
        match error.kind() {
            // It was there when its path was found.
            io::ErrorKind::NotFound => HttpError::new(StatusCode::NOT_FOUND, ""),
            io::ErrorKind::PermissionDenied => HttpError::forbidden(text),
            _ => HttpError::internal(text),
        }
    };
    // The path is real, so a link at its end has just been put there.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(HttpError::bad_request(format!("Cannot {doing} a directory.\n")));
    }
    if !metadata.is_file() {
        return Err(HttpError::bad_request(format!("Cannot {doing} what is no regular file.\n")));
    }
    Ok((file, metadata.len()))
}

/// Size of the file and the bytes asked for: none if `offset` is beyond the end or `length` is 0, else at
/// most 16 pages. Without a length: to the end.
pub fn read(path: &Path, offset: u64, length: Option<u64>) -> Result<(u64, Vec<u8>), HttpError> {
    let (file, size) = open(path, "read")?;
    let left = size.saturating_sub(offset);
    let length = length.unwrap_or(left).min(left).min((page_size() * PAGES) as u64);
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            // Cut short since.
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(HttpError::internal(format!(
                    "Failed to read file at '{}': {error}.\n",
                    path.display()
                )));
            }
        }
    }
    data.truncate(filled);
    Ok((size, data))
}

fn page_size() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

/// `{"data":…,"offset":…}` with the bytes as they are.
///
/// A piece may begin or end inside a character, and a log may hold any bytes; Mesos passes them through, so
/// that the pieces a client joins are the file. Only what JSON cannot hold is escaped.
pub fn answer(data: &[u8], offset: u64) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + data.len() / 8 + 40);
    out.extend_from_slice(b"{\"data\":\"");
    for byte in data {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(b"\",\"offset\":");
    out.extend_from_slice(itoa::Buffer::new().format(offset).as_bytes());
    out.push(b'}');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_through() {
        assert_eq!(
            answer(b"\xa9llo \"\\/\n\x01", 2),
            &b"{\"data\":\"\xa9llo \\\"\\\\/\\n\\u0001\",\"offset\":2}"[..]
        );
    }
}
