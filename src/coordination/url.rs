//! What `--zk` and `--master` may say, and what it means.
//!
//! | text | is |
//! |---|---|
//! | `zk://host:port,host:port/path` | a ZooKeeper ensemble; port 2181 unless said |
//! | `zk://user:password@host:port/path` | the same, with `digest` credentials |
//! | `etcd://host:port,host:port/path` | an etcd cluster; port 2379 unless said |
//! | `etcds://user:password@host:port/path?ca=FILE&cert=FILE&key=FILE` | the same over TLS; the files are PEM: who signed the servers (the system's authorities unless said), and the client's own certificate |
//! | `host:port`, `master@host:port` | one master, which always leads |
//!
//! Credentials stand before the last `@`, up to the first `:`; a zk password is taken letter for letter, as Apache
//! Mesos takes it (so it has no `/`), an etcd one may have %-escapes. `file:///path` is read by whoever reads flags.
//! No error and no text of these types shows a password.
//!
//! Source: `zookeeper::URL::parse`, zookeeper/url.hpp 1.11; etcd is ours.

use std::fmt;

use percent_encoding::percent_decode_str;

const ZOOKEEPER_PORT: u16 = 2181;
const ETCD_PORT: u16 = 2379;

/// Where the leading master is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    ZooKeeper(Place),
    Etcd(Place, Option<Tls>),
    /// The master that always leads.
    Master(Server),
}

/// A path of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// At least one.
    pub servers: Vec<Server>,
    /// `/mesos`: begins with a slash, ends without one, and is more than one.
    pub path: String,
    pub credentials: Option<Credentials>,
}

/// A server, by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// IPv6 addresses stand without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// Files of PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub ca: Option<String>,
    /// The client's certificate and its key.
    pub identity: Option<(String, String)>,
}

/// What is wrong with a text; quotes it without its password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, got '{shown}'")]
pub struct Malformed {
    why: String,
    shown: String,
}

impl Url {
    /// Whether a text names an ensemble, well or badly, and no single master.
    pub fn is_ensemble(text: &str) -> bool {
        let text = text.trim();
        ["zk://", "etcd://", "etcds://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// A text that may name an ensemble or a master.
    pub fn parse(text: &str) -> Result<Url, Malformed> {
        let text = text.trim();
        let read = || {
            if let Some(rest) = text.strip_prefix("zk://") {
                return Ok(Url::ZooKeeper(place(rest, ZOOKEEPER_PORT, str_as_is)?));
            }
            if let Some(rest) = text.strip_prefix("etcd://") {
                if rest.contains('?') {
                    return Err("expected options only behind etcds://".to_owned());
                }
                return Ok(Url::Etcd(place(rest, ETCD_PORT, unescaped)?, None));
            }
            if let Some(rest) = text.strip_prefix("etcds://") {
                let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
                return Ok(Url::Etcd(place(rest, ETCD_PORT, unescaped)?, Some(tls(options)?)));
            }
            let plain = text.strip_prefix("master@").unwrap_or(text);
            server(plain, None).map(Url::Master).map_err(|_| EXPECTED.to_owned())
        };
        read().map_err(|why| Malformed { why, shown: redacted(text) })
    }

    /// As `parse`, for who has to contend: one master is no place for it.
    pub fn parse_ensemble(text: &str) -> Result<Url, Malformed> {
        let why = "expected zk://host:port,…/path, etcd://host:port,…/path or file:///path of a file that holds one";
        let refuse = || Malformed { why: why.to_owned(), shown: redacted(text) };
        match Url::parse(text) {
            Ok(Url::Master(_)) => Err(refuse()),
            Err(_) if !Url::is_ensemble(text) => Err(refuse()),
            other => other,
        }
    }
}

const EXPECTED: &str = "expected host:port of a master, zk://host:port,…/path, etcd://host:port,…/path \
                        or file:///path of a file that holds one";

fn place(rest: &str, port: u16, reading: fn(&str) -> Result<String, String>) -> Result<Place, String> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (credentials, servers) = match authority.rsplit_once('@') {
        Some((credentials, servers)) => (Some(credentials), servers),
        None => (None, authority),
    };
    let credentials = credentials
        .map(|text| {
            let (user, password) = text.split_once(':').ok_or("expected user:password before '@'")?;
            if user.is_empty() {
                return Err("expected a user before ':'".to_owned());
            }
            Ok(Credentials { user: reading(user)?, password: reading(password)? })
        })
        .transpose()?;
    let servers = servers.split(',').map(|text| server(text, Some(port))).collect::<Result<_, _>>()?;
    Ok(Place { servers, path: valid_path(path)?, credentials })
}

/// Source: `PathUtils.validatePath`, ZooKeeper 3.8; the root is refused as Apache Mesos refuses it.
fn valid_path(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Err("expected a path behind the servers, like /mesos".to_owned());
    }
    let bad = |part: &str| part.is_empty() || matches!(part, "." | "..") || part.contains(char::is_control);
    if path.split('/').skip(1).any(bad) {
        return Err("expected a path without empty parts, dots and control characters".to_owned());
    }
    Ok(path.to_owned())
}

fn server(text: &str, default_port: Option<u16>) -> Result<Server, String> {
    let expected = || "expected servers as host:port".to_owned();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| expected())?),
        _ => (text, default_port.ok_or_else(expected)?),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | ',' | '?' | '#' | '[' | ']');
    let name = bare.unwrap_or(host);
    if name.is_empty() || port == 0 || name.contains(odd) || (bare.is_none() && name.contains(':')) {
        return Err(expected());
    }
    Ok(Server { host: name.to_owned(), port })
}

fn tls(options: &str) -> Result<Tls, String> {
    let (mut ca, mut cert, mut key) = (None, None, None);
    for (name, value) in form_urlencoded::parse(options.as_bytes()) {
        let place = match &*name {
            "ca" => &mut ca,
            "cert" => &mut cert,
            "key" => &mut key,
            _ => return Err("expected ca=FILE, cert=FILE and key=FILE behind '?'".to_owned()),
        };
        *place = Some(value.into_owned());
    }
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("expected cert=FILE and key=FILE together".to_owned()),
    };
    Ok(Tls { ca, identity })
}

fn str_as_is(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn unescaped(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| "expected user and password in UTF-8".to_owned())
}

/// A text without what stands between a user and the last `@`. Works on texts that do not parse, and rather hides
/// too much.
pub fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    match rest.rsplit_once('@') {
        Some((credentials, servers)) => match credentials.split_once(':') {
            Some((user, _)) => format!("{scheme}{user}:…@{servers}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

impl Place {
    /// `host:port,host:port`, as both clients' libraries take it.
    pub fn authority(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        servers.join(",")
    }
}

impl Credentials {
    /// `user:password`, as ZooKeeper's `digest` scheme takes it.
    pub fn digest(&self) -> String {
        format!("{}:{}", self.user, self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.user)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Without credentials.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority(), self.path)
    }
}

/// Without credentials and options.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Url::ZooKeeper(place) => write!(f, "zk://{place}"),
            Url::Etcd(place, None) => write!(f, "etcd://{place}"),
            Url::Etcd(place, Some(_)) => write!(f, "etcds://{place}"),
            Url::Master(server) => server.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(url: Url) -> Place {
        match url {
            Url::ZooKeeper(place) | Url::Etcd(place, _) => place,
            Url::Master(_) => panic!("a place"),
        }
    }

    #[test]
    fn urls_as_people_write_them() {
        for (text, shown) in [
            ("zk://a:1,b:2,c/mesos", "zk://a:1,b:2,c:2181/mesos"),
            (" zk://a/x/y/ \n", "zk://a:2181/x/y"),
            ("zk://u:p:w@q@a:1/m", "zk://a:1/m"),
            ("zk://[::1]:1,[::2]/m", "zk://[::1]:1,[::2]:2181/m"),
            ("etcd://a,b:1/m", "etcd://a:2379,b:1/m"),
            ("etcds://u:p@a/m?ca=/c.pem", "etcds://a:2379/m"),
            ("host:5050", "host:5050"),
            ("master@10.0.0.1:5050", "10.0.0.1:5050"),
            ("[::1]:5050", "[::1]:5050"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn credentials_are_read_and_not_shown() {
        let zk = place_of(Url::parse("zk://u:p:w@q%41@a:1/m").unwrap());
        assert_eq!(zk.credentials.as_ref().map(Credentials::digest).as_deref(), Some("u:p:w@q%41"));
        assert!(!format!("{zk:?}").contains("p:w"));
        let etcd = place_of(Url::parse("etcd://u:p%2Fw%40@a/m").unwrap());
        assert_eq!(etcd.credentials.map(|c| c.password).as_deref(), Some("p/w@"));
    }

    #[test]
    fn tls_is_asked_for_by_the_scheme() {
        let tls = |text: &str| match Url::parse(text) {
            Ok(Url::Etcd(_, tls)) => tls,
            other => panic!("{other:?}"),
        };
        assert_eq!(tls("etcd://a/m"), None);
        assert_eq!(tls("etcds://a/m"), Some(Tls::default()));
        let full = tls("etcds://a/m?ca=/c%20a&cert=/c&key=/k").unwrap();
        let identity = Some(("/c".to_owned(), "/k".to_owned()));
        assert_eq!(full, Tls { ca: Some("/c a".to_owned()), identity });
    }

    #[test]
    fn refusals_quote_the_text_without_its_password() {
        for (text, why) in [
            ("", "expected host:port of a master"),
            ("host", "expected host:port of a master"),
            ("host:0", "expected host:port of a master"),
            ("::1:5050", "expected host:port of a master"),
            ("http://host:5050", "expected host:port of a master"),
            ("file:///etc/zk", "expected host:port of a master"),
            ("zk://", "expected servers as host:port"),
            ("zk:///mesos", "expected servers as host:port"),
            ("zk://a:1,/mesos", "expected servers as host:port"),
            ("zk://a:x/mesos", "expected servers as host:port"),
            ("zk://a b/mesos", "expected servers as host:port"),
            ("zk://a:1", "expected a path behind the servers"),
            ("zk://a:1/", "expected a path behind the servers"),
            ("zk://a:1//m", "expected a path without empty parts"),
            ("zk://a:1/m/../n", "expected a path without empty parts"),
            ("zk://user@a:1/m", "expected user:password before '@'"),
            ("zk://:secret@a:1/m", "expected a user before ':'"),
            ("zk://u:secret@a:1", "expected a path behind the servers"),
            ("zk://u:sec/ret@a:1/m", "expected servers as host:port"),
            ("etcd://a/m?ca=/c", "expected options only behind etcds://"),
            ("etcds://a/m?x=1", "expected ca=FILE"),
            ("etcds://a/m?cert=/c", "expected cert=FILE and key=FILE together"),
            ("etcd://u:secret%ff@a/m", "expected user and password in UTF-8"),
        ] {
            let error = Url::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(why), "{text}: {error}");
            assert!(!error.contains("sec"), "{text}: {error}");
        }
        let error = Url::parse("zk://u:secret@a:1").unwrap_err().to_string();
        assert_eq!(error, "expected a path behind the servers, like /mesos, got 'zk://u:…@a:1'");
    }

    #[test]
    fn who_contends_needs_an_ensemble() {
        assert!(Url::parse_ensemble("zk://a/m").is_ok());
        for text in ["host:5050", "host", "", "zk:/a"] {
            let error = Url::parse_ensemble(text).expect_err(text).to_string();
            assert!(error.starts_with("expected zk://"), "{text}: {error}");
        }
        let error = Url::parse_ensemble("zk://a").unwrap_err().to_string();
        assert!(error.starts_with("expected a path"), "{error}");
    }
}
