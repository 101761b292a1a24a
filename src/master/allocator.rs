//! The thread that owns the allocator: calls go in, grants come back to the core as an event.
//!
//! A round over ten thousand agents holds up nothing else; a grant that is late by then is the core's to
//! recognise (`core::offers`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

use super::flags::{Flags, Sorter};
use super::run::Core;
use crate::alloc::{Allocator, Call, Grant, Numbers, Options, Policy};
use crate::base::time::Time;
use crate::flags::Error;
use crate::metrics::timer::Timer;
use crate::metrics::{Counter, Metrics};
use crate::process::clock::Clock;
use crate::resources::Quantities;

/// Calls taken in before their grants are handed over.
const BATCH: usize = 1000;

/// Grants handed over at a time. Offers of a whole large cluster would take tens of megabytes before the first is sent.
const TOLD: usize = 256;

/// How long calls are left to gather while they keep coming.
const QUIET: Duration = Duration::from_millis(5);

/// What reaches the thread.
enum Input {
    /// A call, and when it was made.
    Call(Time, Call),
    Numbers(oneshot::Sender<Numbers>),
}

/// Where calls go, in the order of the master's decisions. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    inputs: Sender<Input>,
    clock: Clock,
    waiting: Arc<AtomicI64>,
}

/// The allocator has ended, and so will the master.
#[derive(Clone, Copy, Debug)]
pub struct Ended;

impl Calls {
    pub fn send(&self, call: Call) -> Result<(), Ended> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.inputs.send(Input::Call(self.clock.now(), call)).map_err(|_| Ended)
    }

    /// How many calls wait.
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed).max(0)
    }

    /// The allocator's numbers, when the calls before have had their turn.
    pub async fn numbers(&self) -> Option<Numbers> {
        let (sender, numbers) = oneshot::channel();
        self.inputs.send(Input::Numbers(sender)).ok()?;
        numbers.await.ok()
    }
}

/// What is measured of rounds. Source: allocator/mesos/metrics.cpp 1.11.
#[derive(Clone)]
struct Rounds {
    count: Counter,
    run: Timer,
    /// From the call that makes a round due to its begin.
    latency: Timer,
}

/// Starts the thread; it ends when the last sender of calls is gone.
pub fn start(options: Options, clock: Clock, core: Core, metrics: &Metrics) -> std::io::Result<Calls> {
    let (inputs, inbox) = mpsc::channel();
    let waiting: Arc<AtomicI64> = Arc::default();
    let calls = Calls { inputs, clock, waiting: waiting.clone() };
    let rounds = Rounds {
        count: metrics.counter("allocator/mesos/allocation_runs"),
        run: metrics.timer("allocator/mesos/allocation_run_ms"),
        latency: metrics.timer("allocator/mesos/allocation_run_latency_ms"),
    };
    let allocator = Allocator::new(options);
    thread::Builder::new().name("allocator".to_owned()).spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| {
            let thread = Thread { allocator, clock, waiting, rounds };
            thread.serve(&inbox, &core);
        });
        if std::panic::catch_unwind(run).is_err() {
            error!("the allocator panicked");
            core.stop("the allocator panicked");
        }
    })?;
    Ok(calls)
}

struct Thread {
    allocator: Allocator,
    clock: Clock,
    waiting: Arc<AtomicI64>,
    rounds: Rounds,
}

impl Thread {
    fn serve(mut self, inbox: &Receiver<Input>, core: &Core) {
        let mut last = self.clock.now();
        while let Ok(first) = inbox.recv() {
            // The first call after a silence is served at once. In a busy cluster each waking would find one call.
            if self.clock.now().since(last) < QUIET {
                thread::sleep(QUIET);
            }
            last = self.clock.now();
            let mut grants = self.take(first);
            for input in inbox.try_iter().take(BATCH) {
                grants.extend(self.take(input));
            }
            let mut grants = grants.into_iter();
            while grants.len() > 0 {
                core.granted(grants.by_ref().take(TOLD).collect());
            }
        }
    }

    fn take(&mut self, input: Input) -> Vec<Grant> {
        match input {
            Input::Call(made, call) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                let (before, begun) = (self.allocator.rounds(), self.clock.now());
                let grants = self.allocator.handle(call, begun);
                let rounds = self.allocator.rounds() - before;
                if rounds > 0 {
                    self.rounds.count.add(rounds);
                    self.rounds.run.record(self.clock.now().since(begun));
                    self.rounds.latency.record(begun.since(made));
                }
                grants
            }
            Input::Numbers(asked) => {
                // Whoever asked may be gone.
                let _ = asked.send(self.allocator.numbers());
                Vec::new()
            }
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
