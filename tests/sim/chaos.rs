//! What goes wrong, and how often.

use mesos::agent::containerizer::Exit;
use mesos::master::core::{Event, Operate, ReplyId};
use mesos::proto::ContainerId;
use rand::RngExt;

use crate::net::{Node, Weather};
use crate::world::{Item, World};

/// One stroke of bad luck; the next one follows by itself.
pub fn strike(world: &mut World) {
    let agents = world.agents.len();
    let agent = world.net.rng.random_range(0..agents);
    let schedulers = world.schedulers.len();
    let scheduler = world.net.rng.random_range(0..schedulers);
    let masters = world.masters.len();
    let master = world.net.rng.random_range(0..masters);
    let leader = world.leading().unwrap_or(master);
    if masters > 1 && world.net.chance(300) {
        strike_elections(world, master, leader, agent);
        return world.put(500, 15_000, Item::Chaos);
    }
    match world.net.rng.random_range(0..24) {
        0 => {
            world.kill_master(leader);
            world.put(100, 20_000, Item::MasterReturns { master: leader });
        }
        1 => {
            world.kill_agent(agent);
            world.put(100, 120_000, Item::AgentReturns { agent });
        }
        // As an upgrade does it.
        17 | 18 => {
            world.kill_agent(agent);
            world.put(100, 3000, Item::AgentReturns { agent });
        }
        19 => {
            world.reboot_agent(agent);
            world.put(2000, 120_000, Item::AgentReturns { agent });
        }
        2 | 3 => {
            if let Some(id) = some_container(world, agent) {
                world.count("executors died");
                world.executor_dies(agent, &id, Exit::Signal(9));
            }
        }
        4 => world.break_stream(scheduler),
        5 => world.kill_scheduler(scheduler),
        6 => world.break_link(leader, agent),
        7 => world.net.cut(Node::Master(leader), Node::Agent(agent)),
        8 => world.net.cut(Node::Master(leader), Node::Scheduler(scheduler)),
        9 => world.net.weather = Weather { loss: 50, duplicate: 50, reorder: 50, slow: 50 },
        10 => world.net.weather = Weather { loss: 300, duplicate: 100, reorder: 100, slow: 200 },
        // Nothing is lost, and nothing comes as it was sent.
        11 => world.net.weather = Weather { loss: 0, duplicate: 300, reorder: 400, slow: 400 },
        12 => {
            if let Some(id) = some_container(world, agent) {
                world.break_executor_stream(agent, &id);
            }
        }
        13 => world.grow_agent(agent),
        14 => operate(world, agent, scheduler),
        15 => {
            world.store.out_of_reach = true;
            world.put(500, 40_000, Item::StoreHeals);
        }
        16 => {
            world.store.slow = true;
            world.put(5000, 60_000, Item::StoreHeals);
        }
        _ => world.heal(),
    }
    world.put(500, 15_000, Item::Chaos);
}

/// What may go wrong where masters are elected.
fn strike_elections(world: &mut World, master: usize, leader: usize, agent: usize) {
    match world.net.rng.random_range(0..13) {
        0 | 1 => {
            world.kill_master(master);
            world.put(100, 20_000, Item::MasterReturns { master });
        }
        2 => {
            world.count("masters withdrew");
            world.withdraw(leader);
            world.end_master(leader, "it was told to");
        }
        3 | 4 => {
            world.pause_master(leader, 100, 40_000);
            // What it has written may get there behind its back.
            world.store.slow |= world.net.chance(500);
            world.put(5000, 60_000, Item::StoreHeals);
        }
        5 => world.pause_master(master, 100, 40_000),
        6 => world.masters[leader].stumbles = Some(world.net.rng.random_range(100..40_000)),
        7 => world.net.cut(Node::Master(leader), Node::Ensemble),
        8 => world.net.cut(Node::Master(master), Node::Ensemble),
        9 => world.net.cut(Node::Agent(agent), Node::Ensemble),
        10 => {
            world.count("quorums lost");
            if let Some(ensemble) = &mut world.ensemble {
                ensemble.quorum = false;
            }
            world.put(500, 40_000, Item::EnsembleHeals);
        }
        11 => {
            if let Some(ensemble) = &mut world.ensemble {
                ensemble.slow = true;
            }
            world.put(5000, 60_000, Item::EnsembleHeals);
        }
        _ => {
            world.count("nodes removed");
            world.changing_nodes(|ensemble| ensemble.remove_last());
        }
    }
}

fn some_container(world: &mut World, agent: usize) -> Option<ContainerId> {
    let count = world.agents[agent].containers.len();
    let index = world.net.rng.random_range(0..count.max(1));
    world.agents[agent].containers.keys().nth(index).cloned()
}

/// An operator gives an agent up, kills a task, or ends a framework whose scheduler can bear it.
fn operate(world: &mut World, agent: usize, scheduler: usize) {
    let operation = match world.net.rng.random_range(0..3) {
        0 => {
            let known = &world.schedulers[scheduler];
            known.id.clone().filter(|_| known.mortal && !known.dead).map(Operate::Teardown)
        }
        1 => some_task(world, scheduler),
        _ => {
            let state = world.agents[agent].state.as_ref();
            state.and_then(|state| state.node.info.id.clone()).map(Operate::MarkAgentGone)
        }
    };
    if let Some(operation) = operation {
        world.count("operations");
        let reply = ReplyId(world.serial());
        let leader = world.leading().unwrap_or_default();
        world.master_later(leader, 0, 20, Event::Operate { reply, operation });
    }
}

/// A kill of a task, which may have ended long ago.
fn some_task(world: &mut World, scheduler: usize) -> Option<Operate> {
    let count = world.schedulers[scheduler].tasks.len();
    let index = world.net.rng.random_range(0..count.max(1));
    let known = &world.schedulers[scheduler];
    let task = known.tasks.keys().nth(index)?.clone();
    Some(Operate::Kill { framework: known.id.clone()?, task })
}
