//! The core and what performs its effects: one value, turned by whoever has something for it (`run.rs`).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::allocator::Calls;
use super::core::state::Cluster;
use super::core::{self, Answer, Effect, Effects, Event, ReplyId, State, StreamId, Then, Timer};
use super::events::Publisher;
use super::registrar::Measures;
use super::run::{Core, Input, Snapshot};
use super::streams::Outlet;
use crate::alloc::Call;
use crate::base::time::Time;
use crate::base::timers::Timers;
use crate::base::upid::Upid;
use crate::coordination::lease::Lease;
use crate::process::clock::Clock;
use crate::process::link::Links;
use crate::proto::MasterInfo;
use crate::registry::store::{Memory, Patience, Store, Writer};
use crate::registry::{Registrar, Registry, Step};

/// What effects are performed with.
pub struct Shell {
    pub clock: Clock,
    pub links: Links,
    pub calls: Calls,
    pub store: Box<dyn Store>,
    pub patience: Patience,
    pub measures: Measures,
    /// Who leads from the start on, as noted in the registry.
    pub info: Arc<MasterInfo>,
    pub events: Publisher,
    /// Until when this master may act.
    pub lease: Lease,
    /// `master@ip:port` as others know it.
    pub pid: Upid,
}

const LAPSED: &str = "this master leads no longer: its session was not renewed in time";

pub struct Engine {
    core: Core,
    shell: Shell,
    registrar: Registrar<Then>,
    writer: Writer,
    state: State,
    effects: Effects,
    /// Counts events, and those of them after which views may show something else.
    handled: u64,
    version: u64,
    /// Happenings given out so far.
    published: u64,
    /// The last one handed out, with how many events came before it; not kept alive, since sharing it costs the
    /// core copies.
    snapshot: (u64, Weak<Cluster>),
    replies: HashMap<ReplyId, oneshot::Sender<Answer>>,
    streams: HashMap<StreamId, Outlet>,
    /// SUBSCRIBEs without an answer yet.
    subscribing: HashMap<ReplyId, StreamId>,
    timers: Timers<Timer>,
    /// For the allocator, in one go at the end of a turn: each waking of its thread costs more than a call.
    calls: Vec<Call>,
    exit: Option<String>,
}

impl Engine {
    pub fn new(
        core: Core,
        mut shell: Shell,
        make: impl FnOnce(&Registry, Time, &mut Effects) -> State,
    ) -> Result<Engine, String> {
        let begun = shell.clock.now();
        let place = shell.store.place();
        let told = core.clone();
        let done = move |result| told.written(result);
        let store = std::mem::replace(&mut shell.store, Box::new(Memory));
        let (writer, registry) = Writer::start(store, &shell.info, shell.patience, done)?;
        let took = shell.clock.now().since(begun);
        shell.measures.fetched(took);
        let agents = registry.admitted.len();
        info!(place, agents, ms = took.as_millis(), "recovered the registry");
        let mut effects = Effects::new();
        let state = make(&registry, shell.clock.now(), &mut effects);
        let registrar = Registrar::new(registry, shell.patience.store);
        let mut this = Engine {
            core,
            shell,
            registrar,
            writer,
            state,
            effects,
            handled: 0,
            version: 0,
            published: 0,
            snapshot: (0, Weak::new()),
            replies: HashMap::new(),
            streams: HashMap::new(),
            subscribing: HashMap::new(),
            timers: Timers::default(),
            calls: Vec::new(),
            exit: None,
        };
        this.perform();
        Ok(this)
    }

    /// When the next timer is due, or the registrar has to be asked again.
    pub fn next_wake(&self) -> Option<Time> {
        [self.timers.next(), self.registrar.next_wake()].into_iter().flatten().min()
    }

    pub fn now(&self) -> Time {
        self.shell.clock.now()
    }

    pub fn wake_due(&mut self) {
        for timer in self.timers.due(self.shell.clock.now()) {
            self.handle(Event::Timer(timer));
        }
    }

    pub fn take(&mut self, input: Input) {
        match input {
            Input::Event(event, charge) => {
                if let Event::StreamClosed(stream) = &event {
                    self.streams.remove(stream);
                }
                self.handle(event);
                drop(charge);
            }
            Input::Ask { event, reply, answer, stream } => {
                self.replies.insert(reply, answer);
                if let Some((id, outlet)) = stream {
                    self.subscribing.insert(reply, id.clone());
                    self.streams.insert(id, outlet);
                }
                self.handle(event);
            }
            Input::Written(result) => self.registrar.written(result, self.shell.clock.now()),
            // Who asked may be gone.
            Input::Inspect(asker) => drop(asker.send(self.registrar.registry().clone())),
            Input::Stop(why) => self.exit = Some(why),
        }
    }

    /// The end of a turn; gives why there must not be another, if so.
    pub fn rest(&mut self) -> Option<String> {
        self.store();
        for call in self.calls.drain(..) {
            if self.shell.calls.send(call).is_err() {
                self.exit.get_or_insert_with(|| "the allocator has ended".to_owned());
            }
        }
        self.exit.take()
    }

    /// What operations of this turn change goes out in one write, unless one is out already.
    fn store(&mut self) {
        if !self.may_act() {
            return;
        }
        while let Some(step) = self.registrar.step(self.shell.clock.now()) {
            match step {
                Step::Write(batch) => {
                    if let Some(result) = self.writer.write(batch) {
                        self.registrar.written(result, self.shell.clock.now());
                    }
                }
                Step::Answer { answers, took } => {
                    if let Some(took) = took {
                        self.shell.measures.stored(took);
                    }
                    for (then, done) in answers {
                        self.core.tell(Event::Stored { then, done });
                    }
                }
                Step::Fail(why) => self.exit = Some(why),
            }
        }
        self.shell.measures.now(self.registrar.queued(), self.registrar.size());
    }

    /// Nothing is handled and nothing leaves once the lease is over, as after a pause of the process: then another
    /// master may lead already.
    fn handle(&mut self, event: Event) {
        if !self.may_act() {
            return;
        }
        self.handled += 1;
        let may_show = event.may_show();
        self.version += u64::from(may_show);
        let before = (cfg!(debug_assertions) && !may_show).then(|| self.state.cluster().clone());
        core::handle(&mut self.state, event, self.shell.clock.now(), &mut self.effects);
        self.check();
        debug_assert!(before.is_none_or(|before| before.shows_as(self.state.cluster())));
        if self.may_act() {
            self.perform();
        }
    }

    fn may_act(&mut self) -> bool {
        let holds = self.shell.lease.holds();
        if !holds {
            self.exit.get_or_insert_with(|| LAPSED.to_owned());
        }
        holds
    }

    /// In debug builds, while it is cheap. Simulation checks clusters of any size.
    fn check(&self) {
        const CHEAP: usize = 20;
        if cfg!(debug_assertions) && self.state.cluster().agents.len() <= CHEAP {
            let checked = core::check(&self.state);
            assert!(checked.is_ok(), "the core contradicts itself: {checked:?}");
        }
    }

    /// The cluster as it is now; the same value as long as nothing happens and somebody keeps it.
    pub fn snapshot(&mut self) -> Snapshot {
        let (handled, last) = &self.snapshot;
        let current = last.upgrade().filter(|_| *handled == self.handled);
        let cluster = current.unwrap_or_else(|| Arc::new(self.state.cluster().clone()));
        self.snapshot = (self.handled, Arc::downgrade(&cluster));
        Snapshot { version: self.version, cluster, published: self.published }
    }

    fn perform(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.perform_one(effect);
        }
        self.effects = effects;
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
            Effect::Store { operation, then } => self.registrar.submit(operation, then),
            Effect::Alloc(call) => self.calls.push(call),
            Effect::Publish(happening) => {
                self.published += 1;
                self.shell.events.publish(self.published, happening);
            }
            Effect::Wake { at, timer } => self.timers.arm(at, timer),
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
            self.core.tell(Event::StreamClosed(stream));
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
