//! The loop that owns the core: next event, `handle`, perform effects; answer reads in between.
//!
//! One thread, fed by one queue. A read gets a clone of `Node`, whose maps share their nodes with the core's,
//! and is rendered elsewhere.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::checkpoint::disk::Checkpointer;
use super::core::state::{Node, Phase};
use super::core::{Answer, Effect, Effects, Event, ReplyId, State, StreamId, Then, Timer};
use super::detector::Detector;
use super::gc::Collector;
use super::sandboxes::Sandboxes;
use super::streams::Outlet;
use crate::agent::containerizer::mesos::Containerizer;
use crate::base::timers::Timers;
use crate::base::upid::Upid;
use crate::process::clock::Clock;
use crate::process::link::Links;
use crate::process::server::Charge;
use crate::proto::AgentId;

/// The longest the loop sleeps; only bounds what a lost wake-up could cost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What reaches the loop.
enum Input {
    /// Something happened; the charge is held until it is handled.
    Event(Event, Option<Charge>),
    /// Somebody waits for the answer; SUBSCRIBE brings its stream.
    Ask {
        event: Event,
        reply: ReplyId,
        answer: oneshot::Sender<Answer>,
        stream: Option<(StreamId, Outlet)>,
    },
    Read(oneshot::Sender<Snapshot>),
    Stop(String),
}

/// The agent between two events.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Equal in two snapshots if views show the same of both.
    pub version: u64,
    pub node: Node,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It left its cluster.
    Left(String),
    Failed(String),
}

impl End {
    pub fn why(self) -> String {
        match self {
            End::Left(why) | End::Failed(why) => why,
        }
    }
}

/// The loop has ended, and so will the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub struct Ended;

/// The way to the core, for everything that is not the loop. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    inputs: Sender<Input>,
    next_reply: Arc<AtomicU64>,
    queued: Arc<AtomicI64>,
}

/// The loop's end of the queue.
pub struct Inbox {
    inputs: Receiver<Input>,
    core: Core,
}

/// The queue that everything meets in.
pub fn channel() -> (Core, Inbox) {
    let (sender, inputs) = mpsc::channel();
    let core = Core { inputs: sender, next_reply: Arc::default(), queued: Arc::default() };
    (core.clone(), Inbox { inputs, core })
}

impl Core {
    fn send(&self, input: Input) -> Result<(), Ended> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.inputs.send(input).map_err(|_| Ended)
    }

    /// Queues an event that nobody waits for. Dropped if the loop has ended.
    pub fn tell(&self, event: Event) {
        let _ = self.send(Input::Event(event, None));
    }

    /// As `tell`, holding a message's share of memory until it is handled.
    pub fn tell_charged(&self, event: Event, charge: Charge) {
        let _ = self.send(Input::Event(event, Some(charge)));
    }

    /// Ends the loop, and with it the agent.
    pub fn stop(&self, why: &str) {
        let _ = self.send(Input::Stop(why.to_owned()));
    }

    /// Queues an event and waits for its answer. SUBSCRIBE brings its stream, so that the core can use it at
    /// once.
    pub async fn ask(
        &self,
        stream: Option<(StreamId, Outlet)>,
        event: impl FnOnce(ReplyId) -> Event,
    ) -> Result<Answer, Ended> {
        let reply = ReplyId(self.next_reply.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.send(Input::Ask { event: event(reply), reply, answer, stream })?;
        answered.await.map_err(|_| Ended)
    }

    /// The agent as it is after what was queued before.
    pub async fn snapshot(&self) -> Result<Snapshot, Ended> {
        let (sender, snapshot) = oneshot::channel();
        self.send(Input::Read(sender))?;
        snapshot.await.map_err(|_| Ended)
    }

    /// How many events wait.
    pub fn queued(&self) -> i64 {
        self.queued.load(Ordering::Relaxed).max(0)
    }
}

/// What the loop performs effects with.
pub struct Shell {
    pub clock: Clock,
    pub checkpointer: Checkpointer<Then>,
    pub links: Links,
    pub containerizer: Containerizer,
    pub sandboxes: Sandboxes,
    pub collector: Collector,
    pub detector: Detector,
    /// `slave(1)@ip:port` as others know it.
    pub pid: Upid,
}

/// Starts the loop in its own thread, with what `State::recover` wants done; must be called inside a tokio
/// runtime. What comes back tells why it ended.
pub fn start(
    inbox: Inbox,
    shell: Shell,
    state: State,
    effects: Effects,
) -> std::io::Result<oneshot::Receiver<End>> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let name = shell.pid.id.to_string();
    thread::Builder::new().name(name).spawn(move || {
        // Effects start tasks.
        let _entered = runtime.enter();
        let run = AssertUnwindSafe(|| Loop::new(inbox, shell, state).run(effects));
        let panicked = |_| End::Failed("the agent's core panicked".to_owned());
        // Nobody may be waiting any more.
        let _ = ended.send(std::panic::catch_unwind(run).unwrap_or_else(panicked));
    })?;
    Ok(end)
}

struct Loop {
    inbox: Inbox,
    shell: Shell,
    state: State,
    version: u64,
    replies: HashMap<ReplyId, oneshot::Sender<Answer>>,
    streams: HashMap<StreamId, Outlet>,
    /// SUBSCRIBEs without an answer yet.
    subscribing: HashMap<ReplyId, StreamId>,
    timers: Timers<Timer>,
    /// As whom the agent swept what others left.
    settled: Option<AgentId>,
    exit: Option<End>,
}

impl Loop {
    fn new(inbox: Inbox, shell: Shell, state: State) -> Loop {
        Loop {
            inbox,
            shell,
            state,
            version: 0,
            replies: HashMap::new(),
            streams: HashMap::new(),
            subscribing: HashMap::new(),
            timers: Timers::default(),
            settled: None,
            exit: None,
        }
    }

    /// Runs until the core or somebody else wants the end, and says why.
    fn run(mut self, mut effects: Effects) -> End {
        self.perform(&mut effects);
        loop {
            self.wake_due(&mut effects);
            match self.inbox.inputs.recv_timeout(self.sleep()) {
                Ok(input) => self.take(input, &mut effects),
                Err(RecvTimeoutError::Timeout) => {}
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return End::Failed("the queue is gone".to_owned()),
            }
            if let Some(why) = self.exit.take() {
                return why;
            }
        }
    }

    fn sleep(&self) -> Duration {
        let next = self.timers.next().map(|at| at.since(self.shell.clock.now()));
        next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    fn wake_due(&mut self, effects: &mut Effects) {
        for timer in self.timers.due(self.shell.clock.now()) {
            self.handle(Event::Timer(timer), effects);
        }
    }

    fn take(&mut self, input: Input, effects: &mut Effects) {
        self.inbox.core.queued.fetch_sub(1, Ordering::Relaxed);
        match input {
            Input::Event(event, charge) => {
                if let Event::StreamClosed(stream) = &event {
                    self.streams.remove(stream);
                }
                self.handle(event, effects);
                drop(charge);
            }
            Input::Ask { event, reply, answer, stream } => {
                self.replies.insert(reply, answer);
                if let Some((id, outlet)) = stream {
                    self.subscribing.insert(reply, id.clone());
                    self.streams.insert(id, outlet);
                }
                self.handle(event, effects);
            }
            // A reader that is gone needs none.
            Input::Read(reader) => {
                drop(reader.send(Snapshot { version: self.version, node: self.state.node.clone() }));
            }
            Input::Stop(why) => self.exit = Some(End::Failed(why)),
        }
    }

    fn handle(&mut self, event: Event, effects: &mut Effects) {
        let before = self.state.node.clone();
        self.state.handle(self.shell.clock.now(), event, effects);
        self.version += u64::from(!self.state.node.shows_as(&before));
        if cfg!(debug_assertions)
            && let Err(broken) = super::core::invariants::check(&self.state)
        {
            error!(broken, "an invariant of the agent does not hold");
        }
        self.perform(effects);
        let node = &self.state.node;
        // Once registered, what runs here is known.
        if node.phase == Phase::Running && self.settled != node.info.id {
            self.settled.clone_from(&node.info.id);
            self.shell.collector.settle(node);
        }
    }

    fn perform(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                self.shell.links.send(&self.shell.pid, &to, message.name(), message.encode().into());
            }
            Effect::Link(address) => self.shell.links.link(address),
            Effect::Detect => self.shell.detector.detect(&self.inbox.core),
            Effect::Stream { stream, event } => self.stream(stream, event),
            // What was pushed before still reaches the client.
            Effect::CloseStream(stream) => drop(self.streams.remove(&stream)),
            Effect::Reply { reply, answer } => self.reply(reply, answer),
            Effect::Collect(path) => self.shell.collector.collect(path),
            Effect::Checkpoint { facts, then } => self.shell.checkpointer.save(facts, then),
            Effect::Recover(survivors) => {
                for survivor in &survivors {
                    self.shell.collector.keep(&survivor.directory);
                    self.shell.sandboxes.expect_again(survivor);
                }
                self.shell.containerizer.recover(survivors);
            }
            Effect::Launch(launch) => {
                self.shell.collector.keep(&launch.directory);
                self.shell.sandboxes.expect(&launch);
                self.shell.containerizer.launch(*launch);
            }
            Effect::Update { container, allowed } => self.shell.containerizer.update(&container, allowed),
            Effect::Destroy(container) => self.shell.containerizer.destroy(&container),
            Effect::Wake { at, timer } => self.timers.arm(at, timer),
            Effect::Exit(why) => {
                self.exit.get_or_insert(End::Left(why));
            }
        }
    }

    fn stream(&mut self, stream: StreamId, event: Box<crate::proto::executor::Event>) {
        let Some(outlet) = self.streams.get(&stream) else {
            debug!(%stream, "event for a stream that is gone");
            return;
        };
        if outlet.push(event).is_err() {
            warn!(%stream, "the client of a stream does not keep up or is gone");
            self.streams.remove(&stream);
            self.inbox.core.tell(Event::StreamClosed(stream));
        }
    }

    fn reply(&mut self, reply: ReplyId, answer: Answer) {
        if let Some(stream) = self.subscribing.remove(&reply)
            && answer != Answer::Subscribed
        {
            self.streams.remove(&stream);
        }
        match self.replies.remove(&reply) {
            // Its client may be gone.
            Some(sender) => drop(sender.send(answer)),
            None => debug!(?reply, "answer to a request that has one"),
        }
    }
}
