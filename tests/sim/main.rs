//! Whole clusters in one thread, from a seed: the cores of masters, their elections, allocators and agents, joined by
//! wires that lose, delay, repeat and reorder, with everybody dying or being stopped now and then. What must hold is checked after
//! every step, and once more when the world has come to rest.
//!
//! `make sim SEEDS=1000` plays many and `make sim MINUTES=60` as many as there is time for; a failure prints its
//! seed, and `make sim SEED=n` plays that one again with everything that happened.

#![allow(clippy::disallowed_methods, reason = "the runner reads the environment; the world does not")]

mod agents;
mod chaos;
mod checks;
mod clients;
mod disk;
mod elections;
mod ensemble;
mod executors;
mod follower;
mod items;
mod mail;
mod masters;
mod net;
mod registry;
mod scheduler;
mod setup;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use world::{Item, Plant, World};

/// How long faults go on, and how long the world then has to come to rest.
const STORM: Duration = Duration::from_secs(180);
const REST: Duration = Duration::from_secs(1800);

/// What came of a seed: how often what happened, `steps` among it.
type Tally = BTreeMap<&'static str, u64>;

/// Plays one seed; gives what happened, or what was violated.
fn play(seed: u64, plant: Option<Plant>, trace: bool) -> Result<Tally, String> {
    let cell: Mutex<Option<World>> = Mutex::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, plant);
        if trace {
            world.record();
        }
        let mut guard = cell.lock().expect("not poisoned");
        live(guard.insert(world))
    }));
    let result = outcome.unwrap_or_else(|cause| {
        Err(cause
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "a panic".to_owned()))
    });
    if trace && result.is_err() {
        let world = cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for line in world.iter().flat_map(|world| &world.trace) {
            println!("{line}");
        }
    }
    result
}

fn live(world: &mut World) -> Result<Tally, String> {
    world.put(3000, 15_000, Item::Chaos);
    let storm_ends = world.now + STORM;
    run_until(world, storm_ends)?;
    world.calm_down();
    rest(world)?;
    world.counts.insert("steps", world.steps);
    Ok(std::mem::take(&mut world.counts))
}

/// All agree before long, and a scheduler that asks in between is told the truth. What comes late, as agents
/// that are given up, is only waited for if need be.
fn rest(world: &mut World) -> Result<(), String> {
    let end = world.now + REST;
    loop {
        let soon = world.now + Duration::from_secs(60);
        run_until(world, soon)?;
        world.reconcile_all();
        let soon = world.now + Duration::from_secs(30);
        run_until(world, soon)?;
        match checks::at_rest(world) {
            Ok(()) => return Ok(()),
            Err(sentence) if world.now >= end => return Err(format!("at rest: {sentence}")),
            Err(_) => {}
        }
    }
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
        let broken = play(seed, None, true).err();
        println!("seed {seed}: {}", broken.as_deref().unwrap_or("nothing is wrong"));
        assert!(broken.is_none(), "seed {seed} broke");
        return;
    }
    let first = number("FIRST").unwrap_or(0);
    let time = number("MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let last = time.map_or(first + number("SEEDS").unwrap_or(200), |_| u64::MAX);
    let next = AtomicU64::new(first);
    let broken = Mutex::new(vec![]);
    let tally: Mutex<Tally> = Mutex::default();
    let started = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    if time.is_some_and(|time| started.elapsed() >= time) {
                        return;
                    }
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    match play(seed, None, false) {
                        Ok(counts) => {
                            let mut tally = tally.lock().expect("not poisoned");
                            for (what, count) in counts {
                                *tally.entry(what).or_default() += count;
                            }
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
    let seeds = next.into_inner().min(last) - first;
    println!("{seeds} seeds from {first} in {:.1} s", started.elapsed().as_secs_f64());
    for (what, count) in tally.into_inner().expect("not poisoned") {
        println!("{count:>9} {what}");
    }
    if let Some(first) = broken.first() {
        println!("{} of {seeds} seeds broke; play one again: make sim SEED={first}", broken.len());
    }
    assert!(broken.is_empty(), "seeds broke: {broken:?}");
}

/// The checks bite: a fault that is put in on purpose is found within a few seeds.
#[test]
fn planted_faults_are_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let plants = [
        Plant::DoubleTotals,
        Plant::LoseRecovered,
        Plant::SwallowTerminalUpdates,
        Plant::LoseShutdowns,
        Plant::RunTwice,
        Plant::LoseWrites,
        Plant::IgnoreLease,
        Plant::NoFence,
        Plant::LoseCheckpoints,
    ];
    let mut unnoticed = vec![];
    for plant in plants {
        match (0..40).find_map(|seed| Some((seed, play(seed, Some(plant), false).err()?))) {
            Some((seed, sentence)) => println!("{plant:?}: seed {seed}: {sentence}"),
            None => unnoticed.push(plant),
        }
    }
    assert!(unnoticed.is_empty(), "unnoticed in 40 seeds: {unnoticed:?}");
}
