//! The query of a request: `?path=%2Fa&jsonp=cb`.

use http::Uri;

/// Decoded names and values, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn of(uri: &Uri) -> Query {
        Query::parse(uri.query().unwrap_or_default().as_bytes())
    }

    /// Also reads a form body. Broken escapes stay as they are, other bytes than UTF-8 become U+FFFD.
    pub fn parse(text: &[u8]) -> Query {
        Query { pairs: form_urlencoded::parse(text).into_owned().collect() }
    }

    /// Every name, also one that comes again.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }

    /// The last value of that name, as libprocess keeps it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of that name unless it is absent or empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}
