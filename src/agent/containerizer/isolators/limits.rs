//! What a container may use, as control groups say it. Pure.
//!
//! Source: the subsystems `cpu` and `memory` of slave/containerizer/mesos/isolators/cgroups 1.11, and for version 2
//! cgroups2/controllers of Mesos' later source.

use super::cgroups::Version;
use crate::proto::{Resource, value};
use crate::resources::Ranges;

/// Shares of one cpu, and the least. Source: `CPU_SHARES_PER_CPU`, `MIN_CPU_SHARES`, constants.hpp 1.11.
const SHARES_PER_CPU: u64 = 1024;
const SHARES_LEAST: u64 = 2;

/// The most shares that the kernel takes.
const SHARES_MOST: u64 = 262_144;

/// In microseconds. Source: `CPU_CFS_PERIOD`, `MIN_CPU_CFS_QUOTA`.
const PERIOD: u64 = 100_000;
const QUOTA_LEAST: u64 = 1000;

/// In bytes. Source: `MIN_MEMORY`.
const MEMORY_LEAST: u64 = 32 << 20;

/// What an executor and its tasks may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Thousandths of a cpu that they are promised.
    pub cpus: u64,
    /// Bytes that they are promised.
    pub mem: u64,
    /// What they may have beyond that.
    pub cpus_limit: Limit,
    pub mem_limit: Limit,
    /// Bytes that its sandbox may take; 0 if nobody gave any, which bounds nothing.
    pub disk: u64,
    pub ports: Ranges,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Nothing is said beyond the promise.
    #[default]
    Unsaid,
    At(u64),
    None,
}

/// One value for one file of a container's control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub controller: &'static str,
    pub file: &'static str,
    pub value: String,
}

/// Bytes as a resource, which are megabytes with three decimals.
pub fn in_megabytes(name: &str, bytes: u64) -> Vec<Resource> {
    let thousandths = (bytes as f64 * 1000.0 / f64::from(1 << 20)).round();
    vec![Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value: thousandths / 1000.0 }),
        ..Resource::default()
    }]
}

fn setting(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting { controller, file, value: value.to_string() }
}

/// The shares of the promise, and a quota where there is a limit or `--cgroups_enable_cfs`.
pub fn cpu(version: Version, allowed: &Allowed, cfs: bool) -> Vec<Setting> {
    let shares = (allowed.cpus.saturating_mul(SHARES_PER_CPU) / 1000).clamp(SHARES_LEAST, SHARES_MOST);
    let quota = |thousandths: u64| (thousandths.saturating_mul(PERIOD) / 1000).max(QUOTA_LEAST);
    let quota = match allowed.cpus_limit {
        Limit::At(limit) => Some(Some(quota(limit))),
        Limit::None => Some(None),
        Limit::Unsaid if cfs => Some(Some(quota(allowed.cpus))),
        Limit::Unsaid => None,
    };
    match version {
        Version::One => {
            let mut settings = vec![setting("cpu", "cpu.shares", shares)];
            if let Some(quota) = quota {
                let quota = quota.map_or("-1".to_owned(), |quota| quota.to_string());
                settings.push(setting("cpu", "cpu.cfs_period_us", PERIOD));
                settings.push(setting("cpu", "cpu.cfs_quota_us", quota));
            }
            settings
        }
        Version::Two => {
            // As the kernel and systemd convert one to the other.
            let weight = 1 + (shares - SHARES_LEAST) * 9999 / (SHARES_MOST - SHARES_LEAST);
            let mut settings = vec![setting("cpu", "cpu.weight", weight)];
            if let Some(quota) = quota {
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                settings.push(setting("cpu", "cpu.max", format!("{quota} {PERIOD}")));
            }
            settings
        }
    }
}

/// What is reclaimed last, and what is never exceeded. `with_swap`: swap counts as memory.
pub fn memory(version: Version, allowed: &Allowed, with_swap: bool) -> Vec<Setting> {
    let soft = allowed.mem.max(MEMORY_LEAST);
    let hard = match allowed.mem_limit {
        Limit::Unsaid => Some(soft),
        Limit::At(limit) => Some(limit.max(MEMORY_LEAST)),
        Limit::None => None,
    };
    match version {
        Version::One => {
            let hard = hard.map_or("-1".to_owned(), |hard| hard.to_string());
            let mut settings = vec![
                setting("memory", "memory.soft_limit_in_bytes", soft),
                setting("memory", "memory.limit_in_bytes", &hard),
            ];
            if with_swap {
                settings.push(setting("memory", "memory.memsw.limit_in_bytes", hard));
            }
            settings
        }
        Version::Two => {
            let mut settings = vec![setting("memory", "memory.low", soft)];
            // Where there is more than the promise, what is near its end is slowed down before it is killed.
            let high = hard.filter(|hard| *hard > soft).map(|hard| soft + (hard - soft) / 5 * 4);
            let high = high.map_or("max".to_owned(), |high| high.to_string());
            settings.push(setting("memory", "memory.high", high));
            settings.push(setting(
                "memory",
                "memory.max",
                hard.map_or("max".to_owned(), |hard| hard.to_string()),
            ));
            if with_swap {
                settings.push(setting("memory", "memory.swap.max", 0));
            }
            settings
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(settings: Vec<Setting>) -> Vec<String> {
        settings.into_iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    fn one() -> Allowed {
        Allowed { cpus: 1500, mem: 64 << 20, ..Allowed::default() }
    }

    #[test]
    fn cpus_are_shares_and_quota() {
        assert_eq!(shown(cpu(Version::One, &one(), false)), ["cpu.shares=1536"]);
        assert_eq!(
            shown(cpu(Version::One, &one(), true)),
            ["cpu.shares=1536", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"]
        );
        let limited = Allowed { cpus_limit: Limit::At(2000), ..one() };
        assert_eq!(shown(cpu(Version::One, &limited, false))[2], "cpu.cfs_quota_us=200000");
        let unlimited = Allowed { cpus_limit: Limit::None, ..one() };
        assert_eq!(shown(cpu(Version::One, &unlimited, true))[2], "cpu.cfs_quota_us=-1");
        assert_eq!(shown(cpu(Version::Two, &one(), true)), ["cpu.weight=59", "cpu.max=150000 100000"]);
        assert_eq!(shown(cpu(Version::Two, &unlimited, false))[1], "cpu.max=max 100000");
        assert_eq!(shown(cpu(Version::One, &Allowed::default(), true))[0], "cpu.shares=2");
    }

    #[test]
    fn memory_has_a_promise_and_a_bound() {
        let shown_one = shown(memory(Version::One, &one(), false));
        assert_eq!(shown_one, ["memory.soft_limit_in_bytes=67108864", "memory.limit_in_bytes=67108864"]);
        let least = memory(Version::Two, &Allowed::default(), false);
        assert_eq!(shown(least), ["memory.low=33554432", "memory.high=max", "memory.max=33554432"]);
        let wide = memory(Version::Two, &Allowed { mem_limit: Limit::At(164 << 20), ..one() }, false);
        assert_eq!(shown(wide)[1..], ["memory.high=150994944", "memory.max=171966464"]);
        let limited = Allowed { mem_limit: Limit::None, ..one() };
        assert_eq!(
            shown(memory(Version::One, &limited, true)),
            [
                "memory.soft_limit_in_bytes=67108864",
                "memory.limit_in_bytes=-1",
                "memory.memsw.limit_in_bytes=-1"
            ]
        );
    }
}
