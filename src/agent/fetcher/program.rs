//! `mesos fetcher`: fetches what it is told to, and says what it does in the sandbox's `stderr`.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{error, info, warn};

use super::archive::{self, ArchiveError};
use super::download::{self, DownloadError};
use super::uri::{self, Place, UriError};
use super::{Action, FetcherInfo, Item, ItemUri};

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
    #[error("There is no cache directory, or no name for the file in it")]
    NoCache,
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
        match fetch(item, info) {
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

/// How large each item is, in bytes, as far as that can be known without getting it.
pub fn sizes(info: &FetcherInfo) -> Vec<Option<u64>> {
    let size = |item: &Item| -> Result<u64, FetchError> {
        let place = uri::place(&item.uri.value, info.frameworks_home.as_deref())?;
        Ok(download::size(&place, stall_timeout(info))?)
    };
    let size = |item: &Item| match size(item) {
        Ok(size) => Some(size),
        Err(failure) => {
            warn!(
                "Reverting to fetching directly into the sandbox for '{}', as its size is not known: {}",
                item.uri.value,
                chain(&failure)
            );
            None
        }
    };
    info.items.iter().map(size).collect()
}

fn stall_timeout(info: &FetcherInfo) -> Option<Duration> {
    info.stall_timeout.map(|timeout| Duration::from_nanos(timeout.nanoseconds))
}

/// The file, or the directory into which it was unpacked.
fn fetch(item: &Item, info: &FetcherInfo) -> Result<PathBuf, FetchError> {
    let (uri, sandbox) = (&item.uri, &info.sandbox_directory);
    let name = uri::target(&uri.value, uri.output_file.as_deref())?;
    let place = uri::place(&uri.value, info.frameworks_home.as_deref())?;
    if let Some(parent) = name.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(sandbox.join(parent))
            .map_err(|error| FetchError::Subdirectory(parent.display().to_string(), error))?;
    }
    let path = sandbox.join(name);
    let cached =
        |name: &str| info.cache_directory.as_ref().map(|cache| cache.join(name)).ok_or(FetchError::NoCache);
    match item.action().ok_or(FetchError::NoCache)? {
        Action::Bypass => {
            info!("Fetching '{}' directly into the sandbox directory", uri.value);
            download::get(&place, &path, stall_timeout(info))?;
            if uri.executable {
                make_executable(&path)?;
            } else if uri.extract {
                extract(uri, &path, &path, sandbox)?;
            }
            Ok(path)
        }
        Action::Download(name) => {
            let cached = cached(&name)?;
            // Two items may be the same but for what becomes of them.
            if !cached.exists() {
                download::get(&place, &cached, stall_timeout(info))?;
            }
            fetch_from_cache(uri, &cached, path, sandbox)
        }
        Action::Retrieve(name) => fetch_from_cache(uri, &cached(&name)?, path, sandbox),
    }
}

/// Archives are unpacked right out of the cache, and do not lie in the sandbox themselves.
fn fetch_from_cache(
    uri: &ItemUri,
    cached: &Path,
    path: PathBuf,
    sandbox: &Path,
) -> Result<PathBuf, FetchError> {
    info!("Fetching URI '{}' from cache", uri.value);
    if uri.extract && !uri.executable && extract(uri, cached, &path, sandbox)? {
        return Ok(sandbox.to_owned());
    }
    download::get(&Place::Local(cached.to_owned()), &path, None)?;
    if uri.executable {
        make_executable(&path)?;
    }
    Ok(path)
}

fn make_executable(path: &Path) -> Result<(), FetchError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| FetchError::Executable(path.display().to_string(), error))
}

/// Unpacks what `path`, by its name, is an archive of; whether it is one.
fn extract(uri: &ItemUri, archive: &Path, path: &Path, sandbox: &Path) -> Result<bool, FetchError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(packing) = uri::packing(name) else {
        warn!(
            "Copying instead of extracting resource from URI with 'extract' flag, because it does not seem to \
             be an archive: {}",
            uri.value
        );
        return Ok(false);
    };
    info!("Extracting archive '{}' to '{}'", archive.display(), sandbox.display());
    archive::extract(archive, packing, sandbox, path).map_err(|error| FetchError::Extract {
        archive: archive.display().to_string(),
        directory: sandbox.display().to_string(),
        error,
    })?;
    info!("Extracted '{}' into '{}'", archive.display(), sandbox.display());
    Ok(true)
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

    fn item(uri: &ItemUri) -> Item {
        Item { uri: uri.clone(), action: Default::default(), cache_filename: None }
    }

    fn info(sandbox: &Path, uris: &[ItemUri]) -> FetcherInfo {
        FetcherInfo {
            sandbox_directory: sandbox.to_owned(),
            items: uris.iter().map(item).collect(),
            cache_directory: None,
            user: None,
            frameworks_home: Some(sandbox.join("home")),
            stall_timeout: None,
        }
    }

    fn failure(uri: &ItemUri) -> String {
        let sandbox = tempfile::tempdir().unwrap();
        chain(&fetch(&item(uri), &info(sandbox.path(), &[])).unwrap_err())
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
        assert!(failure(&uri("/no/such/file")).starts_with("Failed to open '/no/such/file': No such file"));
        assert_eq!(failure(&uri("/dev")), "Failed to copy '/dev': it is not a regular file");
    }

    #[test]
    fn does_not_write_through_links() {
        let sandbox = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", sandbox.path().join("hosts")).unwrap();
        let error = fetch(&item(&uri("/etc/hosts")), &info(sandbox.path(), &[])).unwrap_err();
        assert!(matches!(error, FetchError::Download(DownloadError::Create(..))), "{error}");
    }

    #[test]
    fn what_is_cached_comes_from_there() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        for name in ["sandbox", "cache"] {
            fs::create_dir(path(name)).unwrap();
        }
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(b"text").unwrap();
        let packed = writer.finish().unwrap();
        let web = uri(&format!("{}/words.gz", serve(answer("200 OK", packed.len(), &packed))));
        let mut whole = web.clone();
        (whole.extract, whole.output_file) = (false, Some("whole.gz".to_owned()));
        let cached = |uri: &ItemUri, action| Item {
            uri: uri.clone(),
            action,
            cache_filename: Some("c1-words.gz".to_owned()),
        };
        let info = FetcherInfo {
            items: vec![
                cached(&web, super::super::ActionName::Download),
                cached(&whole, super::super::ActionName::Download),
            ],
            cache_directory: Some(path("cache")),
            ..info(&path("sandbox"), &[])
        };
        // The server answers once.
        assert!(run(&info));
        assert_eq!(fs::read_to_string(path("sandbox/words")).unwrap(), "text");
        assert_eq!(fs::read(path("sandbox/whole.gz")).unwrap(), packed);
        assert!(!path("sandbox/words.gz").exists());
        let mut climbing = cached(&web, super::super::ActionName::Retrieve);
        climbing.cache_filename = Some("../cache/c1-words.gz".to_owned());
        assert!(matches!(fetch(&climbing, &info), Err(FetchError::NoCache)));
    }

    #[test]
    fn sizes_are_known_beforehand() {
        let sandbox = tempfile::tempdir().unwrap();
        let file = sandbox.path().join("file");
        fs::write(&file, "12345").unwrap();
        let here = uri(file.to_str().unwrap());
        let web = uri(&format!("{}/a", serve(answer("200 OK", 7, b""))));
        let missing = uri(&format!("{}/a", serve(answer("404 Not Found", 7, b""))));
        let empty = uri(&format!("{}/a", serve(answer("200 OK", 0, b""))));
        let info = info(sandbox.path(), &[here, web, missing, empty]);
        assert_eq!(sizes(&info), [Some(5), Some(7), None, None]);
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
