//! What goes wrong, and how often.

use mesos::agent::containerizer::Exit;
use rand::RngExt;

use crate::net::{Node, Weather};
use crate::world::{Item, World};

/// One stroke of bad luck; the next one follows by itself.
pub fn strike(world: &mut World) {
    let agents = world.agents.len();
    let agent = world.net.rng.random_range(0..agents);
    let schedulers = world.schedulers.len();
    let scheduler = world.net.rng.random_range(0..schedulers);
    match world.net.rng.random_range(0..12) {
        0 => {
            world.kill_master();
            world.put(100, 20_000, Item::MasterReturns);
        }
        1 => {
            world.kill_agent(agent);
            world.put(100, 120_000, Item::AgentReturns { agent });
        }
        2 | 3 => kill_executor(world, agent),
        4 => world.break_stream(scheduler),
        5 => world.break_link(agent),
        6 => world.net.cut(Node::Master, Node::Agent(agent)),
        7 => world.net.cut(Node::Master, Node::Scheduler(scheduler)),
        8 => {
            world.net.weather = Weather { loss: 50, duplicate: 50, reorder: 50, slow: 50 };
        }
        9 => world.net.weather = Weather { loss: 300, duplicate: 100, reorder: 100, slow: 200 },
        _ => world.heal(),
    }
    world.put(500, 15_000, Item::Chaos);
}

fn kill_executor(world: &mut World, agent: usize) {
    let count = world.agents[agent].containers.len();
    if count == 0 {
        return;
    }
    let index = world.net.rng.random_range(0..count);
    let id = world.agents[agent].containers.keys().nth(index).expect("counted").clone();
    world.executor_dies(agent, &id, Exit::Signal(9));
}
