//! A framework's scheduler: accepts and declines, acknowledges, kills, reconciles, fails over.
//! It speaks the v1 API over a stream or, as a driver does, v0 messages; `clients.rs` carries both.

use std::collections::{BTreeMap, BTreeSet};

use mesos::base::upid::Upid;
use mesos::master::core::StreamId;
use mesos::proto::scheduler::{Call, Event, call, event};
use mesos::proto::{
    AgentId, CommandInfo, ExecutorInfo, Filters, FrameworkId, FrameworkInfo, Offer, Resource, TaskGroupInfo,
    TaskId, TaskInfo, TaskState, executor_info, framework_info, offer, resource, value,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What the scheduler knows of a task it launched.
#[derive(Clone, Debug)]
pub struct Known {
    pub agent: AgentId,
    pub state: Option<TaskState>,
    /// Its agent's own update told the end.
    sure: bool,
    /// A master alone told the end, and by now it may be another master, which does not know that it was told.
    hearsay: bool,
}

pub struct Scheduler {
    pub index: usize,
    pub info: FrameworkInfo,
    pub id: Option<FrameworkId>,
    pub stream: Option<StreamId>,
    /// A v0 driver, by its present pid.
    pub driver: Option<Upid>,
    /// Whom it takes for the leading master.
    pub master: Option<usize>,
    /// The driver has not been subscribed in this life, and takes over from the one before.
    pub fresh: bool,
    pub subscribed: bool,
    /// It may be removed: its failover timeout is short, and it tears itself down some day.
    pub mortal: bool,
    /// Its framework was removed, or it was told that it failed for good.
    pub dead: bool,
    pub tasks: BTreeMap<TaskId, Known>,
    /// Of the updates heard so far: one that comes again says nothing new.
    pub heard: BTreeSet<Vec<u8>>,
    /// Launches no more: the world is ending.
    pub quiet: bool,
    next_task: u64,
    next_group: u64,
}

pub fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

impl Scheduler {
    pub fn new(index: usize, rng: &mut ChaCha8Rng) -> Scheduler {
        use framework_info::capability::Type::{MultiRole, PartitionAware, ReservationRefinement};
        let mortal = rng.random_bool(0.25);
        let timeout = if mortal { rng.random_range(1.0..30.0) } else { 1e6 };
        let mut capabilities = vec![MultiRole, ReservationRefinement];
        if rng.random_bool(0.5) {
            capabilities.push(PartitionAware);
        }
        let capability = |kind| framework_info::Capability { r#type: Some(kind as i32) };
        let roles: &[&str] = match index % 3 {
            0 => &["web"],
            1 => &["web", "batch"],
            _ => &["*"],
        };
        Scheduler {
            index,
            info: FrameworkInfo {
                user: "root".to_owned(),
                name: format!("scheduler-{index}"),
                failover_timeout: Some(timeout),
                checkpoint: Some(rng.random_bool(0.5)),
                capabilities: capabilities.into_iter().map(capability).collect(),
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                ..FrameworkInfo::default()
            },
            id: None,
            stream: None,
            driver: None,
            master: None,
            fresh: true,
            subscribed: false,
            mortal,
            dead: false,
            tasks: BTreeMap::new(),
            heard: BTreeSet::new(),
            quiet: false,
            next_task: 0,
            next_group: 0,
        }
    }

    pub fn call(&self, kind: call::Type) -> Call {
        Call { framework_id: self.id.clone(), r#type: Some(kind as i32), ..Call::default() }
    }

    pub fn subscribe(&self) -> Call {
        let mut info = self.info.clone();
        info.id = self.id.clone();
        let subscribe = call::Subscribe { framework_info: info, ..call::Subscribe::default() };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    /// Takes an event and says what it calls in answer.
    pub fn hear(&mut self, event: Event, rng: &mut ChaCha8Rng) -> Vec<Call> {
        match event.r#type() {
            event::Type::Subscribed => {
                let subscribed = event.subscribed.expect("SUBSCRIBED carries the id");
                assert!(
                    self.id.as_ref().is_none_or(|id| *id == subscribed.framework_id),
                    "scheduler {} was given another id",
                    self.index
                );
                self.id = Some(subscribed.framework_id);
                for known in self.tasks.values_mut() {
                    known.hearsay = !known.sure;
                }
                self.subscribed = true;
                self.fresh = false;
                vec![]
            }
            event::Type::Offers => {
                let offers = event.offers.expect("OFFERS carries offers").offers;
                offers.into_iter().map(|offer| self.consider(offer, rng)).collect()
            }
            event::Type::Update => {
                let status = event.update.expect("UPDATE carries a status").status;
                self.updated(&status);
                let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) else { return vec![] };
                let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id, uuid };
                vec![Call { acknowledge: Some(acknowledge), ..self.call(call::Type::Acknowledge) }]
            }
            event::Type::Error => {
                self.dead = true;
                vec![]
            }
            _ => vec![],
        }
    }

    fn updated(&mut self, status: &mesos::proto::TaskStatus) {
        let state = status.state();
        let again = status.uuid.as_ref().is_some_and(|uuid| !self.heard.insert(uuid.to_vec()));
        if again {
            return;
        }
        let Some(known) = self.tasks.get_mut(&status.task_id) else { return };
        let ended = known.state.is_some_and(super::checks::is_terminal);
        // A task that ended may be reported again, in other words, by a reconciliation; never revived. That the
        // master knows nothing of it says nothing.
        if ended && state == TaskState::TaskUnknown {
            return;
        }
        // What a master refused to launch it does not know when it is asked, but that the agent is out of reach.
        let refused = !known.sure && state == TaskState::TaskUnreachable;
        let may_return = known.hearsay || refused || super::checks::may_return(known.state);
        if ended && !super::checks::is_terminal(state) && !may_return {
            panic!("task {} came back from {:?} as {state:?}", status.task_id, known.state);
        }
        known.state = Some(state);
        known.hearsay = false;
        known.sure |= super::checks::is_terminal(state) && status.uuid.is_some();
    }

    fn consider(&mut self, offer: Offer, rng: &mut ChaCha8Rng) -> Call {
        let filters = Some(Filters { refuse_seconds: Some(rng.random_range(0.0..10.0)) });
        if self.quiet || self.tasks.len() > 60 || rng.random_bool(0.4) {
            let decline = call::Decline { offer_ids: vec![offer.id], filters };
            return Call { decline: Some(decline), ..self.call(call::Type::Decline) };
        }
        let operation = match rng.random_bool(0.2) {
            true => self.launch_group(&offer, rng),
            false => self.launch(&offer, rng),
        };
        let accept = call::Accept { offer_ids: vec![offer.id], operations: vec![operation], filters };
        Call { accept: Some(accept), ..self.call(call::Type::Accept) }
    }

    /// Some tasks, each of its own or for the scheduler's own executor. They may ask for more than is offered.
    fn launch(&mut self, offer: &Offer, rng: &mut ChaCha8Rng) -> offer::Operation {
        let count = rng.random_range(1..=3);
        let mut task_infos = vec![];
        let mut offer = offer.clone();
        for _ in 0..count {
            let custom = rng.random_bool(0.3);
            let mut task = self.task(&mut offer, rng);
            if custom {
                let role = offer.allocation_info.as_ref().map_or("", |allocation| allocation.role());
                task.executor = Some(ExecutorInfo {
                    executor_id: format!("s{}-e{}", self.index, role.len()).into(),
                    framework_id: self.id.clone(),
                    command: task.command.take(),
                    resources: some(&mut offer, 0.1, 32.0),
                    ..ExecutorInfo::default()
                });
            }
            task_infos.push(task);
        }
        offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos }),
            ..offer::Operation::default()
        }
    }

    fn launch_group(&mut self, offer: &Offer, rng: &mut ChaCha8Rng) -> offer::Operation {
        self.next_group += 1;
        let count = rng.random_range(1..=3);
        let mut offer = offer.clone();
        let mut resources = some(&mut offer, 0.1, 32.0);
        resources.push(one(&mut offer, "disk", 32.0));
        let tasks = (0..count).map(|_| self.task(&mut offer, rng)).collect();
        // Some groups go to an executor that may run already.
        let number = if rng.random_bool(0.3) { 0 } else { self.next_group };
        let role = offer.allocation_info.as_ref().map_or("", |allocation| allocation.role());
        let executor = ExecutorInfo {
            r#type: Some(executor_info::Type::Default as i32),
            executor_id: format!("s{}-g{number}-{}", self.index, role.len()).into(),
            framework_id: self.id.clone(),
            resources,
            ..ExecutorInfo::default()
        };
        offer::Operation {
            r#type: Some(offer::operation::Type::LaunchGroup as i32),
            launch_group: Some(offer::operation::LaunchGroup {
                executor,
                task_group: TaskGroupInfo { tasks },
            }),
            ..offer::Operation::default()
        }
    }

    /// A command task on the offer's agent, of what is left of the offer.
    fn task(&mut self, offer: &mut Offer, rng: &mut ChaCha8Rng) -> TaskInfo {
        self.next_task += 1;
        let id = TaskId { value: format!("s{}-t{}", self.index, self.next_task) };
        let left = |name| amount(&offer.resources, name);
        // Now and then more than there is.
        let greedy = rng.random_bool(0.05);
        let most = |left: f64, most: u32| if greedy { most } else { most.min(left as u32).max(1) };
        let cpus = f64::from(rng.random_range(0..most(left("cpus") * 10.0, 30))) / 10.0 + 0.1;
        let mem = f64::from(rng.random_range(0..most(left("mem") - 96.0, 600))) + 32.0;
        self.tasks.insert(
            id.clone(),
            Known { agent: offer.agent_id.clone(), state: None, hearsay: false, sure: false },
        );
        TaskInfo {
            name: id.value.clone(),
            task_id: id,
            agent_id: offer.agent_id.clone(),
            resources: some(offer, cpus, mem),
            command: Some(CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        }
    }

    /// What it does of its own accord, now and then.
    pub fn act(&mut self, rng: &mut ChaCha8Rng) -> Vec<Call> {
        let live: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, known)| !known.state.is_some_and(super::checks::is_terminal))
            .map(|(id, _)| id.clone())
            .collect();
        match rng.random_range(0..7) {
            0 if !live.is_empty() => {
                let task_id = live[rng.random_range(0..live.len())].clone();
                let kill = call::Kill { task_id, agent_id: None, kill_policy: None };
                vec![Call { kill: Some(kill), ..self.call(call::Type::Kill) }]
            }
            1 => vec![self.reconcile(&live)],
            2 => vec![self.call(call::Type::Revive)],
            3 if rng.random_bool(0.3) => vec![self.call(call::Type::Suppress)],
            4 => vec![self.reconcile(&[])],
            5 if self.mortal && rng.random_bool(0.05) => {
                self.dead = true;
                vec![self.call(call::Type::Teardown)]
            }
            6 if rng.random_bool(0.2) => self.shut_down_executor(&live),
            _ => vec![],
        }
    }

    fn shut_down_executor(&self, live: &[TaskId]) -> Vec<Call> {
        let Some(known) = live.first().and_then(|id| self.tasks.get(id)) else { return vec![] };
        let role = self.info.roles[0].len();
        let shutdown = call::Shutdown {
            executor_id: format!("s{}-e{role}", self.index).into(),
            agent_id: known.agent.clone(),
        };
        vec![Call { shutdown: Some(shutdown), ..self.call(call::Type::Shutdown) }]
    }

    pub fn reconcile(&self, tasks: &[TaskId]) -> Call {
        let tasks = tasks
            .iter()
            .map(|id| call::reconcile::Task {
                task_id: id.clone(),
                agent_id: self.tasks.get(id).map(|known| known.agent.clone()),
            })
            .collect();
        Call { reconcile: Some(call::Reconcile { tasks }), ..self.call(call::Type::Reconcile) }
    }
}

/// So much of what is offered, reserved or not, if there is so much of one kind; else of the unreserved.
/// It is taken off the offer.
fn some(offer: &mut Offer, cpus: f64, mem: f64) -> Vec<Resource> {
    vec![one(offer, "cpus", cpus), one(offer, "mem", mem)]
}

fn one(offer: &mut Offer, name: &str, amount: f64) -> Resource {
    let role = offer.allocation_info.as_ref().and_then(|allocation| allocation.role.clone());
    let mut resource = scalar(name, amount);
    for offered in offer.resources.iter_mut().filter(|offered| offered.name == name) {
        if let Some(left) = offered.scalar.as_mut().filter(|left| left.value + 1e-6 >= amount) {
            left.value -= amount;
            resource.reservations.clone_from(&offered.reservations);
            break;
        }
    }
    resource.allocation_info = Some(resource::AllocationInfo { role });
    resource
}

/// For readers of a resource: all of its scalars together.
pub fn amount(resources: &[Resource], name: &str) -> f64 {
    resources.iter().filter(|r| r.name == name).filter_map(|r| r.scalar.as_ref()).map(|s| s.value).sum()
}
