//! What must hold: after every step, and when the world has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use mesos::agent::core::state::Phase;
use mesos::proto::{AgentId, FrameworkId, TaskId, TaskState};
use mesos::resources::Resources;

use crate::masters::MasterNode;
use crate::scheduler::{Scheduler, amount};
use crate::setup;
use crate::world::{Touched, World};

/// The task is over and stays so, whoever says it.
pub fn is_terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}

/// TASK_LOST may mean no more than that its agent is out of reach.
pub fn may_return(state: Option<TaskState>) -> bool {
    matches!(state, Some(TaskState::TaskLost))
}

/// Nothing is expected of the task any more: it is over, or nobody knows it.
fn is_over(state: TaskState) -> bool {
    is_terminal(state) || matches!(state, TaskState::TaskUnreachable | TaskState::TaskUnknown)
}

/// After every step: of whoever it was that took it.
pub fn always(world: &World) -> Result<(), String> {
    match world.touched {
        Touched::Master(index) => {
            let Some(master) = &world.masters[index].core else { return Ok(()) };
            mesos::master::core::invariants::check(&master.state).map_err(|e| format!("master: {e}"))?;
            master.follower.check(master.state.cluster())?;
            no_offer_beyond_what_is_free(world, master)
        }
        Touched::Agent(index) => {
            if let Some(state) = &world.agents[index].state {
                mesos::agent::core::invariants::check(state).map_err(|e| format!("agent {index}: {e}"))?;
            }
            nothing_runs_twice(world)
        }
        Touched::Nobody => Ok(()),
    }
}

/// Offered and used together fit the agent, counted here from tasks and offers, not from the master's sums. The
/// agent is the machine itself: an old message of it may let the master think for a while that it has less than is
/// in use.
fn no_offer_beyond_what_is_free(world: &World, master: &MasterNode) -> Result<(), String> {
    let cluster = master.state.cluster();
    let mut held: BTreeMap<&AgentId, [i64; 2]> = BTreeMap::new();
    let mut hold = |agent, resources: &Resources| {
        let sums: &mut [i64; 2] = held.entry(agent).or_default();
        let [cpus, mem] = sums_of(resources);
        *sums = [sums[0] + cpus, sums[1] + mem];
    };
    for offer in cluster.offers.values() {
        hold(&offer.agent, &offer.resources);
    }
    for framework in cluster.frameworks.values() {
        for task in framework.tasks.values().filter(|task| !is_terminal(task.state)) {
            if !is_shutting_down(world, &task.agent, &framework.id) {
                hold(&task.agent, &task.resources);
            }
        }
    }
    for (id, held) in held {
        let Some(agent) = cluster.agents.get(id) else { continue };
        let machine = world.agents.iter().position(|node| node.address == agent.pid.address);
        let total = machine.map(|index| setup::resources(index, world.agents[index].extra));
        let total = total.map_or([0, 0], |all| sums_of(&Resources::from_protos(&all).expect("valid")));
        if held[0] > total[0] || held[1] > total[1] {
            return Err(format!("agent {id} has {total:?} (cpus, mem), and {held:?} are offered or used"));
        }
    }
    Ok(())
}

/// The agent was told that the framework is over by a leader that is no more, which had offered what it held to
/// others; the next one hears of its tasks as long as they are given time to end.
fn is_shutting_down(world: &World, agent: &AgentId, framework: &FrameworkId) -> bool {
    let states = world.agents.iter().filter_map(|node| node.state.as_ref());
    let owner = states.filter(|state| state.node.info.id.as_ref() == Some(agent));
    owner.filter_map(|state| state.node.framework(framework)).any(|framework| framework.terminating)
}

/// Cpus and memory, reserved or not, in thousandths.
fn sums_of(resources: &Resources) -> [i64; 2] {
    let mut sums = [0, 0];
    for entry in resources.iter() {
        match (entry.scalar(), &**entry.name()) {
            (Some(amount), "cpus") => sums[0] += amount,
            (Some(amount), "mem") => sums[1] += amount,
            _ => {}
        }
    }
    sums
}

/// The truth in the containers: each task in one place, and no agent runs more than it has.
fn nothing_runs_twice(world: &World) -> Result<(), String> {
    let mut seen: BTreeMap<(&FrameworkId, &TaskId), usize> = BTreeMap::new();
    for (index, node) in world.agents.iter().enumerate() {
        let mut cpus = 0.0;
        let mut tasks = vec![];
        for container in node.containers.values() {
            // Of a framework that is over nothing is held any more, while its tasks are given time to end.
            let id = &container.launch.framework;
            let owner = node.state.as_ref().and_then(|state| state.node.framework(id));
            let mut cores = world.masters.iter().filter_map(|master| master.core.as_ref());
            let over = cores.any(|core| core.state.cluster().is_completed(id));
            if over || owner.is_none_or(|framework| framework.terminating) {
                continue;
            }
            for (id, task) in &container.tasks {
                let own = amount(&task.resources, "cpus");
                cpus += own;
                tasks.push((&id.value, own));
                if let Some(other) = seen.insert((&container.launch.framework, id), index) {
                    return Err(format!("task {id} runs on agent {other} and on agent {index}"));
                }
            }
        }
        let most = amount(&crate::setup::resources(index, node.extra), "cpus");
        if cpus > most + 1e-6 {
            return Err(format!("agent {index} runs {cpus} cpus of tasks on {most}: {tasks:?}"));
        }
    }
    Ok(())
}

/// When faults have ended and everybody had time: all agree.
pub fn at_rest(world: &World) -> Result<(), String> {
    let leaders = world.masters.iter().filter(|master| master.core.is_some()).count();
    if leaders != 1 || world.masters.iter().any(|master| !master.up) {
        return Err(format!("{leaders} masters lead, or some are not up"));
    }
    let index = world.leading().ok_or("no master leads")?;
    let master = world.masters[index].core.as_ref().ok_or("no master")?;
    for scheduler in &world.schedulers {
        if scheduler.dead {
            nothing_is_left_of(world, master, scheduler)?;
        } else {
            all_tasks_are_known(world, master, scheduler)?;
        }
    }
    every_update_acknowledged(world)?;
    every_end_was_heard(world)?;
    books_agree(world, master)?;
    nothing_piles_up(world)
}

fn all_tasks_are_known(world: &World, master: &MasterNode, scheduler: &Scheduler) -> Result<(), String> {
    let Some(id) = &scheduler.id else {
        return Err(format!("scheduler {} never got in", scheduler.index));
    };
    let known = master.state.cluster().frameworks.get(id);
    let framework = known.ok_or_else(|| format!("framework {id} is forgotten"))?;
    if !scheduler.subscribed || !framework.connected {
        let (driver, here, there) = (&scheduler.driver, scheduler.subscribed, framework.connected);
        let index = scheduler.index;
        return Err(format!("scheduler {index} ({driver:?}): subscribed {here}, its framework {there}"));
    }
    for (task, known) in &scheduler.tasks {
        let truth = runs(world, id, task);
        let believed = framework.tasks.get(task).map(|task| task.state);
        let ended = known.state.is_none_or(is_over);
        match (truth, believed, ended) {
            (true, None, _) => return Err(format!("task {task} runs, and the master has forgotten it")),
            (true, Some(state), _) if is_terminal(state) => {
                return Err(format!("task {task} runs, and the master holds it for {state:?}"));
            }
            (true, Some(_), true) => {
                let state = known.state;
                return Err(format!("task {task} runs, and its scheduler holds it for {state:?}"));
            }
            (false, Some(state), _) if !is_terminal(state) => {
                return Err(format!("task {task} does not run, and the master holds it for {state:?}"));
            }
            (false, _, false) => {
                let state = known.state;
                return Err(format!("task {task} does not run, and its scheduler holds it for {state:?}"));
            }
            (false, Some(state), _) => {
                return Err(format!("task {task} is {state:?}, and was never acknowledged"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn nothing_is_left_of(world: &World, master: &MasterNode, scheduler: &Scheduler) -> Result<(), String> {
    if !scheduler.mortal {
        return Err(format!("scheduler {} was told to end", scheduler.index));
    }
    let Some(id) = &scheduler.id else { return Ok(()) };
    if master.state.cluster().frameworks.contains_key(id) {
        return Err(format!("framework {id} is over, and the master still has it"));
    }
    for (index, node) in world.agents.iter().enumerate() {
        if node.containers.values().any(|container| container.launch.framework == *id) {
            return Err(format!("framework {id} is over, and runs something on agent {index}"));
        }
    }
    Ok(())
}

fn runs(world: &World, framework: &FrameworkId, task: &TaskId) -> bool {
    world
        .agents
        .iter()
        .flat_map(|node| node.containers.values())
        .any(|container| container.launch.framework == *framework && container.tasks.contains_key(task))
}

fn every_update_acknowledged(world: &World) -> Result<(), String> {
    for (index, node) in world.agents.iter().enumerate() {
        let state = node.state.as_ref().ok_or(format!("agent {index} is not up"))?;
        if state.node.phase != Phase::Running {
            return Err(format!("agent {index} is not registered"));
        }
        let pending = state.pending_updates();
        if pending > 0 {
            return Err(format!("agent {index} still holds {pending} unacknowledged updates"));
        }
    }
    Ok(())
}

/// What an executor told an agent that lives was heard by the scheduler, if that one lives too; or what the agent
/// said to be taken, though it died since.
fn every_end_was_heard(world: &World) -> Result<(), String> {
    for end in &world.ends {
        let owner = world.schedulers.iter().find(|scheduler| scheduler.id.as_ref() == Some(&end.framework));
        let Some(owner) = owner.filter(|scheduler| !scheduler.mortal) else { continue };
        let node = &world.agents[end.agent];
        let kept = end.taken && owner.info.checkpoint() && node.identity == end.identity;
        if node.life != end.life && !kept {
            continue;
        }
        if !owner.heard.contains(&*end.uuid) {
            return Err(format!("how task {} ended was never heard of", end.task));
        }
    }
    Ok(())
}

/// Containers, agents, master and allocator count the same.
fn books_agree(world: &World, master: &MasterNode) -> Result<(), String> {
    let cluster = master.state.cluster();
    master.allocator.check().map_err(|e| format!("allocator: {e}"))?;
    if cluster.agents.len() != world.agents.len() {
        return Err(format!("{} agents, and the master knows {}", world.agents.len(), cluster.agents.len()));
    }
    for (index, node) in world.agents.iter().enumerate() {
        let Some(state) = &node.state else { continue };
        let id = state.node.id();
        let agent = cluster.agents.get(&id).ok_or_else(|| format!("the master does not know agent {id}"))?;
        let here = state.node.frameworks.values().flat_map(|framework| {
            framework.executors.values().map(|executor| (framework.id.clone(), executor.id.clone()))
        });
        let here: BTreeSet<_> = here.collect();
        let real: BTreeSet<_> = node
            .containers
            .values()
            .map(|container| (container.launch.framework.clone(), container.launch.executor.clone()))
            .collect();
        if here != real {
            return Err(format!("agent {index} runs {real:?} and believes in {here:?}"));
        }
        if let Some(key) = agent.executors.keys().find(|key| !real.contains(key)) {
            return Err(format!("agent {index} does not run {key:?}, and the master believes so"));
        }
        let free = agent.free();
        let granted = master.allocator.free(&id).ok_or_else(|| format!("the allocator has no agent {id}"))?;
        if !free.contains(granted) || !granted.contains(&free) {
            return Err(format!("agent {id} has {free} free, its allocator says {granted}"));
        }
    }
    Ok(())
}

/// Nobody waits for anything but time.
fn nothing_piles_up(world: &World) -> Result<(), String> {
    let parties = world.agents.len() + world.schedulers.len();
    let waiting = world.agenda.len();
    if waiting > 100 + 20 * parties {
        return Err(format!("{waiting} things are still to happen"));
    }
    if world.asked.len() > 50 {
        return Err(format!("{} calls were never answered", world.asked.len()));
    }
    Ok(())
}
