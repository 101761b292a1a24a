//! The shell of either driver: a thread that hears events and tells callbacks, and a lock around the core, so that
//! calls from any thread, also out of callbacks, take effect at once.
//!
//! Callbacks of a driver come one at a time and in order. Messages wait while one is out, and count against the
//! memory of the port they came by; so a framework that is slow holds up its masters, not its process.
#![expect(clippy::disallowed_methods, reason = "a shell: a thread, and how long a stop may take")]

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::core::{Core, Effect, Effects, Event, Status, Timer};
use super::node::Node;
use crate::base::time::Time;
use crate::base::timers::Timers;
use crate::process::clock::Clock;
use crate::process::link::Links;
use crate::process::server::{Charge, IncomingMessage};
use crate::proto::Message;

/// The longest the loop sleeps; only bounds what a lost wake-up could cost.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long a driver that stops waits for its last words to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the user made of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    /// It failed in a way that ends the driver: an exception.
    Abort,
}

/// Takes callbacks. Runs in the driver's thread.
pub type Handler<C> = Box<dyn FnMut(&C) -> Verdict + Send>;

/// What reaches the loop.
enum Input<C> {
    Event(Event, Option<Charge>),
    Tell(C),
    Wake(Time, Timer),
    /// The driver is over, or gone.
    Nudge,
}

/// The way to a driver's core. Cheap to clone.
pub struct Driver<C: Core> {
    shared: Arc<Shared<C>>,
}

impl<C: Core> Clone for Driver<C> {
    fn clone(&self) -> Driver<C> {
        Driver { shared: self.shared.clone() }
    }
}

struct Shared<C: Core> {
    core: Mutex<C>,
    node: &'static Node,
    links: Links,
    clock: Clock,
    inputs: Sender<Input<C::Callback>>,
    life: Mutex<Life>,
    /// Woken when `life` changes.
    changed: Condvar,
    /// Set when no callback comes any more, for tasks that work for the driver.
    ended: tokio::sync::watch::Sender<bool>,
}

#[derive(Default)]
struct Life {
    /// No callback comes any more.
    over: bool,
    /// The driver's user has gone.
    dropped: bool,
    thread: Option<JoinHandle<()>>,
}

/// The loop's end of the queue.
pub struct Inbox<C: Core> {
    inputs: Receiver<Input<C::Callback>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C> Driver<C>
where
    C: Core + Send + 'static,
    C::Callback: Send,
{
    pub fn new(node: &'static Node, core: C) -> (Driver<C>, Inbox<C>) {
        let (inputs, receiver) = mpsc::channel();
        let _entered = node.runtime.enter();
        let (links, mut exits) = Links::new();
        let (core, life) = (Mutex::new(core), Mutex::default());
        let clock = Clock::new();
        let shared = Arc::new(Shared {
            core,
            node,
            links,
            clock,
            inputs: inputs.clone(),
            life,
            changed: Condvar::new(),
            ended: tokio::sync::watch::Sender::new(false),
        });
        // Ends with the links, which the driver holds.
        node.runtime.spawn(async move {
            while let Some(exited) = exits.recv().await {
                if inputs.send(Input::Event(Event::Exited(exited.address), None)).is_err() {
                    return;
                }
            }
        });
        (Driver { shared }, Inbox { inputs: receiver })
    }

    /// Takes messages to the process of this id.
    pub fn listen(&self, id: &str) {
        let inputs = self.shared.inputs.clone();
        self.shared.node.processes.add(id, move |incoming| {
            let IncomingMessage { name, from, body, charge, .. } = incoming;
            match Message::decode(&name, &body) {
                Ok(message) => {
                    let event = Event::Received { from, message: Box::new(message) };
                    // Nobody listens once the driver is over.
                    let _ = inputs.send(Input::Event(event, Some(charge)));
                }
                Err(error) => warn!(name, from = ?from.map(|from| from.to_string()), %error, "a message was not understood"),
            }
        });
    }

    /// No more messages come to the process of this id.
    pub fn unlisten(&self, id: &str) {
        self.shared.node.processes.remove(id);
    }

    /// Queues an event. Dropped once the loop has ended.
    pub fn tell(&self, event: Event) {
        let _ = self.shared.inputs.send(Input::Event(event, None));
    }

    /// A call of the user's, in one piece.
    pub fn call<R>(&self, call: impl FnOnce(&mut C, Time, &mut Effects<C::Callback>) -> R) -> R {
        let (result, callbacks) = self.shared.turn(call);
        for callback in callbacks {
            // They wait for the one that may be out, and for its user's leave.
            let _ = self.shared.inputs.send(Input::Tell(callback));
        }
        let _ = self.shared.inputs.send(Input::Nudge);
        result
    }

    pub fn status(&self) -> Status {
        held(&self.shared.core).status()
    }

    /// Starts the loop in its own thread.
    pub fn start(&self, inbox: Inbox<C>, name: &str, handler: Handler<C::Callback>) -> std::io::Result<()> {
        let shared = self.shared.clone();
        let run = move || {
            // A handler that panics is over like one that has returned: nobody hears callbacks any more.
            let run = std::panic::AssertUnwindSafe(|| shared.run(&inbox, handler));
            let panicked = std::panic::catch_unwind(run).is_err();
            if panicked {
                drop(shared.turn(|core, _, out| core.abort(out)));
            }
            held(&shared.life).over = true;
            shared.changed.notify_all();
            shared.ended.send_replace(true);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        held(&self.shared.life).thread = Some(thread);
        Ok(())
    }

    /// Is there once no callback comes any more.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.shared.ended.subscribe();
        async move {
            // The sender is gone only with the driver.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Waits until the driver has been stopped or aborted and its last callback has returned.
    pub fn join(&self) -> Status {
        let mut life = held(&self.shared.life);
        // Out of a callback nobody could wait for its end.
        let inside = life.thread.as_ref().is_some_and(|one| one.thread().id() == thread::current().id());
        while life.thread.is_some() && !life.over && !inside {
            life = self.shared.changed.wait(life).unwrap_or_else(PoisonError::into_inner);
        }
        drop(life);
        self.status()
    }

    /// Waits for a moment until what was sent to this address has left the process.
    pub fn flush(&self, to: std::net::SocketAddr) {
        let end = Instant::now() + LAST_WORDS;
        while !self.shared.links.is_flushed(to) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The user has gone: no callback comes any more, and none is out when this returns. Nobody is told.
    pub fn close(&self) {
        let thread = {
            let mut life = held(&self.shared.life);
            life.dropped = true;
            life.thread.take()
        };
        let _ = self.shared.inputs.send(Input::Nudge);
        if let Some(thread) = thread.filter(|one| one.thread().id() != thread::current().id()) {
            // It panicked, if so, long ago.
            let _ = thread.join();
        }
        self.shared.links.unlink_all();
    }
}

impl<C> Shared<C>
where
    C: Core + Send + 'static,
    C::Callback: Send,
{
    /// One turn of the core; gives what is to be told.
    fn turn<R>(
        &self,
        turn: impl FnOnce(&mut C, Time, &mut Effects<C::Callback>) -> R,
    ) -> (R, Vec<C::Callback>) {
        let mut core = held(&self.core);
        let mut effects = Vec::new();
        let result = turn(&mut core, self.clock.now(), &mut effects);
        // Under the lock, so that what two threads send leaves in the order of their turns.
        let callbacks = effects.into_iter().filter_map(|effect| self.perform(effect)).collect();
        (result, callbacks)
    }

    fn perform(&self, effect: Effect<C::Callback>) -> Option<C::Callback> {
        match effect {
            Effect::Send { from, to, message } => {
                self.links.send(&from, &to, message.name(), message.encode().into());
            }
            Effect::Link(address) => self.links.link(address),
            Effect::Relink(address) => self.links.relink(address),
            Effect::Wake { at, timer } => {
                // The loop has ended, or takes it.
                let _ = self.inputs.send(Input::Wake(at, timer));
            }
            Effect::Tell(callback) => return Some(callback),
            Effect::KillGroup { after } => {
                self.node.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    debug!("killing the process group");
                    let own = nix::unistd::Pid::from_raw(0);
                    if let Err(error) = nix::sys::signal::killpg(own, nix::sys::signal::Signal::SIGKILL) {
                        warn!(%error, "the process group cannot be killed");
                    }
                });
            }
        }
        None
    }

    fn run(&self, inbox: &Inbox<C>, mut handler: Handler<C::Callback>) {
        let mut timers = Timers::default();
        loop {
            for timer in timers.due(self.clock.now()) {
                let ((), callbacks) = self.turn(|core, now, out| core.handle(now, Event::Timer(timer), out));
                self.tell(callbacks, &mut handler);
            }
            if self.is_over() {
                // Why it ended may still wait to be told.
                let rest = inbox.inputs.try_iter().filter_map(|input| match input {
                    Input::Tell(callback) => Some(callback),
                    _ => None,
                });
                return self.tell(rest.collect(), &mut handler);
            }
            let sleep =
                timers.next().map_or(LONGEST_SLEEP, |at| at.since(self.clock.now()).min(LONGEST_SLEEP));
            let callbacks = match inbox.inputs.recv_timeout(sleep) {
                Ok(Input::Event(event, charge)) => {
                    let callbacks = self.turn(|core, now, out| core.handle(now, event, out)).1;
                    self.tell(callbacks, &mut handler);
                    drop(charge);
                    continue;
                }
                Ok(Input::Tell(callback)) => vec![callback],
                Ok(Input::Wake(at, timer)) => {
                    timers.arm(at, timer);
                    continue;
                }
                Ok(Input::Nudge) | Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.tell(callbacks, &mut handler);
        }
    }

    fn is_over(&self) -> bool {
        held(&self.core).status() != Status::Running || held(&self.life).dropped
    }

    fn tell(&self, callbacks: Vec<C::Callback>, handler: &mut Handler<C::Callback>) {
        let mut waiting = std::collections::VecDeque::from(callbacks);
        while let Some(callback) = waiting.pop_front() {
            if held(&self.life).dropped || !held(&self.core).tells(&callback) {
                continue;
            }
            let verdict = handler(&callback);
            let ((), more) = self.turn(|core, _, out| match verdict {
                Verdict::Continue => core.told(&callback, out),
                Verdict::Abort => drop(core.abort(out)),
            });
            waiting.extend(more);
        }
    }
}
