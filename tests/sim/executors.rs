//! Containers and what runs in them: our own executors, and one that stands for those that users write.
//!
//! What a container really runs (`tasks`) is the truth that master and agent have to agree with.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mesos::agent::containerizer::Launch;
use mesos::agent::core::StreamId;
use mesos::base::end::End;
use mesos::base::time::Time;
use mesos::executor::core::{self, Config, Core, Effect, Recovery, Signal};
use mesos::proto::executor::{Call, Event, call, event};
use mesos::proto::{TaskId, TaskInfo, TaskState, TaskStatus, task_status};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub struct Container {
    pub launch: Launch,
    /// Its framework wants it to outlive the agent.
    pub checkpoint: bool,
    pub alive: bool,
    pub stream: Option<StreamId>,
    /// What runs in it, whatever anybody believes.
    pub tasks: BTreeMap<TaskId, TaskInfo>,
    executor: Executor,
}

enum Executor {
    /// The command executor, or that for task groups.
    Ours { core: Box<dyn Core>, given: BTreeMap<TaskId, TaskInfo> },
    /// Takes one task after the other and never ends by itself.
    Custom { unacknowledged: Vec<TaskStatus> },
}

/// What a container takes in.
pub enum Input {
    /// An event on the stream that the agent has for it.
    Heard(StreamId, Box<Event>),
    /// The stream ended.
    Disconnected,
    /// For our executors.
    Own(core::Event),
    /// The agent can be reached.
    Connected,
    /// The process of a task ends.
    TaskEnds(TaskId, End),
}

/// What a container wants done.
pub enum Wish {
    Subscribe(Call),
    Say(Call),
    /// Between so many milliseconds from now.
    Later(u64, u64, Input),
    At(Time, Input),
    Exit(i32),
}

impl Container {
    pub fn new(launch: Launch, checkpoint: bool, seed: u64) -> Container {
        let config = Config {
            framework: launch.framework.clone(),
            executor: launch.executor.clone(),
            recovery: checkpoint.then_some(Recovery {
                timeout: Duration::from_secs(900),
                backoff_max: Duration::from_secs(2),
            }),
            shutdown_grace_period: Duration::from_secs(5),
            environment: BTreeMap::new(),
            seed,
        };
        let ours = |core| Executor::Ours { core, given: BTreeMap::new() };
        let executor = match launch.command.arguments.first().map(String::as_str) {
            Some("mesos-executor") => ours(Box::new(core::command::State::new(config))),
            Some(_) => ours(Box::new(core::default::State::new(config))),
            None => Executor::Custom { unacknowledged: vec![] },
        };
        Container { launch, checkpoint, alive: true, stream: None, tasks: BTreeMap::new(), executor }
    }

    /// Its process runs.
    pub fn start(&mut self, now: Time, rng: &mut ChaCha8Rng) -> Vec<Wish> {
        match &mut self.executor {
            Executor::Ours { core, .. } => {
                let mut effects = vec![];
                core.start(now, &mut effects);
                self.perform(effects, now, rng)
            }
            Executor::Custom { .. } => vec![Wish::Later(5, 800, Input::Connected)],
        }
    }

    pub fn take(&mut self, input: Input, now: Time, rng: &mut ChaCha8Rng) -> Vec<Wish> {
        if let Input::Heard(stream, _) = &input
            && self.stream.as_ref() != Some(stream)
        {
            return vec![];
        }
        if let Input::TaskEnds(task, _) = &input
            && self.tasks.remove(task).is_none()
        {
            return vec![];
        }
        let Executor::Ours { core, given } = &mut self.executor else { return self.custom(input, rng) };
        let event = match input {
            Input::Heard(_, event) => {
                let launched = event.launch.iter().map(|launch| &launch.task);
                let groups = event.launch_group.iter().flat_map(|group| &group.task_group.tasks);
                given.extend(launched.chain(groups).map(|task| (task.task_id.clone(), task.clone())));
                core::Event::Received(event)
            }
            Input::Disconnected => core::Event::Disconnected("the connection broke".to_owned()),
            Input::Connected => core::Event::Connected,
            Input::Own(event) => event,
            Input::TaskEnds(task, end) => core::Event::Ended { task, end },
        };
        let mut effects = vec![];
        core.handle(now, event, &mut effects);
        self.perform(effects, now, rng)
    }

    /// The world's part of what our executors want.
    fn perform(&mut self, effects: core::Effects, now: Time, rng: &mut ChaCha8Rng) -> Vec<Wish> {
        let mut wishes = vec![];
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Connect => wishes.push(Wish::Later(1, 300, Input::Connected)),
                Effect::Call(call) if call.r#type() == call::Type::Subscribe => {
                    wishes.push(Wish::Subscribe(*call));
                }
                Effect::Call(call) => wishes.push(Wish::Say(*call)),
                Effect::Start(start) => {
                    let task = start.task;
                    let Executor::Ours { core, given } = &mut self.executor else { continue };
                    let event = if rng.random_bool(0.03) {
                        core::Event::NotStarted { task, message: "no such file".to_owned() }
                    } else {
                        let info = given.remove(&task).expect("it was given before it is started");
                        let twice = self.tasks.insert(task.clone(), info).is_some();
                        assert!(!twice, "task {task} was started twice in one container");
                        wishes.push(ends_some_day(task.clone(), rng));
                        core::Event::Started { task, pid: 7 }
                    };
                    let mut more = vec![];
                    core.handle(now, event, &mut more);
                    effects.extend(more);
                }
                Effect::Signal { task, signal } => {
                    let (number, heeds) = match signal {
                        Signal::Terminate => (15, rng.random_bool(0.7)),
                        Signal::Kill => (9, true),
                    };
                    if heeds {
                        wishes.push(Wish::Later(1, 200, Input::TaskEnds(task, End::Signal(number))));
                    }
                }
                Effect::Wake { at, timer } => {
                    wishes.push(Wish::At(at, Input::Own(core::Event::Timer(timer))));
                }
                // Tasks here have no checks.
                Effect::Probe(_) | Effect::StopProbes(_) | Effect::Log(..) => {}
                Effect::Exit(code) => wishes.push(Wish::Exit(i32::from(code))),
            }
        }
        wishes
    }

    fn custom(&mut self, input: Input, rng: &mut ChaCha8Rng) -> Vec<Wish> {
        match input {
            Input::Heard(_, event) => self.custom_hears(*event, rng),
            Input::Disconnected => vec![Wish::Later(1, 2000, Input::Connected)],
            Input::Own(_) => vec![],
            Input::Connected => vec![Wish::Subscribe(self.subscription())],
            Input::TaskEnds(task, end) => {
                let state = if end.is_success() { TaskState::TaskFinished } else { TaskState::TaskFailed };
                vec![self.report(&task, state, rng)]
            }
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: self.launch.executor.clone(),
            framework_id: self.launch.framework.clone(),
            r#type: Some(kind as i32),
            ..Call::default()
        }
    }

    fn subscription(&self) -> Call {
        let Executor::Custom { unacknowledged } = &self.executor else { return Call::default() };
        let updates = unacknowledged.iter().map(|status| call::Update { status: status.clone() });
        let subscribe = call::Subscribe {
            unacknowledged_tasks: self.tasks.values().cloned().collect(),
            unacknowledged_updates: updates.collect(),
        };
        Call { subscribe: Some(subscribe), ..self.call(call::Type::Subscribe) }
    }

    fn report(&mut self, task: &TaskId, state: TaskState, rng: &mut ChaCha8Rng) -> Wish {
        let uuid = uuid::Builder::from_random_bytes(rng.random()).into_uuid();
        let status = TaskStatus {
            task_id: task.clone(),
            state: state as i32,
            source: Some(task_status::Source::Executor as i32),
            uuid: Some(Bytes::copy_from_slice(uuid.as_bytes())),
            timestamp: Some(1.0),
            ..TaskStatus::default()
        };
        if let Executor::Custom { unacknowledged } = &mut self.executor {
            unacknowledged.push(status.clone());
        }
        Wish::Say(Call { update: Some(call::Update { status }), ..self.call(call::Type::Update) })
    }

    fn custom_hears(&mut self, event: Event, rng: &mut ChaCha8Rng) -> Vec<Wish> {
        match event.r#type() {
            event::Type::Launch => {
                let task = event.launch.expect("LAUNCH carries a task").task;
                let id = task.task_id.clone();
                let twice = self.tasks.insert(id.clone(), task).is_some();
                assert!(!twice, "task {id} was started twice in one container");
                let mut wishes = vec![self.report(&id, TaskState::TaskStarting, rng)];
                wishes.push(self.report(&id, TaskState::TaskRunning, rng));
                wishes.push(ends_some_day(id, rng));
                wishes
            }
            event::Type::Kill => {
                let task = event.kill.expect("KILL carries a task").task_id;
                match self.tasks.remove(&task) {
                    Some(_) => vec![self.report(&task, TaskState::TaskKilled, rng)],
                    None => vec![],
                }
            }
            event::Type::Acknowledged => {
                let uuid = event.acknowledged.expect("ACKNOWLEDGED carries a uuid").uuid;
                if let Executor::Custom { unacknowledged } = &mut self.executor {
                    unacknowledged.retain(|status| status.uuid.as_ref() != Some(&uuid));
                }
                vec![]
            }
            event::Type::Shutdown => vec![Wish::Exit(0)],
            _ => vec![],
        }
    }
}

fn ends_some_day(task: TaskId, rng: &mut ChaCha8Rng) -> Wish {
    let end = if rng.random_bool(0.2) { End::Code(1) } else { End::Code(0) };
    Wish::Later(200, 30_000, Input::TaskEnds(task, end))
}
