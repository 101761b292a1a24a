//! `mesos fetcher`: fetches what it is told to, and says what it does in the sandbox's `stderr`.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{error, info, warn};

use super::archive::{self, ArchiveError};
use super::download::{self, DownloadError};
use super::uri::{self, UriError};
use super::{FetcherInfo, ItemUri};

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("Unable to create subdirectory {0} in sandbox")]
    Subdirectory(String, #[source] std::io::Error),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("Failed to chmod executable '{0}'")]
    Executable(String, #[source] std::io::Error),
    #[error("Failed to extract archive '{archive}' to '{directory}': {error}")]
    Extract { archive: String, directory: String, error: ArchiveError },
}

/// Fetches all items, up to the first that fails; whether none did. The log has the reason.
///
/// Source: launcher/fetcher.cpp 1.11.
pub fn run(info: &FetcherInfo) -> bool {
    for item in &info.items {
        let uri = &item.uri;
        info!("Fetching URI '{}'", uri.value);
        match fetch(uri, info) {
            Ok(path) => info!("Fetched '{}' to '{}'", uri.value, path.display()),
            Err(failure) => {
                error!("Failed to fetch '{}': {}", uri.value, chain(&failure));
                return false;
            }
        }
    }
    info!("Successfully fetched all URIs into '{}'", info.sandbox_directory.display());
    true
}

/// The file, or the directory into which it was unpacked.
fn fetch(uri: &ItemUri, info: &FetcherInfo) -> Result<PathBuf, FetchError> {
    let sandbox = &info.sandbox_directory;
    let name = uri::target(&uri.value, uri.output_file.as_deref())?;
    let place = uri::place(&uri.value, info.frameworks_home.as_deref())?;
    if uri.cache {
        warn!("There is no fetcher cache yet: '{}' is fetched without it", uri.value);
    }
    info!("Fetching '{}' directly into the sandbox directory", uri.value);
    if let Some(parent) = name.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(sandbox.join(parent))
            .map_err(|error| FetchError::Subdirectory(parent.display().to_string(), error))?;
    }
    let path = sandbox.join(name);
    let stall_timeout = info.stall_timeout.map(|timeout| Duration::from_nanos(timeout.nanoseconds));
    download::get(&place, &path, stall_timeout)?;
    if uri.executable {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(|error| FetchError::Executable(path.display().to_string(), error))?;
    } else if uri.extract {
        return extract(uri, path, sandbox);
    }
    Ok(path)
}

fn extract(uri: &ItemUri, path: PathBuf, sandbox: &Path) -> Result<PathBuf, FetchError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(packing) = uri::packing(name) else {
        warn!(
            "Copying instead of extracting resource from URI with 'extract' flag, because it does not seem to \
             be an archive: {}",
            uri.value
        );
        return Ok(path);
    };
    info!("Extracting archive '{}' to '{}'", path.display(), sandbox.display());
    archive::extract(&path, packing, sandbox).map_err(|error| FetchError::Extract {
        archive: path.display().to_string(),
        directory: sandbox.display().to_string(),
        error,
    })?;
    info!("Extracted '{}' into '{}'", path.display(), sandbox.display());
    Ok(path)
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::super::Item;
    use super::*;

    /// Answers one request with these bytes; its address.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            stream.write_all(&answer).unwrap();
            // A short body is noticed at the end of the connection.
        });
        format!("http://{address}")
    }

    fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn uri(value: &str) -> ItemUri {
        ItemUri { value: value.to_owned(), executable: false, extract: true, cache: false, output_file: None }
    }

    fn info(sandbox: &Path, uris: &[ItemUri]) -> FetcherInfo {
        FetcherInfo {
            sandbox_directory: sandbox.to_owned(),
            items: uris.iter().map(|uri| Item { uri: uri.clone() }).collect(),
            user: None,
            frameworks_home: Some(sandbox.join("home")),
            stall_timeout: None,
        }
    }

    fn failure(uri: &ItemUri) -> String {
        let sandbox = tempfile::tempdir().unwrap();
        chain(&fetch(uri, &info(sandbox.path(), &[])).unwrap_err())
    }

    #[test]
    fn copies_and_downloads() {
        let sandbox = tempfile::tempdir().unwrap();
        let path = |name: &str| sandbox.path().join(name);
        fs::create_dir(path("home")).unwrap();
        fs::write(path("home/run"), "#!/bin/sh\n").unwrap();
        let mut program = uri("run");
        program.executable = true;
        let mut named = uri(&format!("file://{}", path("home/run").display()));
        named.output_file = Some("bin/other".to_owned());
        let web = uri(&format!("{}/some/data", serve(answer("200 OK", 4, b"data"))));
        assert!(run(&info(sandbox.path(), &[program, named, web])));
        assert_eq!(fs::metadata(path("run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_to_string(path("bin/other")).unwrap(), "#!/bin/sh\n");
        assert_eq!(fs::read_to_string(path("data")).unwrap(), "data");
    }

    #[test]
    fn says_what_failed() {
        let missing = format!("{}/a", serve(answer("404 Not Found", 0, b"")));
        assert_eq!(failure(&uri(&missing)), "Error downloading resource, received HTTP return code 404");
        let short = format!("{}/a", serve(answer("200 OK", 100, b"short")));
        assert!(failure(&uri(&short)).starts_with("Error downloading resource"));
        assert!(failure(&uri("hdfs://h/a")).contains("need the Hadoop client"));
        assert!(failure(&uri("/no/such/file")).starts_with("Failed to open '/no/such/file': No such file"));
        assert_eq!(failure(&uri("/dev")), "Failed to copy '/dev': it is not a regular file");
    }

    #[test]
    fn does_not_write_through_links() {
        let sandbox = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", sandbox.path().join("hosts")).unwrap();
        let error = fetch(&uri("/etc/hosts"), &info(sandbox.path(), &[])).unwrap_err();
        assert!(matches!(error, FetchError::Download(DownloadError::Create(..))), "{error}");
    }

    #[test]
    fn gives_up_on_a_download_that_stands_still() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        let sandbox = tempfile::tempdir().unwrap();
        let mut info = info(sandbox.path(), &[uri(&url)]);
        info.stall_timeout = Some(super::super::Nanoseconds { nanoseconds: 100_000_000 });
        // Nobody accepts, so nothing ever comes.
        assert!(!run(&info));
    }
}
