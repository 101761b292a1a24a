//! Who leads: masters find each other, and everybody finds the leading one, through ZooKeeper or etcd.
//!
//! `url` reads what `--zk` and `--master` say.

pub mod url;
