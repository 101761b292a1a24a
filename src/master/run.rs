//! The way to the core: events go in from any thread, and whoever brings one turns the core, unless somebody
//! is at it already.
//!
//! So an answer costs no change of threads, which is most of what a small event costs; two turns never run
//! at once, and events are handled in the order they were queued. A turn is bounded: what is left then is the
//! keeper's, a thread that also wakes the core for its timers.
//!
//! Reads do not stand in the queue: a reader leaves its wish in [`Readers`], which is looked at after every
//! event, and gets a clone of `Cluster`, whose maps share their nodes with the core's. It is cloned when
//! somebody asks and not after every event, since the core has to copy the nodes it changes as long as a
//! snapshot shares them. A client that had the answer to its call sees its effect.
//!
//! Bounded: libprocess messages carry their share of the server's memory for waiting ones, HTTP calls are
//! counted by their handlers, a stream's events are cut off with their client, the rest follows from these.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::core::state::Cluster;
use super::core::{Answer, Effects, Event, ReplyId, State, StreamId};
use super::engine::Engine;
pub use super::engine::Shell;
use super::streams::Outlet;
use crate::alloc::Grant;
use crate::base::time::Time;
use crate::process::server::Charge;
use crate::registry::{Failure, Registry};

/// Events handled in one turn.
const TURN: usize = 256;

/// The longest the keeper sleeps; only bounds what a lost wake-up could cost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What reaches the core.
pub enum Input {
    /// Something happened; the charge is held until it is handled.
    Event(Event, Option<Charge>),
    /// Somebody waits for the answer; SUBSCRIBE brings its stream.
    Ask {
        event: Event,
        reply: ReplyId,
        answer: oneshot::Sender<Answer>,
        stream: Option<(StreamId, Outlet)>,
    },
    /// What became of a write of the registry.
    Written(Result<(), Failure>),
    /// Somebody wants to see the registry.
    Inspect(oneshot::Sender<Registry>),
    Stop(String),
}

/// What waits for the core, told apart as Mesos tells apart the events of a process.
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
            Input::Event(..) | Input::Written(_) | Input::Inspect(_) | Input::Stop(_) => Kind::Dispatch,
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

/// The core has ended, and so will the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master is shutting down")]
pub struct Ended;

/// Readers that wait for a snapshot.
struct Readers {
    some: AtomicBool,
    /// None when the core has ended.
    waiting: Mutex<Option<Vec<oneshot::Sender<Snapshot>>>>,
}

impl Default for Readers {
    fn default() -> Readers {
        Readers { some: AtomicBool::new(false), waiting: Mutex::new(Some(Vec::new())) }
    }
}

/// The way to the core. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// None when the core has ended.
    inputs: Mutex<Option<VecDeque<Input>>>,
    /// None before the start and after the end.
    engine: Mutex<Option<Started>>,
    readers: Readers,
    next_reply: AtomicU64,
    queued: [AtomicI64; 3],
    /// Whether the keeper is wanted before its time.
    wanted: Mutex<bool>,
    keeper: Condvar,
}

struct Started {
    engine: Engine,
    /// When the keeper means to wake up.
    planned: Time,
    ended: oneshot::Sender<String>,
}

/// The core's end of the queue, until it is started.
pub struct Inbox {
    core: Core,
    started: bool,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if !self.started {
            self.core.shared.close();
        }
    }
}

/// The queue that everything meets in.
pub fn channel() -> (Core, Inbox) {
    let shared = Shared { inputs: Mutex::new(Some(VecDeque::new())), ..Shared::default() };
    let core = Core { shared: Arc::new(shared) };
    (core.clone(), Inbox { core, started: false })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    fn send(&self, input: Input) -> Result<(), Ended> {
        self.shared.queued[input.kind() as usize].fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.inputs).as_mut().ok_or(Ended)?.push_back(input);
        self.shared.turn();
        Ok(())
    }

    /// Queues an event that nobody waits for. Dropped if the core has ended.
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

    /// Ends the core, and with it the master.
    pub fn stop(&self, why: &str) {
        let _ = self.send(Input::Stop(why.to_owned()));
    }

    /// A write of the registry ended.
    pub fn written(&self, result: Result<(), Failure>) {
        // What it answers is of no interest if the core has ended.
        let _ = self.send(Input::Written(result));
    }

    /// The registry, with what is being written to it.
    pub async fn registry(&self) -> Result<Registry, Ended> {
        let (sender, registry) = oneshot::channel();
        self.send(Input::Inspect(sender))?;
        registry.await.map_err(|_| Ended)
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
        lock(&readers.waiting).as_mut().ok_or(Ended)?.push(sender);
        readers.some.store(true, Ordering::SeqCst);
        self.shared.turn();
        snapshot.await.map_err(|_| Ended)
    }

    /// How many events of a kind wait.
    pub fn queued(&self, kind: Kind) -> i64 {
        self.shared.queued[kind as usize].load(Ordering::Relaxed).max(0)
    }
}

/// Starts the core and its keeper. What comes back tells why it ended.
pub fn start(
    inbox: Inbox,
    shell: Shell,
    make: impl FnOnce(&Registry, Time, &mut Effects) -> State + Send + 'static,
) -> std::io::Result<oneshot::Receiver<String>> {
    let (ended, end) = oneshot::channel();
    let shared = inbox.core.shared.clone();
    thread::Builder::new().name("master".to_owned()).spawn(move || {
        let mut inbox = inbox;
        let core = inbox.core.clone();
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| Engine::new(core, shell, make)));
        match made {
            Ok(Ok(engine)) => {
                let planned = engine.now();
                *lock(&shared.engine) = Some(Started { engine, planned, ended });
                inbox.started = true;
                shared.keep();
            }
            // Nobody may be waiting any more; the inbox closes behind it.
            Ok(Err(why)) => drop(ended.send(why)),
            Err(_) => drop(ended.send(PANICKED.to_owned())),
        }
    })?;
    Ok(end)
}

const PANICKED: &str = "the master's core panicked";

impl Shared {
    /// Handles what waits, unless somebody else is at it: then that one sees it before it leaves.
    fn turn(&self) {
        while self.waits() {
            let mut engine = match self.engine.try_lock() {
                Ok(engine) => engine,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let more = self.work(&mut engine);
            let Some(started) = engine.as_mut() else { return };
            let early = started.engine.next_wake().is_some_and(|next| next < started.planned);
            if more || early {
                started.planned = started.engine.now();
                drop(engine);
                *lock(&self.wanted) = true;
                self.keeper.notify_one();
            }
            if more {
                return;
            }
        }
    }

    fn waits(&self) -> bool {
        self.readers.some.load(Ordering::SeqCst)
            || lock(&self.inputs).as_ref().is_some_and(|inputs| !inputs.is_empty())
    }

    /// One turn. Whether events are left.
    fn work(&self, engine: &mut Option<Started>) -> bool {
        let Some(started) = engine else { return false };
        let run = AssertUnwindSafe(|| {
            started.engine.wake_due();
            let mut handled = 0;
            while handled < TURN
                && let Some(input) = self.next()
            {
                handled += 1;
                self.queued[input.kind() as usize].fetch_sub(1, Ordering::Relaxed);
                started.engine.take(input);
                self.answer_readers(&mut started.engine);
            }
            self.answer_readers(&mut started.engine);
            (handled == TURN, started.engine.rest())
        });
        let (more, why) =
            std::panic::catch_unwind(run).unwrap_or_else(|_| (false, Some(PANICKED.to_owned())));
        if let Some(why) = why
            && let Some(started) = engine.take()
        {
            self.close();
            // Nobody may be waiting any more.
            let _ = started.ended.send(why);
            return false;
        }
        more
    }

    fn next(&self) -> Option<Input> {
        lock(&self.inputs).as_mut().and_then(VecDeque::pop_front)
    }

    fn answer_readers(&self, engine: &mut Engine) {
        if !self.readers.some.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiting = lock(&self.readers.waiting).as_mut().map(std::mem::take).unwrap_or_default();
        for reader in waiting {
            // One that is gone needs none.
            let _ = reader.send(engine.snapshot());
        }
    }

    /// The keeper's life: timers, and what turns of others have left.
    fn keep(&self) {
        loop {
            let mut engine = lock(&self.engine);
            let more = self.work(&mut engine);
            let Some(started) = engine.as_mut() else { return };
            let now = started.engine.now();
            let next = started.engine.next_wake().unwrap_or(now + LONGEST_SLEEP).min(now + LONGEST_SLEEP);
            started.planned = next;
            drop(engine);
            if more || self.waits() {
                continue;
            }
            let wanted = lock(&self.wanted);
            let slept = self.keeper.wait_timeout_while(wanted, next.since(now), |wanted| !*wanted);
            *slept.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
    }

    fn close(&self) {
        *lock(&self.inputs) = None;
        *lock(&self.readers.waiting) = None;
    }
}
