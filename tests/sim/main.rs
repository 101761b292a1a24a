//! Whole clusters in one thread, from a seed: the cores of master, allocator and agents, joined by wires
//! that lose, delay, repeat and reorder, with everybody dying now and then. What must hold is checked after
//! every step, and once more when the world has come to rest.
//!
//! `make sim SEEDS=1000` plays many; a failure prints its seed, and `make sim SEED=n` plays that one again
//! with everything that happened.

#![allow(clippy::disallowed_methods, reason = "the runner reads the environment; the world does not")]

mod chaos;
mod checks;
mod executors;
mod net;
mod scheduler;
mod setup;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use world::{Item, Plant, World};

/// How long faults go on, and how long the world then has to come to rest.
const STORM: Duration = Duration::from_secs(180);
const REST: Duration = Duration::from_secs(1500);

/// Plays one seed; gives the number of steps, or what was violated.
fn play(seed: u64, plant: Option<Plant>, trace: bool) -> Result<u64, String> {
    let cell: Arc<Mutex<Option<World>>> = Arc::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, plant);
        if trace {
            world.record();
        }
        *cell.lock().expect("not poisoned") = Some(world);
        let mut guard = cell.lock().expect("not poisoned");
        live(guard.as_mut().expect("just put there"))
    }));
    let result = match outcome {
        Ok(result) => result,
        Err(cause) => Err(cause
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "a panic".to_owned())),
    };
    if trace && result.is_err() {
        let world = cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for line in world.iter().flat_map(|world| &world.trace) {
            println!("{line}");
        }
    }
    result
}

fn live(world: &mut World) -> Result<u64, String> {
    world.put(3000, 15_000, Item::Chaos);
    let storm_ends = world.now + STORM;
    run_until(world, storm_ends)?;

    world.calm_down();
    let quiet_from = world.now + REST;
    run_until(world, quiet_from)?;
    world.reconcile_all();
    let end = world.now + Duration::from_secs(300);
    run_until(world, end)?;
    checks::at_rest(world).map(|()| world.steps)
}

fn run_until(world: &mut World, end: mesos::base::time::Time) -> Result<(), String> {
    while world.agenda.next_time().is_some_and(|at| at <= end) {
        world.step();
        checks::always(world).map_err(|e| format!("after step {}: {e}", world.steps))?;
    }
    world.now = end;
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_anything() {
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = number("SEED") {
        let result = play(seed, None, true);
        assert!(result.is_ok(), "seed {seed}: {}", result.expect_err("checked"));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(200);
    let next = AtomicU64::new(0);
    let broken = Mutex::new(vec![]);
    let steps = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    match play(seed, None, false) {
                        Ok(taken) => {
                            steps.fetch_add(taken, Ordering::Relaxed);
                        }
                        Err(sentence) => {
                            eprintln!("seed {seed}: {sentence}");
                            broken.lock().expect("not poisoned").push(seed);
                        }
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().expect("not poisoned");
    println!("{seeds} seeds, {} steps", steps.load(Ordering::Relaxed));
    assert!(
        broken.is_empty(),
        "{} of {seeds} seeds broke; play one again: make sim SEED={}",
        broken.len(),
        broken[0]
    );
}

/// The checks bite: a fault that is put in on purpose is found within a few seeds.
#[test]
fn planted_faults_are_found() {
    std::panic::set_hook(Box::new(|_| {}));
    for plant in [Plant::DoubleTotals, Plant::SwallowTerminalUpdates] {
        let found = (0..20).find_map(|seed| play(seed, Some(plant), false).err());
        let sentence = found.unwrap_or_else(|| panic!("{plant:?} went unnoticed in 20 seeds"));
        println!("{plant:?}: {sentence}");
    }
}
