//! What a container may use: what its executor and the tasks that have not ended were given.
//!
//! Source: `Slave::computeExecutorLimits`, slave.cpp 1.11.

use std::collections::BTreeMap;

use super::state::Executor;
use crate::agent::containerizer::isolators::limits::{Allowed, Limit};
use crate::proto::{ExecutorInfo, Resource, TaskInfo, value};
use crate::resources::Ranges;
use crate::resources::{Entry, Resources};

/// Bytes of a megabyte, thousandths of which resources are counted in.
const MEGABYTE: u64 = 1 << 20;

type Limits = BTreeMap<String, value::Scalar>;

/// An executor that is about to run its first tasks.
pub(super) fn at_first(executor: &ExecutorInfo, tasks: &[TaskInfo]) -> Allowed {
    sum(&executor.resources, tasks.iter().map(|task| (task.resources.as_slice(), &task.limits)))
}

/// One that is there.
pub(super) fn now(executor: &Executor) -> Allowed {
    let queued = executor.queued_tasks.iter().map(|task| (task.resources.as_slice(), &task.limits));
    let launched = executor.launched_tasks.values().map(|task| (task.resources.as_slice(), &task.limits));
    sum(&executor.info.resources, queued.chain(launched))
}

fn sum<'a>(executor: &[Resource], tasks: impl Iterator<Item = (&'a [Resource], &'a Limits)>) -> Allowed {
    let Amounts { cpus, mem, disk, ports } = amounts(executor);
    let mut allowed = Allowed { cpus, mem, disk, ports, ..Allowed::default() };
    let (mut cpus_limit, mut mem_limit) = (cpus, mem);
    let (mut cpus_said, mut mem_said) = (Limit::Unsaid, Limit::Unsaid);
    for (resources, limits) in tasks {
        let Amounts { cpus, mem, disk, ports } = amounts(resources);
        allowed.disk = allowed.disk.saturating_add(disk);
        allowed.ports.add(&ports);
        allowed.cpus = allowed.cpus.saturating_add(cpus);
        allowed.mem = allowed.mem.saturating_add(mem);
        cpus_limit = cpus_limit.saturating_add(limit(limits.get("cpus"), 1000.0, cpus, &mut cpus_said));
        mem_limit = mem_limit.saturating_add(limit(limits.get("mem"), MEGABYTE as f64, mem, &mut mem_said));
    }
    let said = |said, limit| if said == Limit::At(0) { Limit::At(limit) } else { said };
    allowed.cpus_limit = said(cpus_said, cpus_limit);
    allowed.mem_limit = said(mem_said, mem_limit);
    allowed
}

/// A task's part of a limit, which is what it was given where it has none. `said` hears whether any has one.
fn limit(limit: Option<&value::Scalar>, scale: f64, given: u64, said: &mut Limit) -> u64 {
    match limit.map(|limit| limit.value) {
        None => given,
        Some(value) if value.is_finite() => {
            if *said == Limit::Unsaid {
                *said = Limit::At(0);
            }
            (value.max(0.0) * scale) as u64
        }
        Some(_) => {
            *said = Limit::None;
            0
        }
    }
}

/// Thousandths of cpus, bytes of memory and of the sandbox's disk, and ports.
struct Amounts {
    cpus: u64,
    mem: u64,
    disk: u64,
    ports: Ranges,
}

/// What cannot be read counts as nothing: the master checked it.
fn amounts(resources: &[Resource]) -> Amounts {
    let resources = Resources::from_protos(resources).unwrap_or_default();
    let count = |amount: i64| u64::try_from(amount).unwrap_or(0);
    let bytes = |amount: i64| count(amount).saturating_mul(MEGABYTE) / 1000;
    // Volumes have a disk, or a part of one, for themselves.
    let own = resources.iter().filter(|entry| **entry.name() == *"disk" && entry.disk().is_none());
    let disk = own.filter_map(Entry::scalar).fold(0, i64::saturating_add);
    Amounts {
        cpus: count(resources.cpus()),
        mem: bytes(resources.mem()),
        disk: bytes(disk),
        ports: resources.ports(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::parse;

    fn given(text: &str) -> Vec<Resource> {
        parse::parse_list(text, "*").unwrap()
    }

    fn task(text: &str, limits: &[(&str, f64)]) -> TaskInfo {
        let limits = limits.iter().map(|(name, value)| ((*name).to_owned(), value::Scalar { value: *value }));
        TaskInfo { resources: given(text), limits: limits.collect(), ..TaskInfo::default() }
    }

    fn of(tasks: &[TaskInfo]) -> Allowed {
        let executor = ExecutorInfo { resources: given("cpus:0.1;mem:32"), ..ExecutorInfo::default() };
        at_first(&executor, tasks)
    }

    #[test]
    fn executor_and_tasks_add_up() {
        let allowed =
            of(&[task("cpus:1.5;mem:64;disk:10", &[]), task("cpus:1;mem:32;ports:[31000-31001]", &[])]);
        assert_eq!((allowed.disk, allowed.ports), (10 << 20, Ranges::new([(31_000, 31_001)]).unwrap()));
        assert_eq!((allowed.cpus, allowed.mem), (2600, 128 << 20));
        assert_eq!((allowed.cpus_limit, allowed.mem_limit), (Limit::Unsaid, Limit::Unsaid));
    }

    #[test]
    fn one_limit_limits_all_and_infinity_none() {
        let limited = task("cpus:1;mem:64", &[("cpus", 2.0), ("mem", 100.0)]);
        let allowed = of(&[limited.clone(), task("cpus:1;mem:64", &[])]);
        assert_eq!(allowed.cpus_limit, Limit::At(3100));
        assert_eq!(allowed.mem_limit, Limit::At(196 << 20));
        let allowed = of(&[task("cpus:1;mem:64", &[("mem", f64::INFINITY)]), limited]);
        assert_eq!((allowed.cpus_limit, allowed.mem_limit), (Limit::At(3100), Limit::None));
    }
}
