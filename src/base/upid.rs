//! The address of a libprocess process: `id@ip:port`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Who sent a message and where answers go. The ip is numeric, as libprocess writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upid {
    pub id: Arc<str>,
    pub address: SocketAddr,
}

impl Upid {
    pub fn new(id: &str, address: SocketAddr) -> Upid {
        Upid { id: id.into(), address }
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

/// The text is not `id@ip:port`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 'id@ip:port'")]
pub struct UpidError;

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Upid, UpidError> {
        let (id, address) = text.split_once('@').ok_or(UpidError)?;
        let address = address.parse().map_err(|_| UpidError)?;
        Ok(Upid::new(id, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let upid: Upid = "slave(1)@127.0.0.1:5051".parse().expect("a upid");
        assert_eq!(upid.to_string(), "slave(1)@127.0.0.1:5051");
        assert_eq!("slave(1)".parse::<Upid>(), Err(UpidError));
        assert_eq!("a@host:1".parse::<Upid>(), Err(UpidError));
    }
}
