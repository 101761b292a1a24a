//! What comes by FTP: `ftp://user:password@host:port/path`, and `ftps:` with TLS from the first byte.
//!
//! The path begins where the server puts the user; without a user it is `anonymous`.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use suppaftp::rustls::{ClientConfig, RootCertStore};
use suppaftp::types::FileType;
use suppaftp::{FtpError as Failure, Mode, RustlsConnector, RustlsFtpStream};

/// What curl shows where the URI names nobody.
const ANONYMOUS: (&str, &str) = ("anonymous", "ftp@example.com");

#[derive(Debug, thiserror::Error)]
pub enum FtpError {
    #[error("Malformed URI: {0}")]
    Uri(&'static str),
    #[error("Error downloading resource: connecting to '{0}'")]
    Connect(String, #[source] io::Error),
    #[error("Error downloading resource")]
    Protocol(#[source] Failure),
}

/// An FTP URI, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    is_secure: bool,
    user: String,
    password: String,
    path: String,
}

/// Gives the file's content to `read`, and then hears from the server whether that was all.
pub fn get<T>(
    uri: &str,
    connect_timeout: Duration,
    stall_timeout: Option<Duration>,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, FtpError> {
    let target = parse(uri)?;
    let mut session = open(&target, connect_timeout, stall_timeout)?;
    let mut stream = session.retr_as_stream(&target.path).map_err(FtpError::Protocol)?;
    let got = read(&mut stream);
    stream.finish().map_err(FtpError::Protocol)?;
    let _ = session.quit();
    Ok(got)
}

/// How large the file is, in bytes.
pub fn size(uri: &str, connect_timeout: Duration, stall_timeout: Option<Duration>) -> Result<u64, FtpError> {
    let target = parse(uri)?;
    let mut session = open(&target, connect_timeout, stall_timeout)?;
    let size = session.size(&target.path).map_err(FtpError::Protocol)?;
    let _ = session.quit();
    Ok(size as u64)
}

fn open(
    target: &Target,
    connect_timeout: Duration,
    stall_timeout: Option<Duration>,
) -> Result<RustlsFtpStream, FtpError> {
    let name = format!("{}:{}", target.host, target.port);
    let failed = |error| FtpError::Connect(name.clone(), error);
    let addresses = || (target.host.as_str(), target.port).to_socket_addrs();
    let session = match target.is_secure {
        false => {
            let addresses = addresses().map_err(failed)?;
            let stream = connect(addresses, connect_timeout, stall_timeout).map_err(failed)?;
            RustlsFtpStream::connect_with_stream(stream)
        }
        true => {
            let addresses: Vec<SocketAddr> = addresses().map_err(failed)?.collect();
            let tls = RustlsConnector::from(Arc::new(tls()));
            RustlsFtpStream::connect_secure_implicit(addresses.as_slice(), tls, &target.host)
        }
    };
    let mut session = session.map_err(FtpError::Protocol)?.passive_stream_builder(move |address| {
        connect([address].into_iter(), connect_timeout, stall_timeout).map_err(Failure::ConnectionError)
    });
    let is_v6 = session.get_ref().peer_addr().is_ok_and(|address| address.is_ipv6());
    let _ = session.get_ref().set_read_timeout(stall_timeout);
    session.set_mode(if is_v6 { Mode::ExtendedPassive } else { Mode::Passive });
    // What a server believes its own address to be is often wrong.
    session.set_passive_nat_workaround(true);
    session.login(&target.user, &target.password).map_err(FtpError::Protocol)?;
    if target.is_secure {
        session.custom_command("PBSZ 0", &[suppaftp::Status::CommandOk]).map_err(FtpError::Protocol)?;
        session.custom_command("PROT P", &[suppaftp::Status::CommandOk]).map_err(FtpError::Protocol)?;
    }
    session.transfer_type(FileType::Binary).map_err(FtpError::Protocol)?;
    Ok(session)
}

/// The first address that answers.
fn connect(
    addresses: impl Iterator<Item = SocketAddr>,
    timeout: Duration,
    stall_timeout: Option<Duration>,
) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(stall_timeout)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Trusts whom this machine trusts.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(suppaftp::rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the protocols of its own crate")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn parse(uri: &str) -> Result<Target, FtpError> {
    let (is_secure, rest) = match uri.split_once("://") {
        Some(("ftp", rest)) => (false, rest),
        Some(("ftps", rest)) => (true, rest),
        _ => return Err(FtpError::Uri("it is neither ftp nor ftps")),
    };
    let (authority, path) = rest.split_once('/').ok_or(FtpError::Uri("it has no path"))?;
    let (login, place) =
        authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
    let (user, password) = match login {
        None => ANONYMOUS,
        Some(login) => login.split_once(':').unwrap_or((login, "")),
    };
    let usual = if is_secure { 990 } else { 21 };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| FtpError::Uri("its port is no number"))?)
        }
        _ => (place, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(FtpError::Uri("it has no host"));
    }
    // `;type=i` says what is meant anyway.
    let path = path.split_once(";type=").map_or(path, |(path, _)| path);
    Ok(Target {
        host: host.to_owned(),
        port,
        is_secure,
        user: decoded(user)?,
        password: decoded(password)?,
        path: decoded(path)?,
    })
}

/// Nothing that the server could take for another command.
fn decoded(text: &str) -> Result<String, FtpError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| FtpError::Uri("it is not UTF-8"))?;
    match text.contains(['\r', '\n', '\0']) {
        true => Err(FtpError::Uri("it has control characters")),
        false => Ok(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_have_parts() {
        let target = parse("ftp://me:se%3Acret@host:2121/a%20b/c.tgz;type=i").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.is_secure), ("host", 2121, false));
        assert_eq!((target.user.as_str(), target.password.as_str()), ("me", "se:cret"));
        assert_eq!(target.path, "a b/c.tgz");
        let target = parse("ftps://[::1]//etc/motd").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.user.as_str()), ("::1", 990, "anonymous"));
        assert_eq!(target.path, "/etc/motd");
    }

    /// A server of one session and one file, in plain FTP; what it was told.
    fn serve(content: &'static [u8], complete: bool) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader, Write};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = std::thread::spawn(move || {
            let data = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = data.local_addr().unwrap().port();
            let (mut control, _) = listener.accept().unwrap();
            control.write_all(b"220 ready\r\n").unwrap();
            let mut told = Vec::new();
            for line in BufReader::new(control.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                let answer = match line.split(' ').next().unwrap_or_default() {
                    "USER" => "331 password\r\n".to_owned(),
                    "PASS" => "230 in\r\n".to_owned(),
                    // An address that is true behind some wall only.
                    "PASV" => format!("227 passive (10,9,8,7,{},{})\r\n", port >> 8, port & 255),
                    "SIZE" => format!("213 {}\r\n", content.len()),
                    "RETR" if line.ends_with("missing") => "550 no such file\r\n".to_owned(),
                    "RETR" => {
                        control.write_all(b"150 here it comes\r\n").unwrap();
                        data.accept().unwrap().0.write_all(content).unwrap();
                        let end = if complete { "226 done" } else { "426 broken off" };
                        format!("{end}\r\n")
                    }
                    _ => "200 fine\r\n".to_owned(),
                };
                told.push(line);
                control.write_all(answer.as_bytes()).unwrap();
            }
            told
        });
        (format!("ftp://me:secret@{address}"), told)
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    fn fetched(uri: &str) -> Result<Vec<u8>, FtpError> {
        get(uri, PATIENCE, Some(PATIENCE), |source| {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).unwrap();
            bytes
        })
    }

    #[test]
    fn files_come() {
        let (server, told) = serve(b"bytes\r\n\0", true);
        assert_eq!(fetched(&format!("{server}/a/b.tgz")).unwrap(), b"bytes\r\n\0");
        let told = told.join().unwrap();
        for line in ["USER me", "PASS secret", "TYPE I", "RETR a/b.tgz"] {
            assert!(told.iter().any(|told| told == line), "{told:?}");
        }
        let (server, _) = serve(b"12345", true);
        assert_eq!(size(&format!("{server}/a"), PATIENCE, Some(PATIENCE)).unwrap(), 5);
    }

    #[test]
    fn what_the_server_refuses_or_breaks_off_fails() {
        let (server, _) = serve(b"", true);
        assert!(matches!(fetched(&format!("{server}/missing")), Err(FtpError::Protocol(_))));
        let (server, _) = serve(b"half", false);
        assert!(matches!(fetched(&format!("{server}/a")), Err(FtpError::Protocol(_))));
        assert!(matches!(fetched("ftp://127.0.0.1:1/a"), Err(FtpError::Connect(..))));
    }

    #[test]
    fn nonsense_is_refused() {
        for uri in ["http://h/a", "ftp://h", "ftp:///a", "ftp://h:x/a", "ftp://h/a%0d%0aDELE%20b"] {
            assert!(matches!(parse(uri), Err(FtpError::Uri(_))), "{uri}");
        }
    }
}
