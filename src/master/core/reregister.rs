//! Agents come back: after a broken link, after their own restart, after being unreachable, to a new leader.
//!
//! What an agent says it runs is merged with what the master has in its books. An agent that is in the books is
//! compared with them (`updated`); one that is not is taken in whole (`readmitted`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alloc;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    KillTaskMessage, ReconcileTasksMessage, ReregisterSlaveMessage, ShutdownFrameworkMessage,
    ShutdownMessage, SlaveReregisteredMessage, archive,
};
use crate::proto::task_status::{Reason, Source};
use crate::proto::{
    self, AgentId, AgentInfo, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskState, TaskStatus,
};
use crate::registry::Operation;
use crate::resources::Resources;

use super::agents::capabilities;
use super::books::{Changing, State};
use super::state::{Agent, Task, TaskExtra, is_terminal};
use super::tell::status_of;
use super::{Effect, Effects, Then};
use crate::master::validate;

impl State {
    /// An agent with an id is here, again. Dropped while another change of it is being stored: it asks again. Kept
    /// while its return itself is: when that is durable, the agent may run something else than when it first asked.
    ///
    /// Source: `Master::reregisterSlave` and `_reregisterSlave`, 1.11.
    pub(super) fn reregister(
        &mut self,
        from: Upid,
        message: ReregisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        self.count("messages_reregister_slave");
        let Some(id) = message.agent.id.clone() else {
            return self.drop_message(&from, "re-registration", "the agent has no id");
        };
        if let Some(changing) = self.changing.get(&id) {
            tracing::info!(agent = %id, ?changing, "re-registration put off, a change of the agent is stored");
            if *changing == Changing::Reregistering {
                self.said_meanwhile(id, from, message);
            }
            return;
        }
        let last = self.watches.get(&id).and_then(|watch| watch.attempt);
        if is_overtaken(message.attempt, last) {
            return self.drop_message(&from, "re-registration", "a later one came before it");
        }
        if self.cluster.gone.contains_key(&id) {
            return self.turn_away(&from, "Agent has been marked gone", out);
        }
        let allowed = validate::agent::reregistration(&message)
            .and_then(|()| self.admissible(&from, &message.agent, message.version()));
        if let Err(why) = allowed {
            return self.drop_message(&from, "re-registration", &why);
        }
        if self.registering.contains(&from) {
            return self.drop_message(&from, "re-registration", "a new agent is registering at its address");
        }
        let other = self.agent_by_pid(&from).filter(|other| **other != id).cloned();
        if let Some(other) = &other
            && !self.replace(other, out)
        {
            return;
        }
        if let Some(agent) = self.cluster.agent(&id) {
            if agent.pid.address.ip() != from.address.ip() || agent.info.hostname != message.agent.hostname {
                let why = "Agent attempted to reregister with different IP / hostname";
                return self.turn_away(&from, why, out);
            }
            // Not before the other one at its address is out of the books, which its removal being stored tells.
            if *agent.info == message.agent && other.is_none() {
                let info = agent.info.clone();
                return self.updated(from, info, message, now, out);
            }
        }
        self.readmit(id, from, message, now, out);
    }

    /// What the registry must hold before the agent is in again.
    fn readmit(
        &mut self,
        id: AgentId,
        from: Upid,
        message: ReregisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        let registered = self.cluster.agents.contains_key(&id);
        let recovered = self.cluster.recovered.get(&id);
        if let Some(known) = recovered.filter(|known| ***known == message.agent) {
            let info = known.clone();
            return self.readmitted(from, info, message, now, out);
        }
        let info = Arc::new(message.agent.clone());
        // An agent that neither list has was forgotten as unreachable long ago; it is as welcome.
        let operation = match registered || recovered.is_some() {
            true => Operation::Update(info.clone()),
            false => Operation::MarkReachable(info.clone()),
        };
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.left = false;
        }
        let registration = Box::new(message);
        let then = match registered {
            true => Then::Updated { from, info, registration },
            false => Then::Readmitted { from, info, registration },
        };
        self.changing.insert(id, Changing::Reregistering);
        out.push(Effect::Store { operation, then });
    }

    fn turn_away(&self, from: &Upid, why: &str, out: &mut Effects) {
        tracing::warn!(%from, why, "refusing re-registration of agent");
        self.send(from, ShutdownMessage { message: Some(why.to_owned()) }, out);
    }

    /// `reregister` goes on here for an agent that is not in the books: all it runs is new to them.
    /// Source: `Master::__reregisterSlave`, 1.11.
    pub(super) fn readmitted(
        &mut self,
        from: Upid,
        info: Arc<AgentInfo>,
        message: ReregisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        let Some(id) = message.agent.id.clone() else { return };
        self.changing.remove(&id);
        if self.cluster.gone.contains_key(&id) {
            return self.turn_away(&from, "Agent has been marked gone", out);
        }
        if self.agent_by_pid(&from).is_some() || self.cluster.agents.contains_key(&id) {
            tracing::warn!(agent = %id, %from, "another agent came to this address, re-registration ignored");
            return;
        }
        let total = match validate::agent::total(&message.agent, &message.checkpointed_resources) {
            Ok(total) => total,
            Err(why) => return self.drop_message(&from, "re-registration", &why),
        };
        let was_recovered = self.cluster.recovered.remove(&id).is_some();
        let was_unreachable = self.cluster.unreachable.remove(&id).is_some();
        let missed: BTreeSet<(FrameworkId, TaskId)> = self.unreachable_on(&id).into_iter().collect();
        for (framework, task) in &missed {
            self.take_unreachable_task(framework, task);
        }
        self.count("slave_reregistrations");
        let agent = Agent {
            id: id.clone(),
            pid: from,
            version: message.version().to_owned(),
            capabilities: capabilities(&message.agent_capabilities),
            registered: now,
            reregistered: Some(now),
            connected: true,
            active: true,
            total: total.clone(),
            used: Resources::default(),
            offered: Resources::default(),
            tasks: Default::default(),
            executors: Default::default(),
            offers: Default::default(),
            info: info.clone(),
        };
        let number = self.welcome(agent, message.resource_version_uuid, now, out);
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.attempt = message.attempt;
        }
        self.learn_frameworks(&id, &message.frameworks, now, out);
        let why = match was_unreachable {
            true => "Unreachable agent re-reregistered",
            false => "Unknown agent reregistered",
        };
        let mut held = Held::default();
        for executor in &message.executor_infos {
            self.adopt_executor(&id, executor, &message.frameworks, &mut held);
        }
        for task in message.tasks {
            let key = (task.framework_id.clone(), task.task_id.clone());
            if !missed.contains(&key) && self.has_ended(&id, &task) {
                tracing::warn!(agent = %id, task = %key.1, "task has ended, the re-registration is an old one");
                continue;
            }
            let told = (!was_recovered).then_some(why);
            self.adopt_task(&id, task, &message.frameworks, told, &mut held, now, out);
        }
        self.adopt_completed(message.completed_frameworks);
        let held = held.0.into_iter().collect();
        out.push(Effect::Alloc(alloc::Call::AddAgent { id: id.clone(), number, info, total, held }));
        let connection = Some(self.connection_terms());
        let welcome = SlaveReregisteredMessage { agent_id: id.clone(), reconciliations: vec![], connection };
        self.send_agent(&id, welcome, out);
        self.settle_frameworks(&id, &message.frameworks, out);
        tracing::info!(agent = %id, was_unreachable, was_recovered, "re-registered agent");
    }

    /// `reregister` goes on here for an agent that is in the books, connected or not.
    /// Source: `Master::___reregisterSlave`, 1.11.
    pub(super) fn updated(
        &mut self,
        from: Upid,
        info: Arc<AgentInfo>,
        message: ReregisterSlaveMessage,
        now: Time,
        out: &mut Effects,
    ) {
        let Some(id) = message.agent.id.clone() else { return };
        self.changing.remove(&id);
        if !self.cluster.agents.contains_key(&id) {
            tracing::warn!(agent = %id, "re-registration ignored, the agent was removed meanwhile");
            return;
        }
        if self.agent_by_pid(&from).is_some_and(|other| *other != id) {
            tracing::warn!(agent = %id, %from, "another agent came to this address, re-registration ignored");
            return;
        }
        let total = match validate::agent::total(&message.agent, &message.checkpointed_resources) {
            Ok(total) => total,
            Err(why) => return self.turn_away(&from, &why, out),
        };
        out.push(Effect::Link(from.address));
        self.move_agent(&id, from);
        let Some(agent) = self.agent_mut(&id) else { return };
        agent.version = message.version().to_owned();
        agent.capabilities = capabilities(&message.agent_capabilities);
        agent.reregistered = Some(now);
        let revocable = agent.total.filter(|resource| resource.is_revocable());
        let told_apart = *agent.info != message.agent;
        agent.info = info;
        let mut total = total;
        total += &revocable;
        if told_apart && agent.total == total {
            let (id, info) = (id.clone(), agent.info.clone());
            out.push(Effect::Alloc(alloc::Call::UpdateAgent { id, info, total: total.clone() }));
        }
        self.change_total(&id, total, out);
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.resource_version = message.resource_version_uuid.clone();
            watch.attempt = message.attempt;
        }
        self.learn_frameworks(&id, &message.frameworks, now, out);
        self.compare(&id, &message, now, out);
        let Some(agent) = self.agent_mut(&id) else { return };
        if !agent.connected {
            agent.connected = true;
            agent.active = true;
            out.push(Effect::Alloc(alloc::Call::ActivateAgent { id: id.clone() }));
        }
        self.settle_frameworks(&id, &message.frameworks, out);
        tracing::info!(agent = %id, "re-registered agent, known already");
    }

    /// Compares what the agent runs with the books: it is asked about tasks that it did not name, which may be
    /// under way to it; what the books miss is taken in.
    ///
    /// Mesos has no rule for the latter; it happens when only messages were lost, see `agents_exited`.
    /// Source: `Master::reconcileKnownSlave`, 1.11.
    fn compare(&mut self, id: &AgentId, message: &ReregisterSlaveMessage, now: Time, out: &mut Effects) {
        let Some(agent) = self.cluster.agents.get(id).cloned() else { return };
        let named: BTreeSet<(&FrameworkId, &TaskId)> =
            message.tasks.iter().map(|task| (&task.framework_id, &task.task_id)).collect();
        let running: BTreeSet<_> = message
            .executor_infos
            .iter()
            .filter_map(|executor| Some((executor.framework_id.clone()?, executor.executor_id.clone())))
            .collect();
        let mut asked: BTreeMap<FrameworkId, Vec<TaskStatus>> = BTreeMap::new();
        for (framework, task) in &agent.tasks {
            if !named.contains(&(framework, task))
                && let Some(known) = self.cluster.task_on(id, framework, task)
            {
                asked.entry(framework.clone()).or_default().push(question(known, now));
            }
        }
        for (framework, executor) in agent.executors.keys() {
            if running.contains(&(framework.clone(), executor.clone())) {
                continue;
            }
            tracing::warn!(agent = %id, %framework, %executor, "executor is unknown to its agent");
            // It has tasks there and is not there itself: then it is no more, and they have ended too.
            let was_there = message
                .tasks
                .iter()
                .any(|task| task.framework_id == *framework && task.executor_id.as_ref() == Some(executor));
            if was_there || !self.runs_tasks(id, framework, executor) {
                self.remove_executor(framework, id, executor, out);
            } else if let Some(watch) = self.watches.get_mut(id) {
                watch.doubted.insert((framework.clone(), executor.clone()));
            }
        }
        let mut held = Held::default();
        for executor in &message.executor_infos {
            self.adopt_executor(id, executor, &message.frameworks, &mut held);
        }
        for task in &message.tasks {
            if self.is_forgotten(id, task)
                && let Some(known) = self.adopt_task(
                    id,
                    task.clone(),
                    &message.frameworks,
                    Some("Task is running"),
                    &mut held,
                    now,
                    out,
                )
            {
                asked.entry(task.framework_id.clone()).or_default().push(known);
            }
        }
        for (framework, resources) in held.0 {
            out.push(Effect::Alloc(alloc::Call::Hold { framework, agent: id.clone(), resources }));
        }
        self.rescind_what_is_held(id, out);
        let reconciliations = asked.into_iter().map(|(framework_id, statuses)| ReconcileTasksMessage {
            framework: self.cluster.framework(&framework_id).map(|framework| (*framework.info).clone()),
            framework_id,
            statuses,
        });
        let reregistered = SlaveReregisteredMessage {
            agent_id: id.clone(),
            reconciliations: reconciliations.collect(),
            connection: Some(self.connection_terms()),
        };
        self.send_agent(id, reregistered, out);
        self.kill_again(id, &message.tasks, out);
    }

    /// What was offered may turn out to be in use.
    fn rescind_what_is_held(&mut self, id: &AgentId, out: &mut Effects) {
        let Some(agent) = self.cluster.agent(id) else { return };
        let mut free = agent.total.clone();
        free -= &agent.used;
        if free.contains(&agent.offered) {
            return;
        }
        for offer in agent.offers.clone() {
            self.rescind(&offer, out);
        }
    }

    /// A task that runs on a known agent and is not in the books.
    fn is_forgotten(&self, agent: &AgentId, task: &proto::Task) -> bool {
        let Some(framework) = self.cluster.framework(&task.framework_id) else { return false };
        !is_terminal(task.state())
            && !framework.tasks.contains_key(&task.task_id)
            && !self.has_ended(agent, task)
    }

    /// Whether a task ended by its agent's own word: then a message of the agent that has it is old. What the
    /// master itself has ended may be running after all.
    fn has_ended(&self, agent: &AgentId, task: &proto::Task) -> bool {
        let Some(framework) = self.cluster.framework(&task.framework_id) else { return false };
        framework.completed(&task.task_id).is_some_and(|ended| {
            ended.agent == *agent && ended.told_by().is_some_and(|by| by != Source::Master)
        })
    }

    /// Tells the agent again to kill what it was told to kill while it was away.
    fn kill_again(&self, id: &AgentId, tasks: &[proto::Task], out: &mut Effects) {
        let Some(watch) = self.watches.get(id) else { return };
        for task in tasks {
            let key = (task.framework_id.clone(), task.task_id.clone());
            if !is_terminal(task.state()) && watch.killed.contains(&key) {
                let (framework_id, task_id) = key;
                tracing::warn!(agent = %id, task = %task_id, "telling agent again to kill task");
                let message = KillTaskMessage { framework_id, task_id, kill_policy: None };
                self.send_agent(id, message, out);
            }
        }
    }

    /// Frameworks that only the agent knows are known from now on, waiting for their schedulers.
    fn learn_frameworks(
        &mut self,
        agent: &AgentId,
        frameworks: &[FrameworkInfo],
        now: Time,
        out: &mut Effects,
    ) {
        for info in frameworks {
            let Some(id) = &info.id else { continue };
            if !self.cluster.frameworks.contains_key(id) && !self.cluster.is_completed(id) {
                tracing::info!(framework = %id, %agent, "learned of framework from agent");
                self.recover_framework(info, now, out);
            }
        }
    }

    /// The agent shuts down what is over, and hears how the other frameworks are reached.
    fn settle_frameworks(&self, agent: &AgentId, frameworks: &[FrameworkInfo], out: &mut Effects) {
        for id in frameworks.iter().filter_map(|info| info.id.as_ref()) {
            if self.cluster.frameworks.contains_key(id) {
                self.send_framework_update(id, agent, out);
            } else {
                tracing::info!(framework = %id, %agent, "shutting down a completed framework on agent");
                self.send_agent(agent, ShutdownFrameworkMessage { framework_id: id.clone() }, out);
            }
        }
    }

    fn adopt_executor(
        &mut self,
        agent: &AgentId,
        info: &ExecutorInfo,
        frameworks: &[FrameworkInfo],
        held: &mut Held,
    ) {
        let Some(framework) = info.framework_id.clone() else { return };
        let key = (framework.clone(), info.executor_id.clone());
        let known = self.cluster.agent(agent).is_some_and(|agent| agent.executors.contains_key(&key));
        let exited = self.watches.get(agent).is_some_and(|watch| watch.exited.contains(&key));
        if known || exited || !self.cluster.frameworks.contains_key(&framework) {
            return;
        }
        let mut info = info.clone();
        allocate(&mut info.resources, &framework, frameworks);
        let Ok(resources) = Resources::from_protos(&info.resources) else { return };
        held.add(&framework, &resources);
        self.add_executor(&framework, agent, Arc::new(info), &resources);
    }

    /// Takes a task that the agent runs into the books; `told`: the scheduler hears of it, with this reason.
    /// Gives the question to the agent whether it really has it.
    #[expect(clippy::too_many_arguments, reason = "what came with the task's message is passed through")]
    fn adopt_task(
        &mut self,
        agent: &AgentId,
        mut task: proto::Task,
        frameworks: &[FrameworkInfo],
        told: Option<&str>,
        held: &mut Held,
        now: Time,
        out: &mut Effects,
    ) -> Option<TaskStatus> {
        let framework = task.framework_id.clone();
        let owner = self.cluster.framework(&framework)?;
        if let Some(other) = owner.tasks.get(&task.task_id).filter(|other| other.agent != *agent) {
            tracing::error!(%framework, task = %task.task_id, %agent, other = %other.agent, "task runs twice, killing it");
            let kill = KillTaskMessage { framework_id: framework, task_id: task.task_id, kill_policy: None };
            self.send_agent(agent, kill, out);
            return None;
        }
        allocate(&mut task.resources, &framework, frameworks);
        let mut task = task_of(task)?;
        // What the master once ended on its own word is running after all, or has ended indeed.
        if let Some(ended) = owner.completed(&task.id).cloned()
            && let Some(owner) = self.framework_mut(&framework)
        {
            owner.completed_tasks.retain(|ended| ended.id != task.id);
            let told = ended.update.as_ref().filter(|(told, _)| is_terminal(*told));
            if let Some(told) = told.filter(|_| is_terminal(task.state) && ended.agent == task.agent) {
                task.update = Some(told.clone());
            }
        }
        if task.holds() {
            held.add(&framework, &task.resources);
        }
        let asked = question(&task, now);
        // An end is for the agent's own update to tell, after those that come before it.
        let under_way =
            is_terminal(task.state) && !task.update.as_ref().is_some_and(|(told, _)| is_terminal(*told));
        if let Some(why) = told.filter(|_| !under_way) {
            let status = status_of(&task, task.state, Reason::AgentReregistered, why, now);
            self.tell_status(&framework, status, out);
        }
        self.add_task(task);
        Some(asked)
    }

    /// Tasks of frameworks that the agent knows as completed; the master may have them already. One that was not
    /// heard of to its end is over all the same: Mesos says ever after that it runs.
    fn adopt_completed(&mut self, frameworks: Vec<archive::Framework>) {
        for archive::Framework { framework_info, tasks, .. } in frameworks {
            let Some(framework) = framework_info.id.as_ref().and_then(|id| self.cluster.framework(id)) else {
                continue;
            };
            let mut known: BTreeSet<TaskId> =
                framework.completed_tasks.iter().map(|task| task.id.clone()).collect();
            known.extend(framework.tasks.keys().cloned());
            let id = framework.id.clone();
            for task in tasks.into_iter().filter(|task| task.framework_id == id) {
                if known.insert(task.task_id.clone())
                    && let Some(mut task) = task_of(task)
                {
                    if !is_terminal(task.state) {
                        task.state = TaskState::TaskLost;
                    }
                    self.complete_task(Arc::new(task));
                }
            }
        }
    }
}

/// Whether a re-registration was said before the other one by the same process or by one that was the agent before,
/// or is that one again: then it tells what was, and the agent was answered. Of Apache Mesos' agents none knows.
pub(super) fn is_overtaken(this: Option<u64>, other: Option<u64>) -> bool {
    let (Some(this), Some(other)) = (this, other) else { return false };
    let lives = |attempt| attempt >> 40;
    let process = |attempt| attempt >> 24;
    lives(this) < lives(other) || process(this) == process(other) && this <= other
}

/// What an agent's tasks and executors hold, by framework.
#[derive(Default)]
struct Held(BTreeMap<FrameworkId, Resources>);

impl Held {
    fn add(&mut self, framework: &FrameworkId, resources: &Resources) {
        *self.0.entry(framework.clone()).or_default() += resources;
    }
}

/// Asks an agent whether it has a task: it answers only if not. Its resent updates tell the rest.
fn question(task: &Task, now: Time) -> TaskStatus {
    let state = task.update.as_ref().map_or(task.state, |(state, _)| *state);
    TaskStatus {
        source: Some(Source::Master as i32),
        executor_id: None,
        ..status_of(task, state, Reason::Reconciliation, "Reconciliation request", now)
    }
}

/// Agents before 1.3 do not say which role holds a resource; then it is the framework's only one.
fn allocate(resources: &mut [proto::Resource], framework: &FrameworkId, frameworks: &[FrameworkInfo]) {
    if resources.iter().all(|resource| resource.allocation_info.is_some()) {
        return;
    }
    let info = frameworks.iter().find(|info| info.id.as_ref() == Some(framework));
    let role = info.and_then(|info| super::frameworks::roles_of(info).first().map(ToString::to_string));
    for resource in resources {
        if resource.allocation_info.is_none() {
            resource.allocation_info = Some(proto::resource::AllocationInfo { role: role.clone() });
        }
    }
}

/// A task as its agent describes it; `None` if its resources mean nothing.
fn task_of(task: proto::Task) -> Option<Task> {
    let state = task.state();
    let update = task.status_update_uuid.clone().map(|uuid| (task.status_update_state(), uuid));
    let extra = TaskExtra {
        user: task.user,
        labels: task.labels,
        discovery: task.discovery,
        container: task.container,
        health_check: task.health_check,
        kill_policy: task.kill_policy,
        max_completion_time: None,
        limits: task.limits,
    };
    // An agent has no unreachable tasks: what it runs, runs.
    let state = if state == TaskState::TaskUnreachable { TaskState::TaskRunning } else { state };
    Some(Task {
        id: task.task_id,
        name: task.name,
        framework: task.framework_id,
        agent: task.agent_id,
        executor: task.executor_id.filter(|executor| !executor.value.is_empty()),
        state,
        resources: Resources::from_protos(&task.resources).ok()?,
        statuses: task.statuses.into_iter().map(Arc::new).collect(),
        update,
        extra: (extra != TaskExtra::default()).then(|| Arc::new(extra)),
    })
}
