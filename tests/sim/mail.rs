//! libprocess messages between master, agents and drivers, and connections that break.

use mesos::agent::core as agent_core;
use mesos::base::upid::Upid;
use mesos::proto::message::Message;

use crate::net::Node;
use crate::world::{Item, Plant, World, master_address};

impl World {
    pub fn mail_from_master(&mut self, from: Upid, to: &Upid, message: Box<Message>) {
        if let Some(scheduler) = self.driver_at(to.address) {
            let node = Node::Scheduler(scheduler);
            let arrivals = self.net.arrivals(Node::Master, node, self.now);
            self.lost_on_the_way(node, arrivals.is_empty());
            // The last hop is one connection: what it carries is in order, and the driver has to believe it.
            if !arrivals.is_empty() {
                let (at, to, life) = (self.stream_time(scheduler), to.clone(), self.lives);
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
        let mut arrivals = self.net.arrivals(Node::Master, Node::Agent(agent), self.now);
        self.lost_on_the_way(Node::Agent(agent), arrivals.is_empty());
        if let (true, Some(first)) = (planted, arrivals.first().copied()) {
            arrivals.push(first + self.net.millis(0, 60_000));
        }
        for (copy, at) in arrivals.into_iter().enumerate() {
            let mut message = message.clone();
            if let (true, Message::RunTask(run)) = (planted && copy > 0, &mut *message) {
                run.offer_id = None;
            }
            let (life, from) = (self.lives, from.clone());
            self.agenda.put(at, Item::AgentMail { agent, life, from, message });
        }
    }

    pub fn mail_from_agent(&mut self, agent: usize, to: &Upid, message: Box<Message>) {
        if !World::is_masters(to.address) || self.swallowed(&message) {
            return;
        }
        let from = Upid::new("slave(1)", self.agents[agent].address);
        let arrivals = self.net.arrivals(Node::Agent(agent), Node::Master, self.now);
        self.lost_on_the_way(Node::Agent(agent), arrivals.is_empty());
        for at in arrivals {
            let item = Item::MasterMail { from: from.clone(), to: to.id.clone(), message: message.clone() };
            self.agenda.put(at, item);
        }
    }

    fn swallowed(&self, message: &Message) -> bool {
        self.plant == Some(Plant::SwallowTerminalUpdates)
            && matches!(message, Message::StatusUpdate(m)
                if crate::checks::is_terminal(m.update.status.state()))
    }

    /// TCP loses nothing while it holds: a message that was lost means a connection that is broken, and both
    /// ends find out, at once or when the wire carries something again.
    pub fn lost_on_the_way(&mut self, node: Node, lost: bool) {
        if !lost {
            return;
        }
        self.count("messages lost");
        if self.net.is_cut(Node::Master, node) {
            self.stalled.insert(node);
        } else {
            self.link_breaks_in(3000, node);
        }
    }

    fn link_breaks_in(&mut self, ms: u64, node: Node) {
        match node {
            Node::Agent(agent) => self.put(0, ms, Item::LinkBreaks { agent }),
            Node::Scheduler(scheduler) => self.put(0, ms, Item::DriverLinkBreaks { scheduler }),
            Node::Master => {}
        }
    }

    /// Wires work again; connections that stalled meanwhile turn out broken.
    pub fn heal(&mut self) {
        self.net.heal();
        for node in std::mem::take(&mut self.stalled) {
            self.link_breaks_in(1000, node);
        }
    }

    /// The connection between master and agent breaks; both ends learn of it.
    pub fn break_link(&mut self, agent: usize) {
        self.count("links broken");
        let address = self.agents[agent].address;
        self.agent_later(agent, 0, 200, agent_core::Event::Exited(master_address()));
        self.master_exited(address);
    }
}
