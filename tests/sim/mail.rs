//! libprocess messages between master, agents and drivers, and connections that break.

use mesos::agent::core as agent_core;
use mesos::base::upid::Upid;
use mesos::proto::message::Message;

use crate::net::Node;
use crate::world::{Item, Plant, World, master_address, master_at};

impl World {
    pub fn mail_from_master(&mut self, master: usize, from: Upid, to: &Upid, message: Box<Message>) {
        let (here, life) = (Node::Master(master), self.masters[master].life);
        if let Some(scheduler) = self.driver_at(to.address) {
            let node = Node::Scheduler(scheduler);
            let arrivals = self.net.arrivals(here, node, self.now);
            self.lost_on_the_way(master, node, arrivals.is_empty());
            // The last hop is one connection: what it carries is in order, and the driver has to believe it.
            if !arrivals.is_empty() {
                let (at, to) = (self.stream_time(master, scheduler), to.clone());
                self.agenda.put(at, Item::DriverMail { life, scheduler, to, message });
            }
            return;
        }
        let Some(agent) = self.agents.iter().position(|a| a.address == to.address) else { return };
        if matches!(*message, Message::RunTask(_) | Message::RunTaskGroup(_)) {
            self.count("launches");
        }
        let planted = match (self.plant, &*message) {
            (Some(Plant::LoseShutdowns), Message::ShutdownFramework(_)) => return,
            (Some(Plant::RunTwice), Message::RunTask(_)) => true,
            _ => false,
        };
        let mut arrivals = self.net.arrivals(here, Node::Agent(agent), self.now);
        self.lost_on_the_way(master, Node::Agent(agent), arrivals.is_empty());
        if let (true, Some(first)) = (planted, arrivals.first().copied()) {
            arrivals.push(first + self.net.millis(0, 60_000));
        }
        for (copy, at) in arrivals.into_iter().enumerate() {
            let mut message = message.clone();
            if let (true, Message::RunTask(run)) = (planted && copy > 0, &mut *message) {
                run.offer_id = None;
            }
            let from = from.clone();
            self.agenda.put(at, Item::AgentMail { agent, life, from, message });
        }
    }

    pub fn mail_from_agent(&mut self, agent: usize, to: &Upid, message: Box<Message>) {
        let Some(master) = master_at(to.address).filter(|_| !self.swallowed(&message)) else { return };
        let from = Upid::new("slave(1)", self.agents[agent].address);
        let arrivals = self.net.arrivals(Node::Agent(agent), Node::Master(master), self.now);
        self.lost_on_the_way(master, Node::Agent(agent), arrivals.is_empty());
        for at in arrivals {
            let (from, to, message) = (from.clone(), to.id.clone(), message.clone());
            self.agenda.put(at, Item::MasterMail { master, from, to, message });
        }
    }

    fn swallowed(&self, message: &Message) -> bool {
        self.plant == Some(Plant::SwallowTerminalUpdates)
            && matches!(message, Message::StatusUpdate(m)
                if crate::checks::is_terminal(m.update.status.state()))
    }

    /// TCP loses nothing while it holds: a message that was lost means a connection that is broken, and both
    /// ends find out, at once or when the wire carries something again.
    pub fn lost_on_the_way(&mut self, master: usize, node: Node, lost: bool) {
        if !lost {
            return;
        }
        self.count("messages lost");
        if self.net.is_cut(Node::Master(master), node) {
            self.stalled.insert((master, node));
        } else {
            self.link_breaks_in(3000, master, node);
        }
    }

    fn link_breaks_in(&mut self, ms: u64, master: usize, node: Node) {
        match node {
            Node::Agent(agent) => self.put(0, ms, Item::LinkBreaks { master, agent }),
            Node::Scheduler(scheduler) => self.put(0, ms, Item::DriverLinkBreaks { master, scheduler }),
            Node::Master(_) | Node::Ensemble => {}
        }
    }

    /// Wires work again; connections that stalled meanwhile turn out broken.
    pub fn heal(&mut self) {
        self.net.heal();
        for (master, node) in std::mem::take(&mut self.stalled) {
            self.link_breaks_in(1000, master, node);
        }
    }

    /// The connection between master and agent breaks; both ends learn of it.
    pub fn break_link(&mut self, master: usize, agent: usize) {
        self.count("links broken");
        let address = self.agents[agent].address;
        self.agent_later(agent, 0, 200, agent_core::Event::Exited(master_address(master)));
        self.master_exited(master, address);
    }
}
