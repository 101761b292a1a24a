//! What the agent finds out by itself: what this machine has.
//!
//! Source: `Containerizer::resources`, containerizer.cpp 1.11.

use std::path::Path;

use procfs::{Current as _, Meminfo};

use super::flags::Flags;
use crate::proto::domain_info::FaultDomain;
use crate::proto::domain_info::fault_domain::{RegionInfo, ZoneInfo};
use crate::proto::{AgentInfo, DomainInfo, Resource};
use crate::resources::{Invalid, Resources, attributes, parse};

const GB: u64 = 1 << 30;
const MB: u64 = 1 << 20;

/// Used where the machine does not tell. Source: slave/constants.hpp 1.11.
const DEFAULT_MEM: u64 = GB;
const DEFAULT_DISK: u64 = 10 * GB;
const DEFAULT_PORTS: &str = "[31000-32000]";

/// What the master is told of this agent.
pub fn agent_info(flags: &Flags, hostname: &str, port: u16) -> Result<AgentInfo, Invalid> {
    let attributes = flags.attributes.as_deref().map(attributes::parse).transpose()?.unwrap_or_default();
    let domain = flags.domain.as_ref().map(|domain| DomainInfo {
        fault_domain: Some(FaultDomain {
            region: RegionInfo { name: domain.region.clone() },
            zone: ZoneInfo { name: domain.zone.clone() },
        }),
    });
    Ok(AgentInfo {
        hostname: hostname.to_owned(),
        port: Some(i32::from(port)),
        resources: resources(flags)?,
        attributes,
        domain,
        // Always so since Mesos 0.22.
        checkpoint: Some(true),
        ..AgentInfo::default()
    })
}

/// What `--resources` names, and what it leaves out as this machine has it. In the form that masters of any
/// version read.
fn resources(flags: &Flags) -> Result<Vec<Resource>, Invalid> {
    let role = &flags.default_role;
    let given = flags.resources.as_deref().unwrap_or_default();
    let mut all = parse::parse_list(given, role)?;
    let names: Vec<String> = all.iter().map(|resource| resource.name.clone()).collect();
    let mut add = |name: &str, value: &dyn Fn() -> String| -> Result<(), Invalid> {
        if !names.iter().any(|known| known == name) {
            all.extend(parse::parse_list(&format!("{name}:{}", value()), role)?);
        }
        Ok(())
    };
    add("cpus", &|| cpus().to_string())?;
    add("mem", &|| (spare_mem(total_mem()) / MB).to_string())?;
    add("disk", &|| (spare_disk(total_disk(&flags.work_dir)) / MB).to_string())?;
    add("ports", &|| DEFAULT_PORTS.to_owned())?;
    Resources::from_protos(&all)?.to_old_protos()
}

fn cpus() -> usize {
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0).unwrap_or(1)
}

fn total_mem() -> Option<u64> {
    Meminfo::current().ok().map(|memory| memory.mem_total)
}

/// A GB is left to the system, or half where there is little.
fn spare_mem(total: Option<u64>) -> u64 {
    match total {
        Some(total) if total >= 2 * GB => total - GB,
        Some(total) => total / 2,
        None => DEFAULT_MEM,
    }
}

/// Of the file system that holds `--work_dir`.
fn total_disk(work_dir: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(work_dir).ok()?;
    Some(stat.blocks().saturating_mul(stat.fragment_size()))
}

/// 5 GB are left to the system, or half where there is little.
fn spare_disk(total: Option<u64>) -> u64 {
    match total {
        Some(total) if total >= 10 * GB => total - 5 * GB,
        Some(total) => total / 2,
        None => DEFAULT_DISK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(flags: &[&str]) -> Resources {
        let dir = tempfile::tempdir().unwrap();
        let mut all = vec!["--master=127.0.0.1:5050"];
        all.extend(flags);
        let mut flags = Flags::from_args(&all).unwrap();
        flags.work_dir = dir.path().to_owned();
        Resources::from_protos(&resources(&flags).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_said_is_detected() {
        let all = detected(&[]);
        assert!(all.cpus() >= 1000 && all.mem() > 0 && all.disk() > 0);
        assert_eq!(all.ports().to_string(), DEFAULT_PORTS);
        let some = detected(&["--resources=cpus:9;mem(web):64;disk:0"]);
        assert_eq!((some.cpus(), some.mem(), some.disk()), (9000, 64_000, 0));
        assert_eq!(some.reserved_for("web").mem(), 64_000);
        let reserved = detected(&["--default_role=web", "--resources=cpus:2"]);
        assert!(reserved.unreserved().is_empty());
    }

    #[test]
    fn the_system_keeps_its_share() {
        assert_eq!(spare_mem(Some(8 * GB)), 7 * GB);
        assert_eq!(spare_mem(Some(GB)), GB / 2);
        assert_eq!(spare_mem(None), DEFAULT_MEM);
        assert_eq!(spare_disk(Some(20 * GB)), 15 * GB);
        assert_eq!(spare_disk(Some(8 * GB)), 4 * GB);
    }
}
