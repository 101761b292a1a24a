//! Where a master is, as an operator writes it.

use std::fmt;
use std::str::FromStr;

/// The port of masters.
const PORT: u16 = 5050;

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
        for scheme in ["zk://", "etcd://", "file://"] {
            if text.starts_with(scheme) {
                return Err(format!(
                    "finding the leading master through {scheme} is not there yet: name any master as host:port, \
                     ctl goes on to the leader"
                ));
            }
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
            ("zk://a:2181/mesos", "zk:// is not there yet"),
            ("etcd://a/mesos", "etcd:// is not there yet"),
            ("file:///etc/master", "file:// is not there yet"),
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
}
