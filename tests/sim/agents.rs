//! Agents and their containers, and what becomes of their effects.

use std::sync::Arc;
use std::time::Duration;

use mesos::agent::containerizer::{Exit, Launch, Report};
use mesos::agent::core as agent_core;
use mesos::proto::{AgentId, ContainerId, executor, task_status};
use rand::RngExt;

use crate::ensemble::Voter;
use crate::executors::{Container, Input, Wish};
use crate::setup;
use crate::world::{AgentNode, End, Item, Plant, Touched, World, master_at};

impl World {
    pub fn start_agent(&mut self, agent: usize) {
        let node = &mut self.agents[agent];
        node.life += 1;
        let image = node.disk.image.clone();
        let recovered =
            agent_core::Recovered { image, rebooted: std::mem::take(&mut node.disk.rebooted), errors: 0 };
        let (state, effects) = setup::agent(agent, node.extra, node.life, node.address, recovered, self.now);
        mesos::agent::core::invariants::check(&state).unwrap_or_else(|why| panic!("recovered: {why}"));
        node.state = Some(state);
        node.stand = None;
        self.note(|| format!("agent {agent} starts"));
        self.agent_effects(agent, effects);
    }

    /// The machine dies, and what runs on it.
    pub fn reboot_agent(&mut self, agent: usize) {
        self.kill_agent(agent);
        let node = &mut self.agents[agent];
        node.containers.clear();
        node.disk.rebooted = true;
        self.count("machines rebooted");
    }

    /// The agent process dies. Executors of frameworks that do not checkpoint go with it.
    pub fn kill_agent(&mut self, agent: usize) {
        let node = &mut self.agents[agent];
        if node.state.take().is_none() {
            return;
        }
        let kept = self.net.rng.random_range(0..=node.disk.waiting());
        let node = &mut self.agents[agent];
        node.disk.crash(kept);
        node.life += 1;
        node.containers.retain(|_, container| container.checkpoint);
        let address = node.address;
        let mut cut = vec![];
        for (id, container) in &mut node.containers {
            if container.stream.take().is_some() {
                cut.push(id.clone());
            }
        }
        for container in cut {
            self.put(1, 2, Item::Container { agent, container, input: Input::Disconnected });
        }
        self.count("agents died");
        self.note(|| format!("agent {agent} dies"));
        for master in 0..self.masters.len() {
            if self.masters[master].core.as_ref().is_some_and(|core| core.links.contains(&address)) {
                self.master_exited(master, address);
            }
        }
    }

    /// The agent gets more cpus, as after a restart that nobody noticed, and says so when it registers again.
    pub fn grow_agent(&mut self, agent: usize) {
        let node = &mut self.agents[agent];
        let Some(state) = node.state.as_mut() else { return };
        node.extra += 1;
        let mut info = (*state.node.info).clone();
        info.resources = setup::resources(agent, node.extra);
        state.node.info = info.into();
        self.count("agents grown");
        self.note(|| format!("agent {agent} grows"));
        self.break_link(self.masters_of(agent), agent);
    }

    /// The master that an agent takes for the leader; any, if none.
    pub fn masters_of(&self, agent: usize) -> usize {
        let state = self.agents[agent].state.as_ref();
        let leader = state.and_then(|state| state.node.leader.as_ref());
        leader.and_then(|leader| master_at(leader.pid.address)).unwrap_or_default()
    }

    pub fn leader_seen(&mut self, agent: usize) {
        let life = self.agents[agent].life;
        self.put(1, 100, Item::Detected { agent, life });
    }

    /// The detector of a master that stands alone tells how it is now, not how it was.
    pub fn detected(&mut self, agent: usize) {
        let leader = self.leading().map(setup::leader);
        self.agent_event(agent, agent_core::Event::LeaderSeen(leader));
    }

    pub fn agent_later(&mut self, agent: usize, from_ms: u64, to_ms: u64, event: agent_core::Event) {
        let life = self.agents[agent].life;
        self.put(from_ms, to_ms, Item::Agent { agent, life, event });
    }

    pub fn agent_event(&mut self, agent: usize, event: agent_core::Event) {
        if self.agents[agent].state.is_none() {
            return;
        }
        self.note(|| format!("agent {agent} <- {event:?}"));
        self.touched = Touched::Agent(agent);
        let knew = self.agent_id(agent);
        let mut effects = vec![];
        let now = self.now;
        let Some(state) = self.agents[agent].state.as_mut() else { return };
        state.handle(now, event, &mut effects);
        if let Some(id) = self.agent_id(agent).filter(|id| Some(id) != knew.as_ref()) {
            self.store.told(&id);
        }
        self.agent_effects(agent, effects);
    }

    fn agent_id(&self, agent: usize) -> Option<AgentId> {
        self.agents[agent].state.as_ref()?.node.info.id.clone()
    }

    fn agent_effects(&mut self, agent: usize, effects: agent_core::Effects) {
        use agent_core::Effect;
        for effect in effects {
            self.note(|| format!("agent {agent} -> {effect:?}"));
            match effect {
                Effect::Send { to, message } => self.mail_from_agent(agent, &to, message),
                Effect::Link(address) => {
                    if master_at(address).is_some_and(|master| !self.masters[master].up) {
                        self.agent_later(agent, 0, 50, agent_core::Event::Exited(address));
                    }
                }
                Effect::Detect if self.ensemble.is_some() => match self.agents[agent].stand {
                    Some(_) => self.detect_again(agent),
                    None => self.stand(Voter::Agent(agent)),
                },
                Effect::Detect => self.leader_seen(agent),
                Effect::Stream { stream, event } => {
                    if let Some(acknowledged) = &event.acknowledged {
                        let told = self.ends.iter_mut().filter(|end| end.uuid == acknowledged.uuid);
                        told.for_each(|end| end.taken = true);
                    }
                    let found = self.agents[agent]
                        .containers
                        .iter()
                        .find(|(_, c)| c.stream.as_ref() == Some(&stream));
                    if let Some(container) = found.map(|(id, _)| id.clone()) {
                        // Loopback: quick and in order, for equal times keep their order.
                        let at = self.now + Duration::from_millis(1);
                        let input = Input::Heard(stream, event);
                        self.agenda.put(at, Item::Container { agent, container, input });
                    }
                }
                Effect::CloseStream(stream) => self.close_executor_stream(agent, &stream),
                Effect::Reply { reply, answer } => {
                    let fine =
                        matches!(answer, agent_core::Answer::Subscribed | agent_core::Answer::Accepted);
                    if let Some((agent, container)) = self.asked_agent.remove(&reply)
                        && !fine
                    {
                        self.note(|| format!("executor in {} was refused: {answer:?}", container.value));
                        self.close_refused(agent, container, format!("{answer:?}"));
                    }
                }
                Effect::Checkpoint { facts, then } => {
                    if facts.contains(&mesos::agent::checkpoint::Fact::Left) {
                        self.agents[agent].identity += 1;
                    }
                    self.agents[agent].disk.save(facts, then);
                    self.disk_writes(agent);
                }
                Effect::Recover(survivors) => self.recover(agent, survivors),
                Effect::Launch(launch) => self.launch(agent, *launch),
                Effect::Collect(_) | Effect::Update { .. } => {}
                Effect::Destroy(container) => {
                    let exit = Exit::Destroyed;
                    self.put(1, 300, Item::ExecutorDies { agent, container, exit });
                }
                Effect::Wake { at, timer } => {
                    let life = self.agents[agent].life;
                    let event = agent_core::Event::Timer(timer);
                    self.agenda.put(at.max(self.now), Item::Agent { agent, life, event });
                }
                Effect::Exit(_) => {
                    self.kill_agent(agent);
                    self.put(1000, 5000, Item::AgentReturns { agent });
                }
            }
        }
    }

    fn disk_writes(&mut self, agent: usize) {
        let disk = &mut self.agents[agent].disk;
        if disk.waiting() > 0 && !std::mem::replace(&mut disk.writing, true) {
            let life = self.agents[agent].life;
            let slow = if self.net.chance(20) { 3000 } else { 20 };
            self.put(0, slow, Item::DiskWritten { agent, life });
        }
    }

    pub fn disk_written(&mut self, agent: usize) {
        let plant = self.plant == Some(Plant::LoseCheckpoints);
        let (node, net) = (&mut self.agents[agent], &mut self.net);
        node.disk.writing = false;
        let durable = node.disk.write(|fact| {
            plant && matches!(fact, mesos::agent::checkpoint::Fact::Acknowledged(_)) && net.chance(300)
        });
        for then in durable {
            self.agent_event(agent, agent_core::Event::Saved(then));
        }
        self.disk_writes(agent);
    }

    /// The containers that an earlier agent left: those that are known, and others.
    fn recover(&mut self, agent: usize, survivors: Vec<mesos::agent::containerizer::Survivor>) {
        let there: Vec<ContainerId> = self.agents[agent].containers.keys().cloned().collect();
        for id in &there {
            if !survivors.iter().any(|survivor| survivor.container == *id) {
                self.count("unknown containers killed");
                self.put(1, 300, Item::ExecutorDies { agent, container: id.clone(), exit: Exit::Destroyed });
            }
        }
        for container in survivors.into_iter().map(|survivor| survivor.container) {
            let report = match there.contains(&container) {
                true => {
                    self.count("containers recovered");
                    Report::Launched { container, pid: 1 }
                }
                false => Report::Terminated { container, exit: Exit::Unknown },
            };
            self.agent_later(agent, 1, 50, agent_core::Event::Report(report));
        }
    }

    fn launch(&mut self, agent: usize, launch: Launch) {
        let container = launch.container.clone();
        self.count("containers");
        if self.net.chance(30) {
            let report = Report::Failed {
                container,
                reason: task_status::Reason::ContainerLaunchFailed,
                message: "the simulated fetch failed".to_owned(),
            };
            return self.agent_later(agent, 1, 500, agent_core::Event::Report(report));
        }
        let checkpoint = launch.environment.get("MESOS_CHECKPOINT").is_some_and(|value| value == "1");
        let mut new = Container::new(launch, checkpoint, self.net.rng.random());
        let wishes = new.start(self.now, &mut self.net.rng);
        self.agents[agent].containers.insert(container.clone(), new);
        let report = Report::Launched { container: container.clone(), pid: 1 };
        self.agent_later(agent, 1, 5, agent_core::Event::Report(report));
        self.fulfil(agent, &container, wishes);
    }

    pub fn container_input(&mut self, agent: usize, id: &ContainerId, input: Input) {
        let now = self.now;
        let down = self.agents[agent].state.is_none();
        // Nobody answers the connection.
        let input = if down && matches!(input, Input::Connected) { Input::Disconnected } else { input };
        let Some(container) = self.agents[agent].containers.get_mut(id).filter(|c| c.alive) else { return };
        let wishes = container.take(input, now, &mut self.net.rng);
        self.fulfil(agent, id, wishes);
    }

    fn fulfil(&mut self, agent: usize, id: &ContainerId, wishes: Vec<Wish>) {
        for wish in wishes {
            let container = id.clone();
            match wish {
                Wish::Subscribe(call) => self.executor_subscribes(agent, id, call),
                Wish::Say(call) => self.executor_says(agent, id, call),
                Wish::Later(from_ms, to_ms, input) => {
                    self.put(from_ms, to_ms, Item::Container { agent, container, input });
                }
                Wish::At(at, input) => {
                    self.agenda.put(at.max(self.now), Item::Container { agent, container, input });
                }
                Wish::Exit(code) => {
                    let exit = Exit::Code(code);
                    self.put(1, 1000, Item::ExecutorDies { agent, container, exit });
                }
            }
        }
    }

    fn executor_subscribes(&mut self, agent: usize, id: &ContainerId, call: executor::Call) {
        let serial = self.serial();
        let stream: Arc<str> = format!("executor-{serial}").into();
        let reply = agent_core::ReplyId(serial);
        let Some(container) = self.agents[agent].containers.get_mut(id) else { return };
        if let Some(old) = container.stream.replace(stream.clone()) {
            self.agent_later(agent, 1, 2, agent_core::Event::StreamClosed(old));
        }
        self.asked_agent.insert(reply, (agent, id.clone()));
        for update in call.subscribe.iter().flat_map(|subscribe| &subscribe.unacknowledged_updates) {
            self.note_end(agent, &call, &update.status);
        }
        // In order with its calls.
        let life = self.agents[agent].life;
        let event = agent_core::Event::Subscribe { reply, stream, call: Box::new(call) };
        self.agenda.put(self.now + Duration::from_millis(1), Item::Agent { agent, life, event });
    }

    fn executor_says(&mut self, agent: usize, id: &ContainerId, call: executor::Call) {
        let reply = agent_core::ReplyId(self.serial());
        if let Some(update) = &call.update {
            self.note_end(agent, &call, &update.status);
        }
        self.note(|| format!("container {} -> {call:?}", id.value));
        let event = agent_core::Event::Call { reply, call: Box::new(call) };
        // Calls of one executor keep their order: one connection on loopback.
        let life = self.agents[agent].life;
        self.agenda.put(self.now + Duration::from_millis(1), Item::Agent { agent, life, event });
    }

    fn note_end(&mut self, agent: usize, call: &executor::Call, status: &mesos::proto::TaskStatus) {
        if crate::checks::is_terminal(status.state()) {
            let AgentNode { life, identity, .. } = self.agents[agent];
            let (framework, task) = (call.framework_id.clone(), status.task_id.clone());
            let uuid = status.uuid.clone().unwrap_or_default();
            self.ends.push(End { agent, life, framework, task, uuid, identity, taken: false });
        }
    }

    fn close_refused(&mut self, agent: usize, container: ContainerId, why: String) {
        if let Some(found) = self.agents[agent].containers.get_mut(&container) {
            found.stream = None;
            let input = Input::Own(mesos::executor::core::Event::Refused(why));
            self.put(0, 1, Item::Container { agent, container, input });
        }
    }

    fn close_executor_stream(&mut self, agent: usize, stream: &Arc<str>) {
        let mut containers = self.agents[agent].containers.iter_mut();
        if let Some((id, found)) = containers.find(|(_, c)| c.stream.as_ref() == Some(stream)) {
            found.stream = None;
            let container = id.clone();
            self.put(1, 2, Item::Container { agent, container, input: Input::Disconnected });
        }
    }

    /// An executor's connection to its agent breaks, with what was on its way.
    pub fn break_executor_stream(&mut self, agent: usize, id: &ContainerId) {
        let Some(stream) = self.agents[agent].containers.get(id).and_then(|c| c.stream.clone()) else {
            return;
        };
        self.count("executor streams broken");
        self.close_executor_stream(agent, &stream);
        self.agent_later(agent, 0, 2, agent_core::Event::StreamClosed(stream));
    }

    pub fn executor_dies(&mut self, agent: usize, container: &ContainerId, exit: Exit) {
        let Some(found) = self.agents[agent].containers.get_mut(container) else { return };
        if !std::mem::replace(&mut found.alive, false) {
            return;
        }
        let stream = found.stream.take();
        self.agents[agent].containers.remove(container);
        self.note(|| format!("container {} on agent {agent} ends", container.value));
        if let Some(stream) = stream {
            self.agent_later(agent, 1, 2, agent_core::Event::StreamClosed(stream));
        }
        let report = Report::Terminated { container: container.clone(), exit };
        self.agent_later(agent, 2, 20, agent_core::Event::Report(report));
    }
}
