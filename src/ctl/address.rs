//! Where a master is, as an operator writes it.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;

use crate::coordination::url::Url;

/// The port of masters.
const PORT: u16 = 5050;

/// The most that is read of a file with an address.
const FILE_LIMIT: u64 = 64 << 10;

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address; IPv6 ones stand in brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// `host:port`, `host`, `master@host:port` or `http://host:port/`; the error says what is expected.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let text = text.trim();
        // A variable that is set to nothing says nothing.
        if text.is_empty() {
            return Ok(Address { host: "localhost".to_owned(), port: PORT });
        }
        if text.starts_with("https://") {
            return Err("TLS is not there yet: expected a master as host:port".to_owned());
        }
        let plain = text.strip_prefix("http://").unwrap_or(text);
        let plain = plain.trim_start_matches('/').trim_end_matches('/');
        let plain = plain.strip_prefix("master@").unwrap_or(plain);
        let expected = || format!("expected a master as host:port, got '{text}'");
        let (host, port) = match plain.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| expected())?),
            _ => (plain, PORT),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | ',' | '?' | '#');
        if host.is_empty() || port == 0 || host.contains(odd) || (host.contains(':') && !bracketed) {
            return Err(expected());
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

/// Where a master is, or where masters elect their leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    Master(Address),
    Ensemble(Url),
}

/// As `Address`, or `zk://…`, `etcd://…`, or `file:///path` of a file that holds any of them.
impl FromStr for Whereabouts {
    type Err = String;

    fn from_str(text: &str) -> Result<Whereabouts, String> {
        let text = text.trim();
        let content = match text.strip_prefix("file://") {
            Some(path) => read(path).map_err(|error| format!("reading '{path}': {error}"))?,
            None => text.to_owned(),
        };
        if Url::is_ensemble(&content) {
            return Url::parse(&content).map(Whereabouts::Ensemble).map_err(|why| why.to_string());
        }
        content.parse().map(Whereabouts::Master)
    }
}

fn read(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, expected) in [
            ("localhost:5051", "localhost:5051"),
            ("master.example", "master.example:5050"),
            ("master@10.0.0.1:5050", "10.0.0.1:5050"),
            ("http://10.0.0.1:80/", "10.0.0.1:80"),
            ("//host:5050", "host:5050"),
            ("[::1]:5050", "[::1]:5050"),
            ("[::1]", "[::1]:5050"),
            ("", "localhost:5050"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("https://a", "TLS is not there yet"),
            ("http://", "host:port"),
            ("a:b", "host:port"),
            ("a:0", "host:port"),
            ("a:1,b:2", "host:port"),
            ("::1", "host:port"),
            ("a/b", "host:port"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn places_as_people_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zk");
        std::fs::write(&file, "zk://u:secret@a:2181/mesos\n").unwrap();
        let place = |text: &str| text.parse::<Whereabouts>();
        assert!(matches!(place("zk://a,b/mesos"), Ok(Whereabouts::Ensemble(_))));
        assert!(matches!(place(&format!("file://{}", file.display())), Ok(Whereabouts::Ensemble(_))));
        assert!(matches!(place("localhost"), Ok(Whereabouts::Master(_))));
        let error = place("zk://u:secret@a").unwrap_err();
        assert!(error.contains("expected a path") && !error.contains("secret"), "{error}");
        assert!(place("file:///nowhere").unwrap_err().starts_with("reading '/nowhere'"));
    }
}
