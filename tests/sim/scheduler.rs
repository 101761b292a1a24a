//! A framework's scheduler on the v1 API: accepts and declines, acknowledges, kills, reconciles, fails over.

use std::collections::{BTreeMap, BTreeSet};

use mesos::master::core::StreamId;
use mesos::proto::scheduler::{Call, Event, call, event};
use mesos::proto::{
    AgentId, CommandInfo, ExecutorInfo, Filters, FrameworkId, FrameworkInfo, Offer, OfferId, Resource,
    TaskId, TaskInfo, TaskState, framework_info, offer, value,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What the scheduler knows of a task it launched.
#[derive(Clone, Debug)]
pub struct Known {
    pub agent: AgentId,
    pub state: Option<TaskState>,
}

pub struct Scheduler {
    pub index: usize,
    pub info: FrameworkInfo,
    pub id: Option<FrameworkId>,
    pub stream: Option<StreamId>,
    pub subscribed: bool,
    /// Its framework was removed, or it was told that it failed for good.
    pub dead: bool,
    pub tasks: BTreeMap<TaskId, Known>,
    pub open_offers: BTreeSet<OfferId>,
    /// Of the updates heard so far: one that comes again says nothing new.
    heard: BTreeSet<Vec<u8>>,
    /// Launches no more: the world is ending.
    pub quiet: bool,
    next_task: u64,
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
        let mut info = FrameworkInfo {
            user: "root".to_owned(),
            name: format!("scheduler-{index}"),
            failover_timeout: Some(1e6),
            checkpoint: Some(rng.random_bool(0.5)),
            ..FrameworkInfo::default()
        };
        let capability =
            |kind: framework_info::capability::Type| framework_info::Capability { r#type: Some(kind as i32) };
        info.capabilities.push(capability(framework_info::capability::Type::MultiRole));
        info.capabilities.push(capability(framework_info::capability::Type::ReservationRefinement));
        info.roles = match index % 3 {
            0 => vec!["web".to_owned()],
            1 => vec!["web".to_owned(), "batch".to_owned()],
            _ => vec!["*".to_owned()],
        };
        if rng.random_bool(0.5) {
            info.capabilities.push(capability(framework_info::capability::Type::PartitionAware));
        }
        Scheduler {
            index,
            info,
            id: None,
            stream: None,
            subscribed: false,
            dead: false,
            tasks: BTreeMap::new(),
            open_offers: BTreeSet::new(),
            heard: BTreeSet::new(),
            quiet: false,
            next_task: 0,
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
                self.subscribed = true;
                vec![]
            }
            event::Type::Offers => {
                let offers = event.offers.expect("OFFERS carries offers").offers;
                offers.into_iter().map(|offer| self.consider(offer, rng)).collect()
            }
            event::Type::Rescind => {
                self.open_offers.remove(&event.rescind.expect("RESCIND carries an id").offer_id);
                vec![]
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
        // A task that ended may be reported again, in other words, by a reconciliation; never revived.
        if ended && !super::checks::is_terminal(state) && !super::checks::may_return(known.state) {
            panic!("task {} came back from {:?} as {state:?}", status.task_id, known.state);
        }
        known.state = Some(state);
    }

    fn consider(&mut self, offer: Offer, rng: &mut ChaCha8Rng) -> Call {
        self.open_offers.insert(offer.id.clone());
        let filters = Some(Filters { refuse_seconds: Some(rng.random_range(0.0..10.0)) });
        if self.quiet || self.tasks.len() > 60 || rng.random_bool(0.4) {
            self.open_offers.remove(&offer.id);
            let decline = call::Decline { offer_ids: vec![offer.id], filters };
            return Call { decline: Some(decline), ..self.call(call::Type::Decline) };
        }
        let role = offer.allocation_info.as_ref().and_then(|a| a.role.clone());
        let count = rng.random_range(1..=3);
        let tasks = (0..count).map(|_| self.task(&offer, role.as_deref(), rng)).collect();
        let operation = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: tasks }),
            ..offer::Operation::default()
        };
        self.open_offers.remove(&offer.id);
        let accept = call::Accept { offer_ids: vec![offer.id], operations: vec![operation], filters };
        Call { accept: Some(accept), ..self.call(call::Type::Accept) }
    }

    fn task(&mut self, offer: &Offer, role: Option<&str>, rng: &mut ChaCha8Rng) -> TaskInfo {
        self.next_task += 1;
        let id = TaskId { value: format!("s{}-t{}", self.index, self.next_task) };
        let cpus = f64::from(rng.random_range(1..40u32)) / 10.0;
        let mut resources =
            vec![scalar("cpus", cpus), scalar("mem", f64::from(rng.random_range(32..600u32)))];
        for resource in &mut resources {
            resource.allocation_info =
                Some(mesos::proto::resource::AllocationInfo { role: role.map(str::to_owned) });
        }
        let command = CommandInfo { value: Some("true".to_owned()), ..CommandInfo::default() };
        let custom = rng.random_bool(0.3);
        let executor = custom.then(|| {
            let mut resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
            for resource in &mut resources {
                resource.allocation_info =
                    Some(mesos::proto::resource::AllocationInfo { role: role.map(str::to_owned) });
            }
            ExecutorInfo {
                executor_id: format!("s{}-e{}", self.index, role.unwrap_or("none").len()).into(),
                framework_id: self.id.clone(),
                command: Some(command.clone()),
                resources,
                ..ExecutorInfo::default()
            }
        });
        self.tasks.insert(id.clone(), Known { agent: offer.agent_id.clone(), state: None });
        TaskInfo {
            name: id.value.clone(),
            task_id: id,
            agent_id: offer.agent_id.clone(),
            resources,
            command: (!custom).then_some(command),
            executor,
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
        match rng.random_range(0..6) {
            0 if !live.is_empty() => {
                let task_id = live[rng.random_range(0..live.len())].clone();
                let kill = call::Kill { task_id, agent_id: None, kill_policy: None };
                vec![Call { kill: Some(kill), ..self.call(call::Type::Kill) }]
            }
            1 => vec![self.reconcile(&live)],
            2 => vec![self.call(call::Type::Revive)],
            3 if !self.quiet && rng.random_bool(0.3) => vec![self.call(call::Type::Suppress)],
            4 => vec![self.reconcile(&[])],
            _ => vec![],
        }
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

/// For readers of a resource: its scalar, zero if it is none.
pub fn amount(resources: &[Resource], name: &str) -> f64 {
    resources.iter().filter(|r| r.name == name).filter_map(|r| r.scalar.as_ref()).map(|s| s.value).sum()
}
