//! How facts are written: each under a key of its own, as a message that says which version of the format it is.
//!
//! An agent has one record for all its life, which says whether it is admitted, unreachable or gone: a change of
//! that is one write of one key, and can never be seen half done.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::{Drain, Registry};
use crate::base::time::Time;
use crate::proto::check::{self, DecodeError};
use crate::proto::internal::{RegistryRecord, RegistrySchedules, registry};
use crate::proto::{AgentId, MachineId, TimeInfo, WeightInfo};

/// The format that is written. Later ones must still read it.
pub const VERSION: u32 = 1;

/// About what a record has besides an agent's description, or its id.
const FRAME: usize = 8;
const MARK: usize = 20;

/// What a fact is kept under; as text `agents/<id>` and the like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Master,
    Agent(AgentId),
    Machine(String),
    Schedules,
    /// By role, as the next two.
    Quota(String),
    OldQuota(String),
    Weight(String),
    MinimumCapability(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Master => f.write_str("master"),
            Key::Agent(id) => write!(f, "agents/{id}"),
            Key::Machine(name) => write!(f, "machines/{name}"),
            Key::Schedules => f.write_str("schedules"),
            Key::Quota(role) => write!(f, "quotas/{role}"),
            Key::OldQuota(role) => write!(f, "old_quotas/{role}"),
            Key::Weight(role) => write!(f, "weights/{role}"),
            Key::MinimumCapability(name) => write!(f, "minimum_capabilities/{name}"),
        }
    }
}

impl Key {
    fn parse(text: &str) -> Option<Key> {
        let (kind, name) = text.split_once('/').map_or((text, None), |(kind, name)| (kind, Some(name)));
        let name = name.map(str::to_owned);
        Some(match (kind, name) {
            ("master", None) => Key::Master,
            ("schedules", None) => Key::Schedules,
            ("agents", Some(id)) => Key::Agent(id.into()),
            ("machines", Some(name)) => Key::Machine(name),
            ("quotas", Some(role)) => Key::Quota(role),
            ("old_quotas", Some(role)) => Key::OldQuota(role),
            ("weights", Some(role)) => Key::Weight(role),
            ("minimum_capabilities", Some(name)) => Key::MinimumCapability(name),
            _ => return None,
        })
    }
}

/// Why what a store holds is no registry, or none of ours.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the registry has a record '{0}', which this version does not know: a later one wrote it")]
    UnknownKey(String),
    #[error("record '{key}' of the registry is of format {version}, and this version reads up to {VERSION}")]
    Later { key: String, version: u32 },
    #[error("record '{key}' of the registry is no record of it")]
    Malformed { key: String, source: DecodeError },
    #[error("record '{0}' of the registry does not hold what its name says")]
    Misplaced(String),
}

impl Registry {
    /// Reads every record of a store, in any order.
    pub fn from_records(records: impl IntoIterator<Item = (String, Bytes)>) -> Result<Registry, Unreadable> {
        let mut registry = Registry::default();
        for (key, bytes) in records {
            registry.read(key, &bytes)?;
        }
        Ok(registry)
    }

    fn read(&mut self, key: String, bytes: &[u8]) -> Result<(), Unreadable> {
        // First, since later formats may have other keys and fields.
        let version = RegistryRecord::decode(bytes).map(|record| record.version).unwrap_or(0);
        if version > VERSION {
            return Err(Unreadable::Later { key, version });
        }
        let Some(known) = Key::parse(&key) else { return Err(Unreadable::UnknownKey(key)) };
        match check::decode::<RegistryRecord>(bytes) {
            Ok(record) if version == VERSION => self.insert(&known, record).ok_or(Unreadable::Misplaced(key)),
            Ok(_) => Err(Unreadable::Misplaced(key)),
            Err(source) => Err(Unreadable::Malformed { key, source }),
        }
    }

    /// None if the record is not one of its key.
    fn insert(&mut self, key: &Key, record: RegistryRecord) -> Option<()> {
        match key {
            Key::Master => self.master = Some(Arc::new(record.master?.info)),
            Key::Agent(id) => self.insert_agent(id, record)?,
            Key::Machine(name) => {
                self.machines.insert(name.clone(), record.machine?.info);
            }
            Key::Schedules => self.schedules = record.schedules?.schedules,
            Key::Quota(role) => {
                self.quotas.insert(role.clone(), record.quota?);
            }
            Key::OldQuota(role) => {
                self.old_quotas.insert(role.clone(), record.old_quota?.info);
            }
            Key::Weight(role) => {
                self.weights.insert(role.clone(), record.weight?.info.weight);
            }
            Key::MinimumCapability(_) => {
                self.minimum_capabilities.insert(record.minimum_capability?.capability);
            }
        }
        Some(())
    }

    fn insert_agent(&mut self, id: &AgentId, record: RegistryRecord) -> Option<()> {
        let drain = if let Some(agent) = record.admitted {
            let deactivated = agent.deactivated();
            let own = agent.info.id.as_ref() == Some(id);
            self.admitted.insert(id.clone(), Arc::new(agent.info));
            own.then_some(Drain { info: agent.drain_info, deactivated })?
        } else if let Some(agent) = record.unreachable {
            let deactivated = agent.deactivated();
            self.unreachable.insert(id.clone(), time(agent.timestamp));
            Drain { info: agent.drain_info, deactivated }
        } else {
            self.gone.insert(id.clone(), time(record.gone?.timestamp));
            Drain::default()
        };
        if drain != Drain::default() {
            self.drains.insert(id.clone(), drain);
        }
        Some(())
    }

    /// The bytes to keep under a key; none if there is nothing to keep.
    pub fn record(&self, key: &Key) -> Option<Bytes> {
        let mut record = RegistryRecord { version: VERSION, ..RegistryRecord::default() };
        match key {
            Key::Master => {
                let info = self.master.as_deref()?.clone();
                record.master = Some(registry::Master { info });
            }
            Key::Agent(id) => {
                record.admitted = self.admitted_message(id);
                record.unreachable = self.unreachable_message(id);
                record.gone = self.gone_message(id);
                if record.admitted.is_none() && record.unreachable.is_none() && record.gone.is_none() {
                    return None;
                }
            }
            Key::Machine(name) => {
                record.machine = Some(registry::Machine { info: self.machines.get(name)?.clone() });
            }
            Key::Schedules if self.schedules.is_empty() => return None,
            Key::Schedules => {
                record.schedules = Some(RegistrySchedules { schedules: self.schedules.clone() });
            }
            Key::Quota(role) => record.quota = Some(self.quotas.get(role)?.clone()),
            Key::OldQuota(role) => {
                record.old_quota = Some(registry::Quota { info: self.old_quotas.get(role)?.clone() });
            }
            Key::Weight(role) => {
                let info = WeightInfo { weight: *self.weights.get(role)?, role: Some(role.clone()) };
                record.weight = Some(registry::Weight { info });
            }
            Key::MinimumCapability(name) => {
                let capability = self.minimum_capabilities.get(name)?.clone();
                record.minimum_capability = Some(registry::MinimumCapability { capability });
            }
        }
        Some(record.encode_to_vec().into())
    }

    /// Bytes of the record under a key, near enough for a gauge: of an agent, those of its description.
    pub fn record_size(&self, key: &Key) -> usize {
        match key {
            Key::Agent(id) => self.admitted.get(id).map_or_else(
                || {
                    let known = self.unreachable.contains_key(id) || self.gone.contains_key(id);
                    if known { id.value.len() + MARK } else { 0 }
                },
                |info| info.encoded_len() + FRAME,
            ),
            other => self.record(other).map_or(0, |bytes| bytes.len()),
        }
    }

    /// Under which keys there is something to keep.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        keys.extend(self.master.is_some().then_some(Key::Master));
        let agents = self.admitted.keys().chain(self.unreachable.keys()).chain(self.gone.keys());
        keys.extend(agents.cloned().map(Key::Agent));
        keys.extend(self.machines.keys().cloned().map(Key::Machine));
        keys.extend((!self.schedules.is_empty()).then_some(Key::Schedules));
        keys.extend(self.quotas.keys().cloned().map(Key::Quota));
        keys.extend(self.old_quotas.keys().cloned().map(Key::OldQuota));
        keys.extend(self.weights.keys().cloned().map(Key::Weight));
        keys.extend(self.minimum_capabilities.iter().cloned().map(Key::MinimumCapability));
        keys
    }

    pub(super) fn admitted_message(&self, id: &AgentId) -> Option<registry::Agent> {
        let info = (**self.admitted.get(id)?).clone();
        let (drain_info, deactivated) = self.drain_of(id);
        Some(registry::Agent { info, drain_info, deactivated })
    }

    pub(super) fn unreachable_message(&self, id: &AgentId) -> Option<registry::UnreachableAgent> {
        let timestamp = time_info(*self.unreachable.get(id)?);
        let (drain_info, deactivated) = self.drain_of(id);
        Some(registry::UnreachableAgent { id: id.clone(), timestamp, drain_info, deactivated })
    }

    pub(super) fn gone_message(&self, id: &AgentId) -> Option<registry::GoneAgent> {
        let timestamp = time_info(*self.gone.get(id)?);
        Some(registry::GoneAgent { id: id.clone(), timestamp })
    }

    fn drain_of(&self, id: &AgentId) -> (Option<crate::proto::DrainInfo>, Option<bool>) {
        match self.drains.get(id) {
            Some(drain) => (drain.info, drain.deactivated.then_some(true)),
            None => (None, None),
        }
    }
}

/// What a machine is kept under: host names are compared without regard to case, as Mesos does.
pub(super) fn machine_name(id: &MachineId) -> String {
    format!("{}|{}", id.hostname().to_lowercase(), id.ip())
}

pub(super) fn time_info(at: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX) }
}

pub(super) fn time(info: TimeInfo) -> Time {
    Time(u64::try_from(info.nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::internal::Registry as Message;
    use crate::proto::{AgentInfo, Spelling, json};

    fn agent(id: &str) -> Arc<AgentInfo> {
        Arc::new(AgentInfo { id: Some(id.into()), hostname: "h".to_owned(), ..AgentInfo::default() })
    }

    /// One of everything.
    pub fn full() -> Registry {
        let text = r#"{
          "master": {"info": {"id": "m", "ip": 16777343, "port": 5050}},
          "slaves": {"slaves": [
            {"info": {"hostname": "a", "id": {"value": "S1"}}},
            {"info": {"hostname": "b", "id": {"value": "S2"}}, "deactivated": true,
             "drain_info": {"state": "DRAINING", "config": {"mark_gone": true}}}]},
          "unreachable": {"slaves": [{"id": {"value": "S3"}, "timestamp": {"nanoseconds": 7}}]},
          "gone": {"slaves": [{"id": {"value": "S4"}, "timestamp": {"nanoseconds": 8}}]},
          "machines": {"machines": [{"info": {"id": {"hostname": "A", "ip": "1.2.3.4"}, "mode": "DOWN"}}]},
          "schedules": [{"windows": [{"machine_ids": [{"hostname": "A"}],
            "unavailability": {"start": {"nanoseconds": 5}}}]}],
          "quotas": [{"info": {"role": "old", "guarantee": []}}],
          "quota_configs": [{"role": "a/b", "limits": {"cpus": {"value": 2}}}],
          "weights": [{"info": {"role": "a/b", "weight": 2.5}}],
          "minimum_capabilities": [{"capability": "QUOTA_V2"}]
        }"#;
        let message: Message = json::from_json(text.as_bytes(), Spelling::V0).expect("a registry");
        Registry::from_message(message).expect("a registry")
    }

    fn records(registry: &Registry) -> Vec<(String, Bytes)> {
        let keys = registry.keys();
        keys.iter().map(|key| (key.to_string(), registry.record(key).expect("it is there"))).collect()
    }

    #[test]
    fn everything_is_written_and_read() {
        let registry = full();
        let records = records(&registry);
        assert_eq!(records.len(), 11, "{records:?}");
        assert_eq!(Registry::from_records(records).expect("readable"), registry);
    }

    #[test]
    fn keys_are_read_as_written() {
        for key in full().keys() {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn a_later_format_and_what_is_no_record_are_refused() {
        let read = |key: &str, bytes: &[u8]| {
            let bytes = Bytes::copy_from_slice(bytes);
            Registry::from_records([(key.to_owned(), bytes)]).map_err(|error| error.to_string())
        };
        let later = RegistryRecord { version: 2, ..RegistryRecord::default() }.encode_to_vec();
        let found = read("agents/S1", &later).unwrap_err();
        assert_eq!(
            found,
            "record 'agents/S1' of the registry is of format 2, and this version reads up to 1"
        );
        assert!(read("else/S1", &later).unwrap_err().contains("format 2"));
        let mut registry = Registry::default();
        registry.admitted.insert("S1".into(), agent("S1"));
        let bytes = registry.record(&Key::Agent("S1".into())).expect("it is there");
        assert!(read("agents/S1", &bytes).is_ok());
        assert!(read("else/S1", &bytes).unwrap_err().contains("does not know"));
        assert!(read("agents/S2", &bytes).unwrap_err().contains("what its name says"));
        assert!(read("master", &bytes).unwrap_err().contains("what its name says"));
        for cut in 0..bytes.len() {
            assert!(read("agents/S1", &bytes[..cut]).is_err(), "{cut}");
        }
    }
}
