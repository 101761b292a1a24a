//! Gets a resource into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tracing::info;

use super::ftp::{self, FtpError};
use super::hadoop::{self, HadoopError};
use super::uri::Place;

/// How long one attempt to connect may take. Source: `CURLOPT_CONNECTTIMEOUT`'s default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("Failed to copy '{0}': it is not a regular file")]
    NotAFile(String),
    #[error("Failed to open '{0}'")]
    Open(String, #[source] io::Error),
    #[error("Failed to create '{0}'")]
    Create(String, #[source] io::Error),
    #[error("Error downloading resource")]
    Http(#[source] Box<ureq::Error>),
    #[error("Error downloading resource, received HTTP return code {0}")]
    Status(u16),
    #[error("Error downloading resource: {0}")]
    Read(io::Error),
    #[error("Failed to write '{0}'")]
    Write(String, #[source] io::Error),
    #[error("Failed to remove '{0}', which is in the way")]
    Remove(String, #[source] io::Error),
    #[error("URI reported no content-length, or 0")]
    NoLength,
    #[error(transparent)]
    Ftp(#[from] FtpError),
    #[error(transparent)]
    Hadoop(#[from] HadoopError),
}

/// Copies or downloads to `target`, which is replaced if it is there.
pub fn get(place: &Place, target: &Path, stall_timeout: Option<Duration>) -> Result<(), DownloadError> {
    match place {
        Place::Local(path) => {
            info!("Copying resource from '{}' to '{}'", path.display(), target.display());
            copy(path, target)
        }
        Place::Http(url) => {
            info!("Downloading resource from '{url}' to '{}'", target.display());
            download(url, target, stall_timeout)
        }
        Place::Ftp(url) => {
            info!("Downloading resource from '{url}' to '{}'", target.display());
            let file =
                ftp::get(url, CONNECT_TIMEOUT, stall_timeout, |mut source| write(&mut source, target))?;
            file.map(drop)
        }
        Place::Hadoop(uri) => {
            info!("Downloading resource with Hadoop client from '{uri}' to '{}'", target.display());
            // The client overwrites nothing.
            match std::fs::remove_file(target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DownloadError::Remove(target.display().to_string(), error));
                }
                _ => {}
            }
            Ok(hadoop::copy_to_local(uri, target)?)
        }
    }
}

/// How large a resource is, in bytes, without getting it.
///
/// Source: `fetchSize`, fetcher.cpp 1.11, which does not ask FTP servers.
pub fn size(place: &Place, stall_timeout: Option<Duration>) -> Result<u64, DownloadError> {
    let known = |length: u64| if length > 0 { Ok(length) } else { Err(DownloadError::NoLength) };
    match place {
        Place::Local(path) => {
            let metadata = path.metadata();
            Ok(metadata.map_err(|error| DownloadError::Open(path.display().to_string(), error))?.len())
        }
        Place::Http(url) => {
            let answered = client(stall_timeout).head(url).call();
            let response = answered.map_err(|error| DownloadError::Http(Box::new(error)))?;
            match response.status().as_u16() {
                200 => known(length(response.headers()).unwrap_or(0)),
                status => Err(DownloadError::Status(status)),
            }
        }
        Place::Ftp(url) => known(ftp::size(url, CONNECT_TIMEOUT, stall_timeout)?),
        Place::Hadoop(uri) => known(hadoop::size(uri)?),
    }
}

fn length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn copy(from: &Path, target: &Path) -> Result<(), DownloadError> {
    let open = |error| DownloadError::Open(from.display().to_string(), error);
    // A pipe would be waited for.
    if !from.metadata().map_err(open)?.is_file() {
        return Err(DownloadError::NotAFile(from.display().to_string()));
    }
    let mut source = File::open(from).map_err(open)?;
    let permissions = source.metadata().map_err(open)?.permissions();
    let file = write(&mut source, target)?;
    file.set_permissions(permissions)
        .map_err(|error| DownloadError::Write(target.display().to_string(), error))
}

fn download(url: &str, target: &Path, stall_timeout: Option<Duration>) -> Result<(), DownloadError> {
    let response =
        client(stall_timeout).get(url).call().map_err(|error| DownloadError::Http(Box::new(error)))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(DownloadError::Status(status));
    }
    write(&mut response.into_body().into_reader(), target).map(drop)
}

/// Trusts whom this machine trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say it otherwise.
fn client(stall_timeout: Option<Duration>) -> ureq::Agent {
    let trusted = rustls_native_certs::load_native_certs().certs;
    let trusted: Vec<_> =
        trusted.iter().map(|certificate| ureq::tls::Certificate::from_der(certificate).to_owned()).collect();
    let mut tls = ureq::tls::TlsConfig::builder();
    if !trusted.is_empty() {
        tls = tls.root_certs(ureq::tls::RootCerts::new_with_certs(&trusted));
    }
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(stall_timeout)
        .accept_encoding("identity")
        .user_agent("mesos-fetcher")
        .tls_config(tls.build())
        .build()
        .new_agent()
}

/// A symbolic link at `target` is not followed: it may be an archive's.
fn write(source: &mut impl Read, target: &Path) -> Result<File, DownloadError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW);
    let mut file =
        options.open(target).map_err(|error| DownloadError::Create(target.display().to_string(), error))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DownloadError::Read(error)),
        };
        file.write_all(&buffer[..count])
            .map_err(|error| DownloadError::Write(target.display().to_string(), error))?;
    }
}
