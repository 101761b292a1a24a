//! What a container may use: what its executor and the tasks that have not ended were given.
//!
//! Source: `Slave::computeExecutorLimits`, slave.cpp 1.11.

use std::collections::BTreeMap;

use super::state::Executor;
use crate::agent::containerizer::isolators::limits::{Allowed, Limit};
use crate::proto::{ExecutorInfo, Resource, TaskInfo, value};
use crate::resources::Resources;

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
    let (cpus, mem) = amounts(executor);
    let mut allowed = Allowed { cpus, mem, ..Allowed::default() };
    let (mut cpus_limit, mut mem_limit) = (cpus, mem);
    let (mut cpus_said, mut mem_said) = (Limit::Unsaid, Limit::Unsaid);
    for (resources, limits) in tasks {
        let (cpus, mem) = amounts(resources);
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

/// Thousandths of cpus, and bytes of memory. What cannot be read counts as nothing: the master checked it.
fn amounts(resources: &[Resource]) -> (u64, u64) {
    let resources = Resources::from_protos(resources).unwrap_or_default();
    let cpus = u64::try_from(resources.cpus()).unwrap_or(0);
    let mem = u64::try_from(resources.mem()).unwrap_or(0);
    (cpus, mem.saturating_mul(MEGABYTE) / 1000)
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
        let allowed = of(&[task("cpus:1.5;mem:64", &[]), task("cpus:1;mem:32", &[])]);
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
