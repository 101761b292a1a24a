//! The nodes of an election: their names, and the MasterInfo that they hold.
//!
//! | name | holds | written by |
//! |---|---|---|
//! | `json.info_0000000012` | MasterInfo as JSON | us, Apache Mesos since 0.24 |
//! | `info_0000000012` | MasterInfo as protobuf | Apache Mesos 0.17 to 0.23 |
//! | `0000000012` | a pid, `master@ip:port` | Apache Mesos up to 0.16 |
//!
//! Source: `ZooKeeperMasterDetectorProcess::fetched`, detector/zookeeper.cpp; `GroupProcess::cache`, group.cpp; 1.11.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::base::upid::Upid;
use crate::proto::check::decode_as;
use crate::proto::json::{from_json, to_json};
use crate::proto::{MasterInfo, Spelling};

/// What stands before the number of a node that we make.
pub const LABEL: &str = "json.info_";

/// A master that stands, by its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Orders members: the lowest leads.
    pub number: u64,
    /// Of its node, below the path.
    pub name: String,
}

impl Member {
    /// The member of a name, ordered by the number in it; none for what is no member's (`log_replicas`).
    pub fn of_name(name: &str) -> Option<Member> {
        let number = name.rsplit_once('_').map_or(name, |(_, number)| number);
        Some(Member { number: number.parse().ok()?, name: name.to_owned() })
    }

    /// What its node holds. The error says what is wrong with it.
    pub fn read(&self, data: &[u8]) -> Result<MasterInfo, String> {
        match self.name.rsplit_once('_').map(|(label, _)| label) {
            Some("json.info") => from_json(data, Spelling::V0).map_err(|error| error.to_string()),
            Some("info") => decode_as(data, Spelling::V0).map_err(|error| error.to_string()),
            Some(other) => Err(format!("nodes labelled '{other}' are not known")),
            None => {
                let text = std::str::from_utf8(data).map_err(|_| "expected a pid".to_owned())?;
                text.trim().parse().map(|pid| of_pid(&pid)).map_err(|_| "expected a pid".to_owned())
            }
        }
    }
}

/// What a node of ours holds.
pub fn written(info: &MasterInfo) -> Vec<u8> {
    to_json(info, Spelling::V0)
}

fn of_pid(pid: &Upid) -> MasterInfo {
    let ip = match pid.address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    MasterInfo {
        id: pid.to_string(),
        ip: u32::from_le_bytes(ip.octets()),
        port: u32::from(pid.address.port()),
        pid: Some(pid.to_string()),
        ..MasterInfo::default()
    }
}

/// Where a master listens for messages.
pub fn pid_of(info: &MasterInfo) -> Upid {
    let pid = info.pid.as_deref().and_then(|pid| pid.parse().ok());
    pid.unwrap_or_else(|| {
        let ip = Ipv4Addr::from(info.ip.to_le_bytes());
        Upid::new("master", SocketAddr::from((ip, u16::try_from(info.port).unwrap_or_default())))
    })
}

/// How clients that come from elsewhere reach a master: `hostname:port`.
pub fn authority_of(info: &MasterInfo) -> String {
    let pid = pid_of(info);
    let hostname = info.hostname.clone().filter(|name| !name.is_empty());
    format!("{}:{}", hostname.unwrap_or_else(|| pid.address.ip().to_string()), info.port)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn info() -> MasterInfo {
        MasterInfo {
            id: "m".to_owned(),
            ip: 16_777_343,
            port: 5050,
            pid: Some("master@127.0.0.1:5050".to_owned()),
            hostname: Some("host".to_owned()),
            ..MasterInfo::default()
        }
    }

    #[test]
    fn names() {
        let of = |name: &str| Member::of_name(name).map(|member| member.number);
        assert_eq!(of("json.info_0000000012"), Some(12));
        assert_eq!(of("info_0000000007"), Some(7));
        assert_eq!(of("0000000003"), Some(3));
        for other in ["log_replicas", "json.info_", "json.info_x", "", "json.info_-1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn nodes_of_every_age_are_read() {
        let read = |name: &str, data: &[u8]| Member::of_name(name).unwrap().read(data);
        let json =
            br#"{"address":{"hostname":"host","ip":"127.0.0.1","port":5050},"hostname":"host","id":"m",
            "ip":16777343,"pid":"master@127.0.0.1:5050","port":5050,"unknown":[{}]}"#;
        let found = read("json.info_1", json).unwrap();
        assert_eq!(found.address.as_ref().and_then(|it| it.ip.as_deref()), Some("127.0.0.1"));
        assert_eq!(MasterInfo { address: None, ..found }, info());
        assert_eq!(read("json.info_1", &written(&info())).unwrap(), info());
        assert_eq!(read("info_1", &info().encode_to_vec()).unwrap(), info());
        let old = read("0000000001", b"master@127.0.0.1:5050").unwrap();
        assert_eq!((pid_of(&old), old.ip), (pid_of(&info()), 16_777_343));
        for (name, data) in [
            ("json.info_1", &b"{}"[..]),
            ("json.info_1", b"["),
            ("info_1", b"\xff"),
            ("1", b"x"),
            ("new_1", b""),
        ] {
            assert!(read(name, data).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(authority_of(&info()), "host:5050");
        let bare = MasterInfo { hostname: None, pid: None, ..info() };
        assert_eq!(authority_of(&bare), "127.0.0.1:5050");
        assert_eq!(pid_of(&bare).to_string(), "master@127.0.0.1:5050");
    }
}
