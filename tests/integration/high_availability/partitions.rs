//! A leader cut off from agents, which the ensemble still hears. (The reverse is in `drills.rs`.)

use serde_json::{Value, json};

use super::{Masters, beside_ours};
use crate::support::proxy::Proxy;
use crate::support::scheduler::{Scheduler, framework, with};
use crate::support::{free_port, get, wait_for};

/// Agents of this master, by a key of its `/state`.
fn count(port: u16, key: &str) -> Option<f64> {
    let state: Value = serde_json::from_str(&get(port, "/state").ok()?).ok()?;
    state[key].as_f64()
}

#[test]
fn a_leader_cut_off_from_agents_leads_on_and_they_return_with_their_tasks() {
    beside_ours("cut off from agents", 1, |ensemble| {
        let (real, agent_port) = (free_port(), free_port());
        // Master and agent know each other by the ports of what is between them.
        let (to_master, to_agent) = (Proxy::to(real), Proxy::to(agent_port));
        let mut masters = Masters::start(&ensemble, 0, &[]);
        let advertised = format!("--advertise_port={}", to_master.port);
        let pings = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2", "--advertise_ip=127.0.0.1"];
        masters.add_on(real, &[&pings[..], &[&advertised]].concat());
        let first = masters.leader();
        // One that would lead if the leader left.
        masters.add(&[]);
        let flags = ["--advertise_ip=127.0.0.1".to_owned(), format!("--advertise_port={}", to_agent.port)];
        let _agent = masters.agent_with(agent_port, &flags);
        masters.wait_for_agent(first);
        let aware = json!({"capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
            "failover_timeout": 600.0, "checkpoint": true});
        let mut aware = Scheduler::subscribe(real, with(framework("aware"), aware));
        let plain = json!({"failover_timeout": 600.0, "checkpoint": true});
        let offer = aware.run("one", "exec sleep 1000");
        aware.until("one", "TASK_RUNNING");
        // The rest is for the other one.
        let rest = aware.offer();
        aware.decline(&rest, 1000.0);
        let mut plain = Scheduler::subscribe(real, with(framework("plain"), plain));
        plain.run("two", "exec sleep 1000");
        plain.until("two", "TASK_RUNNING");

        to_master.cut();
        to_agent.cut();
        assert_eq!(aware.status("one")["state"], "TASK_UNREACHABLE");
        assert_eq!(plain.status("two")["state"], "TASK_LOST");
        assert_eq!(aware.next("FAILURE")["failure"]["agent_id"], offer["agent_id"]);
        assert_eq!(count(real, "unreachable_slaves"), Some(1.0));
        assert_eq!(masters.leader(), first, "it leads on");

        to_master.mend();
        to_agent.mend();
        masters.wait_for_agent(first);
        // Both run on; a framework that is not aware of partitions is told so too, as 1.11 does.
        aware.until("one", "TASK_RUNNING");
        assert_eq!(plain.status("two")["state"], "TASK_RUNNING");
        assert_eq!(count(real, "unreachable_slaves"), Some(0.0));
        assert_eq!(masters.leader(), first);
        for (scheduler, task) in [(&mut aware, "one"), (&mut plain, "two")] {
            scheduler.kill(task);
            wait_for("its end", || (scheduler.status(task)["state"] == "TASK_KILLED").then_some(()));
        }
    });
}
