//! How the cores are made for a world.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesos::agent;
use mesos::alloc::{Allocator, Options};
use mesos::base::time::Time;
use mesos::base::upid::Upid;
use mesos::master;
use mesos::proto::resource::{ReservationInfo, reservation_info};
use mesos::proto::{AgentInfo, MasterInfo, Resource};
use mesos::registry::Registry;

use crate::scheduler::scalar;
use crate::world::master_address;

/// What each agent has for everybody, before it grows.
const CPUS: f64 = 8.0;
const MEM: f64 = 4096.0;
const DISK: f64 = 10_000.0;

/// As `--registry_store_timeout` is unless said otherwise.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// Each life has an id of its own.
pub fn master_info(index: usize, life: u64) -> MasterInfo {
    MasterInfo {
        id: format!("master-{life}"),
        ip: u32::from_le_bytes([10, 0, 0, 1 + index as u8]),
        port: 5050,
        pid: Some(Upid::new("master", master_address(index)).to_string()),
        hostname: Some("master".to_owned()),
        version: Some("1.11.0".to_owned()),
        ..MasterInfo::default()
    }
}

/// A leading master that has read the registry.
pub fn master(
    index: usize,
    life: u64,
    registry: &Registry,
    now: Time,
) -> (master::core::State, master::core::Effects) {
    let flags = master::flags::Flags::for_tests();
    let info = master_info(index, life);
    let mut effects = vec![];
    let state = master::core::State::new(Arc::new(flags), info, registry, now, now, &mut effects);
    (state, effects)
}

/// A master, as a detector tells of it.
pub fn leader(index: usize) -> agent::core::Leader {
    agent::core::Leader { pid: Upid::new("master", master_address(index)), hostname: "master".to_owned() }
}

pub fn allocator(seed: u64) -> Allocator {
    Allocator::new(Options { seed, ..Options::default() })
}

/// Every third agent keeps something for one role alone; `extra` cpus came later.
pub fn resources(index: usize, extra: u32) -> Vec<Resource> {
    let mut resources =
        vec![scalar("cpus", CPUS + f64::from(extra)), scalar("mem", MEM), scalar("disk", DISK)];
    if index % 3 == 1 {
        let reservation = ReservationInfo {
            r#type: Some(reservation_info::Type::Static as i32),
            role: Some("web".to_owned()),
            ..ReservationInfo::default()
        };
        for (name, value) in [("cpus", 3.0), ("mem", 1024.0)] {
            resources.push(Resource { reservations: vec![reservation.clone()], ..scalar(name, value) });
        }
    }
    resources
}

/// An agent that has not met a master, where an earlier one may have left something.
pub fn agent(
    index: usize,
    extra: u32,
    life: u64,
    address: SocketAddr,
    recovered: agent::core::Recovered,
    now: Time,
) -> (agent::core::State, agent::core::Effects) {
    let config = agent::core::state::Config {
        pid: Upid::new("slave(1)", address),
        work_dir: format!("/agent{index}").into(),
        binary: "/mesos".into(),
        launcher_dir: String::new(),
        default_executor_flags: vec![],
        switch_user: false,
        bounds_cpus: false,
        bounds_mem: false,
        registration_backoff: Duration::from_secs(1),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_reregistration_retry_interval: None,
        recovery_timeout: Duration::from_secs(900),
        checkpoint: true,
        recover: agent::core::state::Recover::Reconnect,
        reconfiguration_policy: agent::core::state::ReconfigurationPolicy::Additive,
        executor_environment: BTreeMap::new(),
        max_completed_executors_per_framework: 10,
    };
    let info = AgentInfo {
        hostname: format!("agent{index}"),
        port: Some(5051),
        resources: resources(index, extra),
        ..AgentInfo::default()
    };
    let mut effects = vec![];
    let seed = life * 1000 + index as u64;
    let state = agent::core::State::recover(config, info, recovered, now, seed, &mut effects);
    (state.expect("it only ever grew"), effects)
}
