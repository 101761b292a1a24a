//! Who leads: masters find each other, and everybody finds the leading one, through ZooKeeper or etcd.
//!
//! Every master that stands makes a node at the path of its URL that goes when its session (or lease) ends; who has
//! the oldest leads. `url` reads what `--zk` and `--master` say, `member` what lies there, `election` decides,
//! `standing` knows who else stands (all four are pure), `zookeeper` and `etcd` talk to an ensemble, and `run` is the
//! loop around them. `lease` says until when a leader may act: a paused one finds out by itself when it wakes up,
//! before it does anything.
//!
//! A session ends, for the one who holds it, as long after the last request that was answered **was sent** as the
//! ensemble would end it after the last one that came: so the old leader stops before the next one starts.
//!
//! Absent on purpose: what a master does with its turn, and a replicated log (durability is the ensemble's).
//! Start reading at `election.rs`.

mod alone;
pub mod election;
pub mod etcd;
pub mod lease;
pub mod look;
pub mod member;
mod run;
mod standing;
pub mod url;
pub mod zookeeper;

pub use alone::resolved;
pub use run::{Candidate, Report, Term, Withdrawal, detect, detect_once, stand};
