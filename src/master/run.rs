//! The loop that owns the core: next event, `handle`, perform effects; answer reads in between.
//!
//! One thread, fed by one queue. Reads do not stand in that queue: a reader leaves its wish in [`Readers`],
//! which the loop looks at after every event, and gets a clone of `Cluster`, whose maps share their nodes with
//! the core's. It is cloned when somebody asks and not after every event, since the core has to copy the nodes
//! it changes as long as a snapshot shares them. A client that had the answer to its call sees its effect.
//!
//! Bounded: libprocess messages carry their share of the server's memory for waiting ones, HTTP calls are
//! counted by their handlers, a stream's events are cut off with their client, the rest follows from these.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::allocator::Calls;
use super::core::state::Cluster;
use super::core::{self, Answer, Effect, Effects, Event, ReplyId, State, StreamId, Timer};
use super::events::Publisher;
use super::registrar::Registrar;
use super::streams::Outlet;
use crate::alloc::Grant;
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::process::clock::Clock;
use crate::process::link::Links;
use crate::process::server::Charge;
use crate::registry::store::Store;

/// Events handled before due timers are looked at again.
const BATCH: usize = 256;

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
    /// Look at the readers.
    Nudge,
    Stop(String),
}

/// What waits for the loop, told apart as Mesos tells apart the events of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Message,
    HttpRequest,
    /// Everything of our own making.
    Dispatch,
}

impl Input {
    fn kind(&self) -> Kind {
        match self {
            Input::Event(Event::Message { .. }, _) => Kind::Message,
            Input::Ask { .. } => Kind::HttpRequest,
            Input::Event(..) | Input::Nudge | Input::Stop(_) => Kind::Dispatch,
        }
    }
}

/// The cluster between two events.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Equal in two snapshots if views show the same of both.
    pub version: u64,
    pub cluster: Arc<Cluster>,
    /// The number of the last happening before it.
    pub published: u64,
}

/// The loop has ended, and so will the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master is shutting down")]
pub struct Ended;

/// Readers that wait for a snapshot.
struct Readers {
    some: AtomicBool,
    /// None when the loop has ended.
    waiting: Mutex<Option<Vec<oneshot::Sender<Snapshot>>>>,
}

impl Default for Readers {
    fn default() -> Readers {
        Readers { some: AtomicBool::new(false), waiting: Mutex::new(Some(Vec::new())) }
    }
}

/// The way to the core, for everything that is not the loop. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    inputs: Sender<Input>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    readers: Readers,
    next_reply: AtomicU64,
    queued: [AtomicI64; 3],
}

/// The loop's end of the queue.
pub struct Inbox {
    inputs: Receiver<Input>,
    core: Core,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.core.shared.readers.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The queue that everything meets in.
pub fn channel() -> (Core, Inbox) {
    let (sender, inputs) = mpsc::channel();
    let core = Core { inputs: sender, shared: Arc::default() };
    (core.clone(), Inbox { inputs, core })
}

impl Core {
    fn send(&self, input: Input) -> Result<(), Ended> {
        self.shared.queued[input.kind() as usize].fetch_add(1, Ordering::Relaxed);
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

    pub fn granted(&self, grants: Vec<Grant>) {
        self.tell(Event::Granted(grants));
    }

    /// Ends the loop, and with it the master.
    pub fn stop(&self, why: &str) {
        let _ = self.send(Input::Stop(why.to_owned()));
    }

    /// Queues an event and waits for its answer.
    pub async fn ask(&self, event: impl FnOnce(ReplyId) -> Event) -> Result<Answer, Ended> {
        self.ask_with(event, None).await
    }

    /// As `ask`, for SUBSCRIBE: the stream is there before the core hears of it.
    pub async fn subscribe(
        &self,
        stream: StreamId,
        outlet: Outlet,
        event: impl FnOnce(ReplyId) -> Event,
    ) -> Result<Answer, Ended> {
        self.ask_with(event, Some((stream, outlet))).await
    }

    async fn ask_with(
        &self,
        event: impl FnOnce(ReplyId) -> Event,
        stream: Option<(StreamId, Outlet)>,
    ) -> Result<Answer, Ended> {
        let reply = ReplyId(self.shared.next_reply.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.send(Input::Ask { event: event(reply), reply, answer, stream })?;
        answered.await.map_err(|_| Ended)
    }

    /// The cluster as it is after the event under way.
    pub async fn snapshot(&self) -> Result<Snapshot, Ended> {
        let (sender, snapshot) = oneshot::channel();
        let readers = &self.shared.readers;
        match &mut *readers.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiting) => waiting.push(sender),
            None => return Err(Ended),
        }
        // The first reader wakes the loop; it takes all that are there by then.
        if !readers.some.swap(true, Ordering::AcqRel) {
            self.send(Input::Nudge)?;
        }
        snapshot.await.map_err(|_| Ended)
    }

    /// How many events of a kind wait.
    pub fn queued(&self, kind: Kind) -> i64 {
        self.shared.queued[kind as usize].load(Ordering::Relaxed).max(0)
    }
}

/// What the loop performs effects with.
pub struct Shell {
    pub clock: Clock,
    pub links: Links,
    pub calls: Calls,
    pub store: Box<dyn Store>,
    pub registrar: Registrar,
    pub events: Publisher,
    /// `master@ip:port` as others know it.
    pub pid: Upid,
}

/// Starts the loop in its own thread. What comes back tells why it ended.
pub fn start(
    inbox: Inbox,
    shell: Shell,
    make: impl FnOnce(&crate::registry::Registry, Time, &mut Effects) -> State + Send + 'static,
) -> std::io::Result<oneshot::Receiver<String>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("master".to_owned()).spawn(move || {
        let run = AssertUnwindSafe(|| Loop::new(inbox, shell, make).run());
        let why = std::panic::catch_unwind(run).unwrap_or_else(|_| "the master's core panicked".to_owned());
        // Nobody may be waiting any more.
        let _ = ended.send(why);
    })?;
    Ok(end)
}

struct Loop {
    inbox: Inbox,
    shell: Shell,
    state: State,
    /// Counts events, and those of them after which views may show something else.
    handled: u64,
    version: u64,
    /// Happenings given out so far.
    published: u64,
    /// The last one handed out, with how many events came before it; not kept alive, since sharing it costs the core copies.
    snapshot: (u64, Weak<Cluster>),
    replies: HashMap<ReplyId, oneshot::Sender<Answer>>,
    streams: HashMap<StreamId, Outlet>,
    /// SUBSCRIBEs without an answer yet.
    subscribing: HashMap<ReplyId, StreamId>,
    timers: BinaryHeap<Reverse<Wake>>,
    armed: u64,
    exit: Option<String>,
}

/// A timer, the earliest first; of equal times the one set first.
struct Wake {
    at: Time,
    order: u64,
    timer: Timer,
}

impl PartialEq for Wake {
    fn eq(&self, other: &Wake) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Wake {}

impl PartialOrd for Wake {
    fn partial_cmp(&self, other: &Wake) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wake {
    fn cmp(&self, other: &Wake) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl Loop {
    fn new(
        inbox: Inbox,
        mut shell: Shell,
        make: impl FnOnce(&crate::registry::Registry, Time, &mut Effects) -> State,
    ) -> Loop {
        let begun = shell.clock.now();
        let registry = shell.store.load();
        shell.registrar.fetched(shell.clock.now().since(begun));
        let mut effects = Effects::new();
        let state = make(&registry, shell.clock.now(), &mut effects);
        let mut this = Loop {
            inbox,
            shell,
            state,
            handled: 0,
            version: 0,
            published: 0,
            snapshot: (0, Weak::new()),
            replies: HashMap::new(),
            streams: HashMap::new(),
            subscribing: HashMap::new(),
            timers: BinaryHeap::new(),
            armed: 0,
            exit: None,
        };
        this.perform(&mut effects);
        this
    }

    /// Runs until the core or somebody else wants the end, and says why.
    fn run(mut self) -> String {
        let mut effects = Effects::new();
        loop {
            self.wake_due(&mut effects);
            let sleep = self.sleep();
            match self.inbox.inputs.recv_timeout(sleep) {
                Ok(input) => {
                    self.take(input, &mut effects);
                    for _ in 1..BATCH {
                        let Ok(input) = self.inbox.inputs.try_recv() else { break };
                        self.take(input, &mut effects);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // It holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return "the queue is gone".to_owned(),
            }
            self.answer_readers();
            if let Some(why) = self.exit.take() {
                return why;
            }
        }
    }

    fn sleep(&self) -> Duration {
        let next = self.timers.peek().map(|Reverse(wake)| wake.at.since(self.shell.clock.now()));
        next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    fn wake_due(&mut self, effects: &mut Effects) {
        let now = self.shell.clock.now();
        // What these arm anew is for later, even if it is due: events have their turn in between.
        let mut due = Vec::new();
        while self.timers.peek().is_some_and(|Reverse(wake)| wake.at <= now) {
            due.extend(self.timers.pop().map(|Reverse(wake)| wake.timer));
        }
        for timer in due {
            self.handle(Event::Timer(timer), effects);
        }
    }

    fn take(&mut self, input: Input, effects: &mut Effects) {
        self.inbox.core.shared.queued[input.kind() as usize].fetch_sub(1, Ordering::Relaxed);
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
            Input::Nudge => {}
            Input::Stop(why) => self.exit = Some(why),
        }
        if self.inbox.core.shared.readers.some.load(Ordering::Acquire) {
            self.answer_readers();
        }
    }

    fn handle(&mut self, event: Event, effects: &mut Effects) {
        self.handled += 1;
        let may_show = event.may_show();
        self.version += u64::from(may_show);
        let before = (cfg!(debug_assertions) && !may_show).then(|| self.state.cluster().clone());
        core::handle(&mut self.state, event, self.shell.clock.now(), effects);
        self.check();
        debug_assert!(before.is_none_or(|before| before.shows_as(self.state.cluster())));
        self.perform(effects);
    }

    /// In debug builds, while it is cheap. Simulation checks clusters of any size.
    fn check(&self) {
        const CHEAP: usize = 20;
        if cfg!(debug_assertions) && self.state.cluster().agents.len() <= CHEAP {
            let checked = core::check(&self.state);
            assert!(checked.is_ok(), "the core contradicts itself: {checked:?}");
        }
    }

    fn answer_readers(&mut self) {
        let readers = &self.inbox.core.shared.readers;
        if !readers.some.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut waiting = readers.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.as_mut().map(std::mem::take).unwrap_or_default();
        let (handled, last) = &self.snapshot;
        let current = last.upgrade().filter(|_| *handled == self.handled);
        let cluster = current.unwrap_or_else(|| Arc::new(self.state.cluster().clone()));
        self.snapshot = (self.handled, Arc::downgrade(&cluster));
        for reader in waiting {
            // One that is gone needs none.
            let (version, published) = (self.version, self.published);
            let _ = reader.send(Snapshot { version, cluster: cluster.clone(), published });
        }
    }

    fn perform(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Send { from, to, message } => {
                let from = Upid { id: from, address: self.shell.pid.address };
                self.shell.links.send(&from, &to, message.name(), message.encode().into());
            }
            Effect::Link(address) => self.shell.links.link(address),
            Effect::Stream { stream, event } => self.stream(stream, event),
            // What was pushed before still reaches the client.
            Effect::CloseStream(stream) => drop(self.streams.remove(&stream)),
            Effect::Reply { reply, answer } => self.reply(reply, answer),
            Effect::Store { operation, then } => {
                let (core, clock) = (self.inbox.core.clone(), self.shell.clock);
                let submitted = self.shell.registrar.submitted(clock.now());
                let done = move |done| {
                    submitted.done(clock.now());
                    core.tell(Event::Stored { then, done });
                };
                self.shell.store.submit(operation, Box::new(done));
            }
            Effect::Alloc(call) => {
                if self.shell.calls.send(call).is_err() {
                    self.exit.get_or_insert_with(|| "the allocator has ended".to_owned());
                }
            }
            Effect::Publish(happening) => {
                self.published += 1;
                self.shell.events.publish(self.published, happening);
            }
            Effect::Wake { at, timer } => {
                self.armed += 1;
                self.timers.push(Reverse(Wake { at, order: self.armed, timer }));
            }
            Effect::Exit(why) => {
                self.exit.get_or_insert(why);
            }
        }
    }

    fn stream(&mut self, stream: StreamId, event: Box<crate::proto::scheduler::Event>) {
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
