//! The thread that owns the allocator: calls go in, grants come back to the core as an event.
//!
//! A round over ten thousand agents holds up nothing else; a grant that is late by then is the core's to
//! recognise (`core::offers`).

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use tracing::error;

use super::flags::{Flags, Sorter};
use super::run::Core;
use crate::alloc::{Allocator, Call, Options, Policy};
use crate::flags::Error;
use crate::process::clock::Clock;
use crate::resources::Quantities;

/// Calls taken in before their grants are handed over.
const BATCH: usize = 1000;

/// Where calls go, in the order of the master's decisions.
pub type Calls = Sender<Call>;

/// Starts the thread; it ends when the last sender of calls is gone.
pub fn start(options: Options, clock: Clock, core: Core) -> std::io::Result<Calls> {
    let (calls, inbox) = mpsc::channel();
    let allocator = Allocator::new(options);
    thread::Builder::new().name("allocator".to_owned()).spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| serve(allocator, &inbox, clock, &core));
        if std::panic::catch_unwind(run).is_err() {
            error!("the allocator panicked");
            core.stop("the allocator panicked");
        }
    })?;
    Ok(calls)
}

fn serve(mut allocator: Allocator, inbox: &Receiver<Call>, clock: Clock, core: &Core) {
    while let Ok(first) = inbox.recv() {
        let mut grants = allocator.handle(first, clock.now());
        for call in inbox.try_iter().take(BATCH) {
            grants.extend(allocator.handle(call, clock.now()));
        }
        if !grants.is_empty() {
            core.granted(grants);
        }
    }
}

/// The allocator's options as the master's flags have them. Refuses quantities that are none.
pub fn options(flags: &Flags) -> Result<Options, Error> {
    let least = flags.min_allocatable_resources.split('|').filter(|text| !text.trim().is_empty());
    let least = least.map(Quantities::parse).collect::<Result<Vec<_>, _>>();
    let policy = |sorter| match sorter {
        Sorter::Drf => Policy::Drf,
        Sorter::Random => Policy::Random,
    };
    Ok(Options {
        allocation_interval: flags.allocation_interval,
        role_sorter: policy(flags.role_sorter),
        framework_sorter: policy(flags.framework_sorter),
        weights: flags.weights.iter().map(|(role, weight)| (role.as_str().into(), *weight)).collect(),
        fair_sharing_excluded_resource_names: flags.fair_sharing_excluded_resource_names.clone(),
        min_allocatable_resources: least.map_err(|why| Error::invalid("min_allocatable_resources", why))?,
        filter_gpu_resources: flags.filter_gpu_resources,
        region: flags.domain.as_ref().map(|domain| domain.region.clone()),
        seed: rand::random(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_the_flag() {
        let options_of = |arg: &str| options(&Flags::from_args(&[arg]).unwrap());
        let default = options(&Flags::for_tests()).unwrap();
        assert_eq!(default.min_allocatable_resources.len(), 2);
        let none = options_of("--min_allocatable_resources=").unwrap();
        assert!(none.min_allocatable_resources.is_empty());
        let error = options_of("--min_allocatable_resources=cpus:x").unwrap_err();
        assert!(error.to_string().contains("min_allocatable_resources"), "{error}");
    }
}
