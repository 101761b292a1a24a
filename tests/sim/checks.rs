//! What must hold: after every step, and when the world has come to rest.

use std::collections::BTreeMap;

use mesos::proto::{AgentId, FrameworkId, TaskId, TaskState};

use crate::scheduler::amount;
use crate::world::World;

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

/// After every step.
pub fn always(world: &World) -> Result<(), String> {
    let Some(master) = &world.master else { return Ok(()) };
    mesos::master::core::invariants::check(&master.state).map_err(|e| format!("master: {e}"))?;
    for (index, node) in world.agents.iter().enumerate() {
        if let Some(state) = &node.state {
            mesos::agent::core::invariants::check(state).map_err(|e| format!("agent {index}: {e}"))?;
        }
    }
    no_offer_beyond_what_is_free(world)?;
    nothing_runs_twice(world)
}

/// Offered and used together fit the agent, counted here from tasks and offers, not from the master's sums.
fn no_offer_beyond_what_is_free(world: &World) -> Result<(), String> {
    let Some(master) = &world.master else { return Ok(()) };
    let cluster = master.state.cluster();
    let mut held: BTreeMap<&AgentId, [f64; 2]> = BTreeMap::new();
    let mut hold = |agent, resources: &mesos::resources::Resources| {
        let resources = resources.to_protos();
        let sums: &mut [f64; 2] = held.entry(agent).or_default();
        sums[0] += amount(&resources, "cpus");
        sums[1] += amount(&resources, "mem");
    };
    for offer in cluster.offers.values() {
        hold(&offer.agent, &offer.resources);
    }
    for framework in cluster.frameworks.values() {
        for task in framework.tasks.values().filter(|task| !is_terminal(task.state)) {
            hold(&task.agent, &task.resources);
        }
    }
    for (id, [cpus, mem]) in held {
        let Some(agent) = cluster.agents.get(id) else { continue };
        let total = agent.total.to_protos();
        if cpus > amount(&total, "cpus") + 1e-6 || mem > amount(&total, "mem") + 1e-6 {
            return Err(format!(
                "agent {id} has {} cpus and {} mem, and {cpus} cpus and {mem} mem are offered or used",
                amount(&total, "cpus"),
                amount(&total, "mem")
            ));
        }
    }
    Ok(())
}

/// The truth in the containers: each task in one place, and no agent runs more than it has.
fn nothing_runs_twice(world: &World) -> Result<(), String> {
    let mut seen: BTreeMap<(&FrameworkId, &TaskId), usize> = BTreeMap::new();
    for (index, node) in world.agents.iter().enumerate() {
        let mut cpus = 0.0;
        for container in node.containers.values() {
            for (id, task) in &container.tasks {
                cpus += amount(&task.resources, "cpus");
                if let Some(other) = seen.insert((&container.launch.framework, id), index) {
                    return Err(format!("task {id} runs on agent {other} and on agent {index}"));
                }
            }
        }
        if cpus > crate::setup::CPUS + 1e-6 {
            return Err(format!("agent {index} runs {cpus} cpus of tasks"));
        }
    }
    Ok(())
}

/// When faults have ended and everybody had time: all agree.
pub fn at_rest(world: &World) -> Result<(), String> {
    let master = world.master.as_ref().ok_or("no master")?;
    let cluster = master.state.cluster();
    for scheduler in &world.schedulers {
        let Some(id) = &scheduler.id else {
            return Err(format!("scheduler {} never got in", scheduler.index));
        };
        if scheduler.dead {
            return Err(format!("scheduler {} was told to end", scheduler.index));
        }
        let framework = cluster.frameworks.get(id).ok_or(format!("framework {id} is forgotten"))?;
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
                    return Err(format!(
                        "task {task} runs, and its scheduler holds it for {:?}",
                        known.state
                    ));
                }
                (false, Some(state), _) if !is_terminal(state) => {
                    return Err(format!("task {task} does not run, and the master holds it for {state:?}"));
                }
                (false, _, false) => {
                    return Err(format!(
                        "task {task} does not run, and its scheduler holds it for {:?}",
                        known.state
                    ));
                }
                (false, Some(state), _) => {
                    return Err(format!("task {task} is {state:?}, and was never acknowledged"));
                }
                _ => {}
            }
        }
    }
    every_update_acknowledged(world)
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
        let pending = state.pending_updates();
        if pending > 0 {
            return Err(format!("agent {index} still holds {pending} unacknowledged updates"));
        }
    }
    Ok(())
}
