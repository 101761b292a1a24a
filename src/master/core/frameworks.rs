//! Schedulers subscribe, fail over, fall away and are torn down.
//!
//! One path for both kinds: `subscribe` with the `Connection` that the scheduler came by.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::alloc::{self, Role};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::framework_info::capability::Type as FrameworkCapability;
use crate::proto::internal::{
    FrameworkErrorMessage, FrameworkReregisteredMessage, ShutdownFrameworkMessage, UpdateFrameworkMessage,
};
use crate::proto::scheduler::{self, call, event};
use crate::proto::task_status::Reason;
use crate::proto::{AgentId, FrameworkId, FrameworkInfo, TaskState};
use crate::resources::Resources;

use super::books::State;
use super::happenings::Happening;
use super::state::{Connection, Framework};
use super::tell::{HEARTBEAT_SECS, error_event, heartbeat_event, status_of, stream_event};
use super::{Answer, Effect, Effects, ReplyId, StreamId, Timer};
use crate::master::validate;

/// What a scheduler is told that another one took its place.
pub(super) const FAILED_OVER: &str = "Framework failed over";

impl State {
    /// SUBSCRIBE over HTTP. What is wrong with the call is a 400; what is wrong with the framework is an ERROR on
    /// the stream, and its end, as schedulers expect it.
    pub(super) fn subscribe_stream(
        &mut self,
        reply: ReplyId,
        stream: StreamId,
        call: scheduler::Call,
        now: Time,
        out: &mut Effects,
    ) {
        let checked = validate::call::validate(&call).and_then(|()| match call.r#type() {
            call::Type::Subscribe => {
                call.subscribe.ok_or_else(|| "Expecting 'subscribe' to be present".into())
            }
            other => Err(format!("Expecting a SUBSCRIBE call, not {}", other.as_str_name())),
        });
        match checked {
            Ok(subscribe) => {
                out.push(Effect::Reply { reply, answer: Answer::Subscribed });
                self.subscribe(Connection::Http(stream), subscribe, true, now, out);
            }
            Err(why) => {
                let answer = Answer::BadRequest(format!("Failed to validate scheduler::Call: {why}"));
                out.push(Effect::Reply { reply, answer });
            }
        }
    }

    /// A scheduler subscribes, anew or under the id that it was given.
    ///
    /// `force`: take the framework over even from a scheduler that is connected; a v1 scheduler always does.
    /// Source: `Master::subscribe` and `_subscribe`, 1.11.
    pub(super) fn subscribe(
        &mut self,
        connection: Connection,
        subscribe: call::Subscribe,
        force: bool,
        now: Time,
        out: &mut Effects,
    ) {
        let call::Subscribe { framework_info: mut info, suppressed_roles, offer_constraints } = subscribe;
        let id = info.id.clone().filter(|id| !id.value.is_empty());
        self.count(match id {
            None => "messages_register_framework",
            Some(_) => "messages_reregister_framework",
        });
        let mut checked = self.acceptable(&info, &suppressed_roles);
        if offer_constraints.is_some_and(|constraints| !constraints.role_constraints.is_empty()) {
            checked = checked.and(Err("Offer constraints are not supported yet".to_owned()));
        }
        if let Err(why) = checked {
            return self.refuse(&connection, &info, &why, out);
        }
        let suppressed = suppressed_roles.iter().map(|role| Role::from(role.as_str())).collect();
        let at_pid = match &connection {
            Connection::Pid(pid) => self.framework_by_pid(pid).cloned(),
            Connection::Http(_) | Connection::None => None,
        };
        let Some(id) = id else {
            if let Some(known) = at_pid {
                tracing::info!(framework = %known, "framework already subscribed, telling it again");
                return self.tell_subscribed(&known, out);
            }
            info.id = Some(self.next_framework_id());
            return self.add_framework(connection, info, suppressed, now, out);
        };
        if at_pid.as_ref().is_some_and(|known| *known != id) {
            // An answer would go to the framework that is already connected there.
            tracing::error!(framework = %id, ?connection, "another framework is connected there, SUBSCRIBE dropped");
            self.count("dropped_messages");
            return;
        }
        if !self.cluster.frameworks.contains_key(&id) {
            self.recover_framework(&info, now, out);
        }
        self.take_over(connection, info, suppressed, force, now, out);
    }

    /// A scheduler subscribes under an id that is known, be it only from agents.
    fn take_over(
        &mut self,
        connection: Connection,
        mut info: FrameworkInfo,
        suppressed: BTreeSet<Role>,
        force: bool,
        now: Time,
        out: &mut Effects,
    ) {
        let Some(known) = info.id.as_ref().and_then(|id| self.cluster.frameworks.get(id)).cloned() else {
            return;
        };
        let id = known.id.clone();
        validate::framework::keep_immutable(&known.info, &mut info);
        if let Err(why) = validate::framework::update(&known.info, &info) {
            return self.refuse(&connection, &info, &why, out);
        }
        if !known.recovered && known.connection != connection && !force {
            return self.refuse(&connection, &info, FAILED_OVER, out);
        }
        let same_driver = !force && known.connection == connection && !known.recovered;
        if known.connected && known.connection != connection {
            self.tell(&id, error_event(FAILED_OVER), out);
            if let Connection::Http(old) = &known.connection {
                out.push(Effect::CloseStream(old.clone()));
            }
        }
        for offer in &known.offers {
            // Its answer to them may be lost.
            if same_driver { self.rescind(offer, out) } else { self.discard(offer, None, out) }
        }
        self.update_info(&id, info, suppressed, out);
        self.connect(&id, connection.clone());
        self.count_call(&id, call::Type::Subscribe);
        if let Some(framework) = self.framework_mut(&id) {
            if framework.recovered {
                framework.registered = now;
            }
            framework.recovered = false;
            framework.reregistered = Some(now);
            framework.active = true;
        }
        if !known.active {
            out.push(Effect::Alloc(alloc::Call::ActivateFramework { id: id.clone() }));
        }
        tracing::info!(framework = %id, ?connection, failover = !same_driver, "framework subscribed again");
        if same_driver && let Connection::Pid(pid) = &connection {
            out.push(Effect::Link(pid.address));
            let master_info = (*self.cluster.info).clone();
            let message = FrameworkReregisteredMessage { framework_id: id.clone(), master_info };
            self.send(pid, message, out);
            self.count_event(&id, event::Type::Subscribed);
        } else {
            self.begin_connection(&id, now, out);
        }
        self.send_framework_updates(&id, out);
    }

    fn add_framework(
        &mut self,
        connection: Connection,
        info: FrameworkInfo,
        suppressed: BTreeSet<Role>,
        now: Time,
        out: &mut Effects,
    ) {
        let framework = new_framework(info, connection, suppressed, now);
        let id = framework.id.clone();
        tracing::info!(framework = %id, name = framework.info.name, "adding framework");
        out.push(Effect::Alloc(alloc::Call::AddFramework {
            id: id.clone(),
            info: framework.info.clone(),
            suppressed: framework.suppressed.clone(),
            active: true,
            held: Vec::new(),
        }));
        self.insert_framework(framework);
        self.count_call(&id, call::Type::Subscribe);
        self.begin_connection(&id, now, out);
    }

    /// A framework that only its agents or its own id speak of, as after a failover of the master: known, and
    /// without a scheduler.
    ///
    /// It goes if no scheduler comes in its `failover_timeout`, or in the time that agents have to come back should
    /// that be longer; Mesos keeps it and its tasks for ever (MESOS-4659). Source: `Master::recoverFramework`, 1.11.
    pub(super) fn recover_framework(&mut self, info: &FrameworkInfo, now: Time, out: &mut Effects) {
        let framework = Framework {
            active: false,
            recovered: true,
            ..new_framework(info.clone(), Connection::None, BTreeSet::new(), Time::ZERO)
        };
        tracing::info!(framework = %framework.id, "recovering framework");
        out.push(Effect::Alloc(alloc::Call::AddFramework {
            id: framework.id.clone(),
            info: framework.info.clone(),
            suppressed: BTreeSet::new(),
            active: false,
            held: Vec::new(),
        }));
        let id = framework.id.clone();
        self.insert_framework(framework);
        let timeout = validate::framework::failover_timeout(info).unwrap_or(Duration::ZERO);
        self.await_scheduler(id, now + timeout.max(self.flags.agent_reregister_timeout), out);
    }

    /// The first things on a new connection: SUBSCRIBED, and over HTTP a HEARTBEAT at once.
    fn begin_connection(&mut self, id: &FrameworkId, now: Time, out: &mut Effects) {
        let Some(framework) = self.cluster.framework(id) else { return };
        match framework.connection.clone() {
            Connection::Pid(pid) => {
                out.push(Effect::Link(pid.address));
                self.tell_subscribed(id, out);
            }
            Connection::Http(stream) => {
                self.tell_subscribed(id, out);
                self.heartbeat(id.clone(), stream, now, out);
            }
            Connection::None => {}
        }
    }

    fn tell_subscribed(&mut self, id: &FrameworkId, out: &mut Effects) {
        let subscribed = event::Subscribed {
            framework_id: id.clone(),
            heartbeat_interval_seconds: Some(HEARTBEAT_SECS as f64),
            master_info: Some((*self.cluster.info).clone()),
        };
        let event = scheduler::Event {
            r#type: Some(event::Type::Subscribed as i32),
            subscribed: Some(subscribed),
            ..Default::default()
        };
        self.tell(id, event, out);
    }

    /// A HEARTBEAT now and the next one later, as long as the scheduler listens to this stream.
    pub(super) fn heartbeat(&mut self, id: FrameworkId, stream: StreamId, now: Time, out: &mut Effects) {
        if self.framework_by_stream(&stream) != Some(&id) {
            return;
        }
        stream_event(&stream, heartbeat_event(), out);
        self.count_event(&id, event::Type::Heartbeat);
        let timer = Timer::Heartbeat { framework: id, stream };
        out.push(Effect::Wake { at: now + Duration::from_secs(HEARTBEAT_SECS), timer });
    }

    fn refuse(&self, connection: &Connection, info: &FrameworkInfo, why: &str, out: &mut Effects) {
        tracing::info!(name = info.name, ?connection, why, "refusing subscription of framework");
        match connection {
            Connection::Http(stream) => {
                stream_event(stream, error_event(why), out);
                out.push(Effect::CloseStream(stream.clone()));
            }
            Connection::Pid(pid) => self.send(pid, FrameworkErrorMessage { message: why.to_owned() }, out),
            Connection::None => {}
        }
    }

    /// Source: `Master::validateFramework`, 1.11.
    fn acceptable(&self, info: &FrameworkInfo, suppressed: &[String]) -> Result<(), String> {
        validate::framework::validate(info)?;
        let roles = roles_of(info);
        if let Some(allowed) = &self.flags.roles {
            let others: Vec<&str> = roles
                .iter()
                .map(|role| &**role)
                .filter(|role| *role != "*" && !allowed.contains(*role))
                .collect();
            if !others.is_empty() {
                return Err(format!(
                    "Roles {{ {} }} are not present in the master's --roles",
                    others.join(", ")
                ));
            }
        }
        if let Some(role) = suppressed.iter().find(|role| !roles.contains(role.as_str())) {
            return Err(format!("Suppressed role '{role}' is not contained in the list of roles"));
        }
        if info.user == "root" && !self.flags.root_submissions {
            return Err(
                "User 'root' is not allowed to run frameworks without --root_submissions set".to_owned()
            );
        }
        if info.id.as_ref().is_some_and(|id| self.cluster.is_completed(id)) {
            return Err("Framework has been removed".to_owned());
        }
        validate::framework::failover_timeout(info).map(|_| ())
    }

    /// UPDATE_FRAMEWORK: all of the description but user, principal and checkpointing may change while connected.
    pub(super) fn update_framework(
        &mut self,
        id: &FrameworkId,
        update: call::UpdateFramework,
        out: &mut Effects,
    ) -> Answer {
        let call::UpdateFramework { framework_info: info, suppressed_roles, offer_constraints } = update;
        if let Err(why) = self.acceptable(&info, &suppressed_roles) {
            return Answer::BadRequest(format!("Supplied FrameworkInfo is not valid: {why}"));
        }
        let Some(known) = self.cluster.framework(id).map(|framework| framework.info.clone()) else {
            return Answer::BadRequest("Framework cannot be found".to_owned());
        };
        if let Err(why) = validate::framework::update(&known, &info) {
            return Answer::BadRequest(format!("FrameworkInfo update is not valid: {why}"));
        }
        if offer_constraints.is_some_and(|constraints| !constraints.role_constraints.is_empty()) {
            return Answer::NotImplemented("Offer constraints are not supported yet".to_owned());
        }
        let changed = *known != info;
        let suppressed = suppressed_roles.iter().map(|role| Role::from(role.as_str())).collect();
        self.update_info(id, info, suppressed, out);
        if changed {
            self.send_framework_updates(id, out);
        }
        Answer::Ok
    }

    /// The framework is described anew; offers in roles that it left are rescinded.
    fn update_info(
        &mut self,
        id: &FrameworkId,
        info: FrameworkInfo,
        suppressed: BTreeSet<Role>,
        out: &mut Effects,
    ) {
        let info = Arc::new(info);
        let roles = roles_of(&info);
        out.push(Effect::Alloc(alloc::Call::UpdateFramework {
            id: id.clone(),
            info: info.clone(),
            suppressed: suppressed.clone(),
        }));
        let Some(framework) = self.framework_mut(id) else { return };
        framework.info = info;
        framework.roles.clone_from(&roles);
        framework.suppressed = suppressed;
        for offer in framework.offers.clone() {
            if self.cluster.offers.get(&offer).is_some_and(|offer| !roles.contains(&offer.role)) {
                self.rescind(&offer, out);
            }
        }
    }

    /// Tells agents that run something of the framework how it is described and reached now.
    fn send_framework_updates(&mut self, id: &FrameworkId, out: &mut Effects) {
        if let Some(framework) = self.cluster.frameworks.get(id).cloned() {
            self.note(|_| Happening::FrameworkUpdated(framework));
        }
        for agent in self.agents_of(id) {
            self.send_framework_update(id, &agent, out);
        }
    }

    pub(super) fn send_framework_update(&self, id: &FrameworkId, agent: &AgentId, out: &mut Effects) {
        let Some(framework) = self.cluster.framework(id) else { return };
        let message = UpdateFrameworkMessage {
            framework_id: id.clone(),
            pid: Some(driver_pid(framework)),
            framework_info: Some((*framework.info).clone()),
        };
        self.send_agent(agent, message, out);
    }

    /// The agents that run something of a framework.
    fn agents_of(&self, id: &FrameworkId) -> BTreeSet<AgentId> {
        let Some(framework) = self.cluster.framework(id) else { return BTreeSet::new() };
        let tasks = framework.tasks.values().map(|task| task.agent.clone());
        tasks.chain(framework.executors.keys().map(|(agent, _)| agent.clone())).collect()
    }

    pub(super) fn stream_closed(&mut self, stream: &StreamId, now: Time, out: &mut Effects) {
        if let Some(id) = self.framework_by_stream(stream).cloned() {
            self.framework_exited(&id, now, out);
        }
    }

    /// The link to this address broke: its drivers are told, should they live, since nothing else tells them.
    pub(super) fn drivers_exited(&mut self, address: SocketAddr, now: Time, out: &mut Effects) {
        for id in self.frameworks_at(address) {
            self.tell(&id, error_event("Framework disconnected"), out);
            self.framework_exited(&id, now, out);
        }
    }

    /// Source: `Master::_exited(Framework*)`, 1.11.
    fn framework_exited(&mut self, id: &FrameworkId, now: Time, out: &mut Effects) {
        self.deactivate_framework(id, true, out);
        self.disconnect(id);
        let Some(framework) = self.cluster.framework(id) else { return };
        let timeout = validate::framework::failover_timeout(&framework.info).unwrap_or(Duration::ZERO);
        tracing::info!(framework = %id, ?timeout, "framework disconnected, giving it time to fail over");
        self.await_scheduler(id.clone(), now + timeout, out);
    }

    fn await_scheduler(&self, framework: FrameworkId, until: Time, out: &mut Effects) {
        let number = self.connections.get(&framework).copied().unwrap_or(0);
        out.push(Effect::Wake { at: until, timer: Timer::Failover { framework, number } });
    }

    pub(super) fn failover_late(&mut self, id: &FrameworkId, number: u64, now: Time, out: &mut Effects) {
        let disconnected = self.cluster.framework(id).is_some_and(|framework| !framework.connected);
        if disconnected && self.connections.get(id) == Some(&number) {
            tracing::info!(framework = %id, "framework failover timeout");
            self.end_framework(id, now, out);
        }
    }

    /// The framework gets no offers until it subscribes again.
    pub(super) fn deactivate_framework(&mut self, id: &FrameworkId, rescind: bool, out: &mut Effects) {
        let Some(framework) = self.framework_mut(id).filter(|framework| framework.active) else { return };
        framework.active = false;
        let offers = framework.offers.clone();
        out.push(Effect::Alloc(alloc::Call::DeactivateFramework { id: id.clone() }));
        for offer in offers {
            if rescind { self.rescind(&offer, out) } else { self.discard(&offer, None, out) }
        }
    }

    pub(super) fn operator_teardown(
        &mut self,
        reply: ReplyId,
        id: &FrameworkId,
        now: Time,
        out: &mut Effects,
    ) {
        let answer = if self.cluster.frameworks.contains_key(id) {
            self.end_framework(id, now, out);
            Answer::Ok
        } else {
            Answer::BadRequest("No framework found with specified ID".to_owned())
        };
        out.push(Effect::Reply { reply, answer });
    }

    /// The framework is over: its executors are shut down, its tasks count as killed, and it is remembered among
    /// the completed ones. Source: `Master::removeFramework`, 1.11.
    pub(super) fn end_framework(&mut self, id: &FrameworkId, now: Time, out: &mut Effects) {
        self.deactivate_framework(id, false, out);
        let Some(framework) = self.cluster.frameworks.get(id).cloned() else { return };
        tracing::info!(framework = %id, "removing framework");
        for agent in self.agents_of(id) {
            self.send_agent(&agent, ShutdownFrameworkMessage { framework_id: id.clone() }, out);
        }
        let why = format!("Framework {id} removed");
        for (task_id, task) in &framework.tasks {
            let status = status_of(task, TaskState::TaskKilled, Reason::FrameworkRemoved, &why, now);
            if let Some((agent, resources)) = self.update_task(id, task_id, &status, TaskState::TaskKilled) {
                self.recover(id, &agent, resources, None, out);
            }
            self.complete(id, task_id);
        }
        for (task_id, task) in &framework.unreachable_tasks {
            self.take_unreachable_task(id, task_id);
            let mut task = (**task).clone();
            let status = status_of(&task, TaskState::TaskKilled, Reason::FrameworkRemoved, &why, now);
            let is_news = task.note(&status, TaskState::TaskKilled);
            self.note_status(id, &task.agent, &status, task.state, is_news);
            self.complete_task(Arc::new(task));
        }
        for (agent, executor) in framework.executors.keys() {
            self.remove_executor(id, agent, executor, out);
        }
        if let Connection::Http(stream) = &framework.connection {
            out.push(Effect::CloseStream(stream.clone()));
        }
        let Some(framework) = self.remove_framework(id) else { return };
        out.push(Effect::Alloc(alloc::Call::RemoveFramework { id: id.clone() }));
        let ended = Framework { unregistered: Some(now), ..Arc::unwrap_or_clone(framework) };
        let most = self.flags.max_completed_frameworks as usize;
        let ended = Arc::new(ended);
        self.note(|_| Happening::FrameworkRemoved(ended.clone()));
        let completed = &mut self.cluster.completed_frameworks;
        completed.push_back(ended);
        while completed.len() > most {
            if let Some(forgotten) = completed.pop_front() {
                self.cluster.traffic.remove(&forgotten.id);
            }
        }
    }
}

/// The pid that agents send executors' messages to directly; that of nobody for a v1 scheduler.
pub(super) fn driver_pid(framework: &Framework) -> String {
    match &framework.connection {
        Connection::Pid(pid) => pid.to_string(),
        Connection::Http(_) | Connection::None => Upid::new("", ([0, 0, 0, 0], 0).into()).to_string(),
    }
}

/// Source: `protobuf::framework::getRoles`, 1.11.
pub(super) fn roles_of(info: &FrameworkInfo) -> BTreeSet<Role> {
    let multi = info.capabilities.iter().any(|has| has.r#type == Some(FrameworkCapability::MultiRole as i32));
    if multi {
        info.roles.iter().map(|role| Role::from(role.as_str())).collect()
    } else {
        BTreeSet::from([Role::from(info.role())])
    }
}

fn new_framework(
    info: FrameworkInfo,
    connection: Connection,
    suppressed: BTreeSet<Role>,
    now: Time,
) -> Framework {
    Framework {
        id: info.id.clone().unwrap_or_default(),
        roles: roles_of(&info),
        suppressed,
        connected: connection != Connection::None,
        connection,
        active: true,
        recovered: false,
        registered: now,
        reregistered: None,
        unregistered: None,
        tasks: Default::default(),
        completed_tasks: Default::default(),
        unreachable_tasks: Default::default(),
        executors: Default::default(),
        offers: Default::default(),
        used: Resources::default(),
        offered: Resources::default(),
        info: Arc::new(info),
    }
}
