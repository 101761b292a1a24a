//! Schedulers, on streams and as v0 drivers: how they connect, what they hear and say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mesos::base::upid::Upid;
use mesos::master::core as master_core;
use mesos::proto::message::{DriverCall, Message};
use mesos::proto::scheduler::{self, event};
use rand::RngExt;

use crate::net::Node;
use crate::world::{Item, World};

/// What a driver, and a stream's scheduler that was away for too long, are told when all is over.
const REMOVED: &str = "Framework has been removed";

impl World {
    /// A driver's process starts: each life has a pid of its own.
    pub fn new_driver(&mut self, scheduler: usize) -> Upid {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, scheduler as u8)), 6000);
        Upid::new(&format!("scheduler-{}", self.serial()), address)
    }

    pub fn driver_at(&self, address: SocketAddr) -> Option<usize> {
        self.schedulers.iter().position(|s| s.driver.as_ref().is_some_and(|pid| pid.address == address))
    }

    /// Whom it takes for the leader: standbys send it on, and one that was deposed may not know that yet.
    fn finds(&mut self, scheduler: usize) -> Option<usize> {
        let node = Node::Scheduler(scheduler);
        let reached = |index: &usize| {
            self.masters[*index].core.is_some() && !self.net.is_cut(Node::Master(*index), node)
        };
        let found: Vec<usize> = (0..self.masters.len()).filter(reached).collect();
        let pick = self.net.rng.random_range(0..found.len().max(1));
        found.get(pick).copied()
    }

    /// A scheduler hears that another master leads.
    pub fn follow(&mut self, scheduler: usize, life: u64) {
        let Some(index) = self.master_of(life).filter(|index| self.masters[*index].core.is_some()) else {
            return;
        };
        let known = &mut self.schedulers[scheduler];
        let old = match known.master.replace(index) {
            Some(old) if old != index && !known.dead => old,
            _ => return,
        };
        known.subscribed = false;
        if let Some(stream) = known.stream.take() {
            self.master_later(old, 0, 20, master_core::Event::StreamClosed(stream));
        }
        self.count("schedulers moved");
        self.put(10, 3000, Item::Connect { scheduler });
    }

    pub fn connect(&mut self, scheduler: usize) {
        let known = &self.schedulers[scheduler];
        if known.dead || known.subscribed || known.stream.is_some() {
            return;
        }
        if let Some(pid) = known.driver.clone() {
            // Until it is answered.
            self.put(1000, 3000, Item::Connect { scheduler });
            let Some(master) = self.finds(scheduler) else { return };
            let known = &mut self.schedulers[scheduler];
            known.master = Some(master);
            let call = DriverCall { call: known.subscribe(), force: known.fresh };
            return self.driver_sends(scheduler, pid, call);
        }
        let Some(master) = self.finds(scheduler) else {
            return self.put(500, 2000, Item::Connect { scheduler });
        };
        let serial = self.serial();
        let stream: Arc<str> = format!("stream-{serial}").into();
        let reply = master_core::ReplyId(serial);
        let known = &mut self.schedulers[scheduler];
        known.stream = Some(stream.clone());
        known.master = Some(master);
        let call = Box::new(known.subscribe());
        self.asked.insert(reply, (scheduler, self.masters[master].life));
        self.count("subscriptions");
        self.master_later(master, 0, 20, master_core::Event::Subscribe { reply, stream, call });
    }

    pub fn answered(&mut self, reply: master_core::ReplyId, answer: master_core::Answer) {
        use master_core::Answer;
        let Some((scheduler, _)) = self.asked.remove(&reply) else { return };
        match answer {
            Answer::Subscribed | Answer::Accepted | Answer::Ok => {}
            other => self.note(|| format!("scheduler {scheduler} was refused: {other:?}")),
        }
    }

    pub fn stream_event(&mut self, scheduler: usize, stream: &Arc<str>, event: scheduler::Event) {
        if self.schedulers[scheduler].stream.as_ref() == Some(stream) {
            self.scheduler_hears(scheduler, event);
        }
    }

    fn scheduler_hears(&mut self, scheduler: usize, event: scheduler::Event) {
        if let Some(update) = &event.update {
            self.tally(update.status.state());
        }
        if let Some(error) = &event.error {
            let text = error.message.clone();
            self.note(|| format!("scheduler {scheduler} hears an error: {text}"));
        }
        let calls = self.schedulers[scheduler].hear(event, &mut self.net.rng);
        for call in calls {
            self.scheduler_says(scheduler, call);
        }
    }

    pub fn stream_ended(&mut self, scheduler: usize, stream: &Arc<str>) {
        let known = &mut self.schedulers[scheduler];
        if known.stream.as_ref() == Some(stream) {
            known.stream = None;
            known.subscribed = false;
            self.put(10, 3000, Item::Connect { scheduler });
        }
    }

    /// A message for a driver, in the words of a v1 event.
    pub fn driver_hears(&mut self, scheduler: usize, master: usize, to: &Upid, message: Message) {
        let known = &self.schedulers[scheduler];
        if known.driver.as_ref() != Some(to) || known.dead || known.master != Some(master) {
            return;
        }
        self.note(|| format!("driver {scheduler} <- {message:?}"));
        let of = |kind: event::Type| scheduler::Event { r#type: Some(kind as i32), ..Default::default() };
        let subscribed = |framework_id| event::Subscribed { framework_id, ..Default::default() };
        let event = match message {
            Message::FrameworkRegistered(m) => scheduler::Event {
                subscribed: Some(subscribed(m.framework_id)),
                ..of(event::Type::Subscribed)
            },
            Message::FrameworkReregistered(m) => scheduler::Event {
                subscribed: Some(subscribed(m.framework_id)),
                ..of(event::Type::Subscribed)
            },
            Message::ResourceOffers(m) => scheduler::Event {
                offers: Some(event::Offers { offers: m.offers }),
                ..of(event::Type::Offers)
            },
            Message::StatusUpdate(m) => {
                let mut status = m.update.status;
                // Without a pid there is nobody to acknowledge to.
                status.uuid = m.update.uuid.filter(|_| m.pid.is_some());
                scheduler::Event { update: Some(event::Update { status }), ..of(event::Type::Update) }
            }
            Message::FrameworkError(m) if m.message == REMOVED => scheduler::Event {
                error: Some(event::Error { message: m.message.clone() }),
                ..of(event::Type::Error)
            },
            // A driver aborts on any error, and its scheduler starts another one.
            Message::FrameworkError(_) => return self.restart_driver(scheduler),
            _ => return,
        };
        self.scheduler_hears(scheduler, event);
    }

    fn restart_driver(&mut self, scheduler: usize) {
        let pid = self.new_driver(scheduler);
        let known = &mut self.schedulers[scheduler];
        known.driver = Some(pid);
        known.fresh = true;
        known.subscribed = false;
        self.count("drivers restarted");
        self.put(10, 5000, Item::Connect { scheduler });
    }

    pub fn act(&mut self, scheduler: usize) {
        let known = &self.schedulers[scheduler];
        if known.quiet || known.dead {
            return;
        }
        self.put(500, 4000, Item::Act { scheduler });
        if !self.schedulers[scheduler].subscribed {
            return;
        }
        let calls = self.schedulers[scheduler].act(&mut self.net.rng);
        for call in calls {
            self.scheduler_says(scheduler, call);
        }
        if self.schedulers[scheduler].dead {
            self.leave(scheduler);
        }
    }

    /// Its process ends after it has torn down its framework; the call may be lost.
    fn leave(&mut self, scheduler: usize) {
        self.count("frameworks torn down");
        let known = &mut self.schedulers[scheduler];
        known.subscribed = false;
        let event = match (known.stream.take(), known.driver.as_ref().map(|pid| pid.address)) {
            (Some(stream), _) => master_core::Event::StreamClosed(stream),
            (None, Some(address)) => master_core::Event::Exited(address),
            (None, None) => return,
        };
        let master = known.master.unwrap_or_default();
        self.master_later(master, 500, 9000, event);
    }

    /// A call is an HTTP request of its own, or a message; in bad weather it may never arrive, or twice.
    pub fn scheduler_says(&mut self, scheduler: usize, call: scheduler::Call) {
        use scheduler::call::Type;
        let known = &self.schedulers[scheduler];
        let teardown = call.r#type() == Type::Teardown;
        if known.dead && !teardown || !known.subscribed {
            return;
        }
        if call.r#type() == Type::Accept {
            self.count("accepts");
        }
        let known = &self.schedulers[scheduler];
        if let Some(pid) = known.driver.clone() {
            return self.driver_sends(scheduler, pid, call.into());
        }
        let stream = known.stream.clone();
        let Some(master) = known.master else { return };
        let Some(life) = self.masters[master].core.as_ref().map(|core| core.life) else { return };
        for at in self.net.arrivals(Node::Scheduler(scheduler), Node::Master(master), self.now) {
            let reply = master_core::ReplyId(self.serial());
            self.asked.insert(reply, (scheduler, life));
            let (stream, call) = (stream.clone(), Box::new(call.clone()));
            let event = master_core::Event::Call { reply, stream, call };
            self.agenda.put(at, Item::Master { life, event });
        }
    }

    fn driver_sends(&mut self, scheduler: usize, from: Upid, call: DriverCall) {
        let message = Box::new(Message::from(call));
        let Some(master) = self.schedulers[scheduler].master else { return };
        let node = Node::Scheduler(scheduler);
        let arrivals = self.net.arrivals(node, Node::Master(master), self.now);
        self.lost_on_the_way(master, node, arrivals.is_empty());
        for at in arrivals {
            let (from, message) = (from.clone(), message.clone());
            self.agenda.put(at, Item::MasterMail { master, from, to: "master".into(), message });
        }
    }

    /// The scheduler's connection breaks; it will come back under its id. A slow reader looks the same.
    pub fn break_stream(&mut self, scheduler: usize) {
        let master = self.schedulers[scheduler].master.unwrap_or_default();
        if self.schedulers[scheduler].driver.is_some() {
            return self.break_driver_link(master, scheduler);
        }
        if let Some(stream) = self.schedulers[scheduler].stream.take() {
            self.count("streams broken");
            self.schedulers[scheduler].subscribed = false;
            self.master_later(master, 0, 20, master_core::Event::StreamClosed(stream));
            self.put(10, 5000, Item::Connect { scheduler });
        }
    }

    /// The master finds the link broken; a driver learns of it by an error, or not at all.
    pub fn break_driver_link(&mut self, master: usize, scheduler: usize) {
        if let Some(pid) = &self.schedulers[scheduler].driver {
            let address = pid.address;
            self.count("driver links broken");
            self.master_exited(master, address);
        }
    }

    /// A scheduler's process dies and starts again, as itself.
    pub fn kill_scheduler(&mut self, scheduler: usize) {
        if self.schedulers[scheduler].dead {
            return;
        }
        match self.schedulers[scheduler].driver.as_ref().map(|pid| pid.address) {
            Some(address) => {
                // Whoever had a connection to it learns so.
                for master in 0..self.masters.len() {
                    self.master_exited(master, address);
                }
                self.restart_driver(scheduler);
            }
            None => self.break_stream(scheduler),
        }
    }

    /// The master died: streams end; a driver hears from the detector when there is another one.
    pub fn master_is_gone(&mut self, scheduler: usize, master: usize) {
        if self.schedulers[scheduler].master != Some(master) {
            return;
        }
        if let Some(stream) = self.schedulers[scheduler].stream.clone() {
            self.put(0, 20, Item::StreamEnded { scheduler, stream });
        } else if self.schedulers[scheduler].driver.is_some() {
            self.schedulers[scheduler].subscribed = false;
            self.put(10, 3000, Item::Connect { scheduler });
        }
    }
}
