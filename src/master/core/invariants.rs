//! What must hold after every event. Simulation asks after each step, tests after each case.

use crate::resources::Resources;

use super::books::State;
use super::offers::unallocated;

/// Whether the books agree with themselves; the text says where they do not.
///
/// Costs a walk over everything: not for a master at work.
pub fn check(state: &State) -> Result<(), String> {
    state.check_indexes()?;
    agents(state)?;
    frameworks(state)?;
    let cluster = &state.cluster;
    for (id, offer) in &cluster.offers {
        let agent = cluster.agent(&offer.agent).ok_or_else(|| format!("offer {id} is of no agent"))?;
        if !agent.active || !agent.offers.contains(id) {
            return Err(format!("offer {id} is of agent {} that is inactive or does not know it", agent.id));
        }
        let framework = cluster.framework(&offer.framework).filter(|framework| framework.active);
        if !framework.is_some_and(|framework| framework.offers.contains(id)) {
            return Err(format!("offer {id} is to a framework that is inactive or does not know it"));
        }
    }
    for id in cluster.agents.keys() {
        if cluster.unreachable.contains_key(id) || cluster.gone.contains_key(id) {
            return Err(format!("agent {id} is registered, and unreachable or gone"));
        }
    }
    Ok(())
}

/// What an agent holds is what its tasks, executors and offers hold, and offers take only what is free.
fn agents(state: &State) -> Result<(), String> {
    let cluster = &state.cluster;
    for (id, agent) in &cluster.agents {
        let mut used = Resources::default();
        for (framework, task) in &agent.tasks {
            let task = cluster
                .task_on(id, framework, task)
                .ok_or_else(|| format!("task {task} of {framework} is only in the books of agent {id}"))?;
            if task.holds() {
                used += &unallocated(&task.resources);
            }
        }
        for ((framework, executor), info) in &agent.executors {
            let known = cluster
                .framework(framework)
                .is_some_and(|framework| framework.executors.contains_key(&(id.clone(), executor.clone())));
            if !known {
                return Err(format!("executor {executor} of {framework} is only in the books of agent {id}"));
            }
            used += &unallocated(&Resources::from_protos(&info.resources).unwrap_or_default());
        }
        if used != agent.used {
            return Err(format!("agent {id} has {} in use, its tasks {used}", agent.used));
        }
        let mut offered = Resources::default();
        for offer in &agent.offers {
            let offer =
                cluster.offers.get(offer).ok_or_else(|| format!("agent {id} is in no offer {offer}"))?;
            offered += &unallocated(&offer.resources);
        }
        if offered != agent.offered {
            return Err(format!("agent {id} has {} in offers, its offers {offered}", agent.offered));
        }
        let mut free = agent.total.clone();
        // An agent may come back smaller than what runs on it; then it is in no offer.
        free -= &used;
        if !free.contains(&offered) {
            return Err(format!("agent {id} offers {offered} of {free}"));
        }
    }
    Ok(())
}

fn frameworks(state: &State) -> Result<(), String> {
    let cluster = &state.cluster;
    for (id, framework) in &cluster.frameworks {
        for (task_id, task) in &framework.tasks {
            let agent = cluster.agent(&task.agent);
            if !agent.is_some_and(|agent| agent.tasks.contains(&(id.clone(), task_id.clone()))) {
                return Err(format!("task {task_id} of {id} is not in the books of agent {}", task.agent));
            }
            if framework.unreachable_tasks.contains_key(task_id) {
                return Err(format!("task {task_id} of {id} is unreachable, and not"));
            }
        }
        for (agent, executor) in framework.executors.keys() {
            let on = cluster.agent(agent);
            if !on.is_some_and(|on| on.executors.contains_key(&(id.clone(), executor.clone()))) {
                return Err(format!("executor {executor} of {id} is not in the books of agent {agent}"));
            }
        }
        if framework.active && !framework.connected {
            return Err(format!("framework {id} is active and not connected"));
        }
    }
    Ok(())
}
