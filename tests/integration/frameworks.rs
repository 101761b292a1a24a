//! Frameworks among each other and across failures: weights, roles, reservations, offers held too long,
//! schedulers and agents that vanish.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, Process, wait_for};

fn partition_aware(name: &str) -> Value {
    with(framework(name), json!({"capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]}))
}

fn state(cluster: &Cluster) -> Value {
    wait_for("/state", || cluster.json("/state"))
}

/// Sum of one scalar of an offer, whatever it is reserved for.
fn amount(offer: &Value, name: &str) -> f64 {
    let resources = offer["resources"].as_array().expect("resources");
    let named = resources.iter().filter(|resource| resource["name"] == name);
    named.map(|resource| resource["scalar"]["value"].as_f64().expect("a scalar")).sum()
}

#[test]
fn a_role_that_is_not_listed_is_refused() {
    let cluster = Cluster::start_with(0, &["--roles=web,batch"], &[]);
    Scheduler::subscribe(cluster.port, with(framework("listed"), json!({"roles": ["web"]})));
    Scheduler::subscribe(cluster.port, framework("everybody's"));
    let why =
        Scheduler::try_subscribe(cluster.port, with(framework("other"), json!({"roles": ["web", "other"]})));
    let why = why.err().expect("refused");
    assert!(why.contains("ERROR") && why.contains("other"), "{why}");
}

#[test]
fn root_is_refused_where_it_may_not_submit() {
    let cluster = Cluster::start_with(0, &["--no-root_submissions"], &[]);
    let why = Scheduler::try_subscribe(cluster.port, with(framework("root"), json!({"user": "root"})));
    let why = why.err().expect("refused");
    assert!(
        why.contains("ERROR")
            && why.contains("is not allowed to run frameworks without --root_submissions set"),
        "{why}"
    );
    Scheduler::subscribe(cluster.port, with(framework("somebody"), json!({"user": "nobody"})));
}

#[test]
fn offers_held_too_long_are_rescinded() {
    let cluster = Cluster::start_with(1, &["--offer_timeout=500ms"], &[]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("holding"));
    let offer = scheduler.offer();
    let rescinded = scheduler.next("RESCIND");
    assert_eq!(rescinded["rescind"]["offer_id"], offer["id"]);
    // What was held goes out again, and can be used.
    scheduler.run("after", "true");
    scheduler.until("after", "TASK_FINISHED");
}

#[test]
fn reserved_resources_go_to_their_role() {
    let resources = "--resources=cpus(web):1;cpus:1;mem(web):512;mem:512;disk:1024;ports(web):[8000-8010];ports:[31000-31100]";
    let cluster = Cluster::start_with(1, &[], &[resources]);
    let mut other = Scheduler::subscribe(cluster.port, with(framework("other"), json!({"roles": ["batch"]})));
    let offer = other.offer();
    assert_eq!((amount(&offer, "cpus"), amount(&offer, "mem")), (1.0, 512.0), "{offer}");
    let mut web = Scheduler::subscribe(cluster.port, with(framework("web"), json!({"roles": ["web"]})));
    let offer = web.offer();
    assert_eq!((amount(&offer, "cpus"), amount(&offer, "mem")), (1.0, 512.0), "{offer}");
    assert_eq!(offer["allocation_info"]["role"], "web");
    let agent = &state(&cluster)["slaves"][0];
    assert_eq!(agent["reserved_resources"]["web"]["cpus"], 1.0);
    assert_eq!(agent["reserved_resources"]["web"]["ports"], "[8000-8010]");
    assert_eq!(agent["unreserved_resources"]["cpus"], 1.0);
    drop(other);
    // Once nobody else wants them, the unreserved ones come as well.
    web.decline(&offer, 0.0);
    let mut seen = (0.0, 0.0);
    wait_for("both", || {
        let offer = web.offer();
        let all = amount(&offer, "cpus");
        seen = (seen.0 + all, 0.0);
        (all >= 2.0 || seen.0 >= 2.0).then_some(())
    });
}

#[test]
fn default_role_and_attributes() {
    let cluster = Cluster::start_with(
        1,
        &[],
        &["--default_role=web", "--attributes=rack:r1;level:2.5;span:[1-3];kind:{a,b}"],
    );
    let agent = &state(&cluster)["slaves"][0];
    assert_eq!(agent["reserved_resources"]["web"]["cpus"], 4.0);
    assert_eq!(agent["attributes"]["rack"], "r1");
    assert_eq!(agent["attributes"]["level"], 2.5);
    let mut scheduler = Scheduler::subscribe(cluster.port, with(framework("web"), json!({"roles": ["web"]})));
    let offer = scheduler.offer();
    let names: Vec<&Value> = offer["attributes"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["rack", "level", "span", "kind"]);
}

#[test]
fn weights_share_agents_out() {
    // 12 agents of one cpu; offers are of whole agents, so three to one is nine to three.
    let weights = ["--weights=gold=3,plain=1", "--allocation_interval=100ms"];
    let cluster = Cluster::start_with(4, &weights, &["--resources=cpus:1;mem:512;disk:1024"]);
    let subscribe =
        |role: &str| Scheduler::subscribe(cluster.port, with(framework(role), json!({"roles": [role]})));
    let (mut gold, mut plain) = (subscribe("gold"), subscribe("plain"));
    // Whoever came first may hold more: both give all back, keeping off for a moment.
    let shares = || {
        let state = state(&cluster);
        let of = |role: &str| {
            let frameworks = state["frameworks"].as_array()?;
            frameworks.iter().find(|f| f["name"] == role)?["offers"].as_array().map(Vec::len)
        };
        Some((of("gold")?, of("plain")?))
    };
    wait_for("three to one", || {
        let now = shares()?;
        if now == (3, 1) {
            return Some(());
        }
        if now.0 + now.1 == 4 {
            for scheduler in [&mut gold, &mut plain] {
                for event in scheduler.all_within("OFFERS", Duration::from_millis(50)) {
                    for offer in event["offers"]["offers"].as_array().unwrap() {
                        scheduler.decline(offer, 0.0);
                    }
                }
            }
        }
        None
    });
    let state = wait_for("roles", || cluster.json("/roles"));
    let gold_role =
        state["roles"].as_array().unwrap().iter().find(|role| role["name"] == "gold").expect("listed");
    assert_eq!(gold_role["weight"], 3.0);
}

#[test]
fn two_frameworks_share_a_cluster() {
    let cluster = Cluster::start(2);
    let mut first = Scheduler::subscribe(cluster.port, framework("first"));
    let mut second = Scheduler::subscribe(cluster.port, framework("second"));
    // Whoever was first may hold all: it takes a task's worth and gives the rest back.
    for (scheduler, name) in [(&mut first, "one"), (&mut second, "two")] {
        scheduler.run(name, "sleep 1000");
        scheduler.until(name, "TASK_RUNNING");
        for event in scheduler.all_within("OFFERS", Duration::from_millis(100)) {
            for offer in event["offers"]["offers"].as_array().unwrap() {
                scheduler.decline(offer, 1000.0);
            }
        }
    }
    let both = state(&cluster);
    assert_eq!(both["frameworks"].as_array().map(Vec::len), Some(2));
    // One ends and the other goes on.
    first.teardown();
    wait_for("one framework", || (state(&cluster)["frameworks"].as_array()?.len() == 1).then_some(()));
    second.kill("two");
    second.until("two", "TASK_KILLED");
}

#[test]
fn the_whitelist_is_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let list = dir.path().join("whitelist");
    fs::write(&list, "elsewhere.example\n").unwrap();
    let flag = format!("--whitelist=file://{}", list.display());
    let cluster = Cluster::start_with(1, &[&flag], &[]);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("listed"));
    let offers = scheduler.all_within("OFFERS", Duration::from_secs(2));
    assert!(offers.is_empty(), "{offers:?}");
    fs::write(&list, "elsewhere.example\nlocalhost\n").unwrap();
    let offer = scheduler.offer();
    assert_eq!(offer["hostname"], "localhost");
    // A list that is gone for a moment changes nothing and ends nobody.
    fs::remove_file(&list).unwrap();
    scheduler.decline(&offer, 0.0);
    assert!(!state(&cluster)["slaves"].as_array().unwrap().is_empty());
}

#[test]
fn a_scheduler_that_stays_away_loses_its_tasks() {
    let cluster = Cluster::start(1);
    let info = with(framework("away"), json!({"failover_timeout": 1.0}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info);
    scheduler.run("long", "sleep 1000");
    scheduler.until("long", "TASK_RUNNING");
    let id = scheduler.framework_id.clone();
    scheduler.hang_up();
    let completed = wait_for("its end", || {
        let state = state(&cluster);
        let completed = state["completed_frameworks"].as_array()?.iter().find(|f| f["id"] == id)?.clone();
        state["frameworks"].as_array()?.is_empty().then_some(completed)
    });
    assert_eq!(completed["completed_tasks"][0]["id"], "long");
    assert_eq!(completed["active"], false);
    // The agent kills them too, and gives the resources back.
    wait_for("nothing left on the agent", || {
        let port = cluster.agent_ports[0];
        let agent: Value = serde_json::from_str(&crate::support::get(port, "/state").ok()?).ok()?;
        let free = state(&cluster)["slaves"][0]["used_resources"]["cpus"] == 0.0;
        (agent["frameworks"] == json!([]) && free).then_some(())
    });
    // Its name is used up.
    let again = with(framework("away"), json!({"id": {"value": id}}));
    let why = Scheduler::try_subscribe(cluster.port, again).err().expect("refused");
    assert!(why.contains("Framework has been removed"), "{why}");
}

#[test]
fn a_scheduler_that_returns_keeps_its_tasks() {
    let cluster = Cluster::start(1);
    let info = with(framework("back"), json!({"failover_timeout": 1000.0}));
    let mut scheduler = Scheduler::subscribe(cluster.port, info.clone());
    scheduler.run("long", "sleep 1000");
    scheduler.until("long", "TASK_RUNNING");
    let id = scheduler.framework_id.clone();
    scheduler.hang_up();
    wait_for("the disconnection", || (state(&cluster)["frameworks"][0]["connected"] == false).then_some(()));
    let info = with(info, json!({"id": {"value": id}}));
    let mut second = Scheduler::subscribe(cluster.port, info.clone());
    assert_eq!(second.framework_id, id);
    // A third takes over from the second, which hears of it and is cut off.
    let mut third = Scheduler::subscribe(cluster.port, info);
    let error = second.next("ERROR");
    assert_eq!(error["error"]["message"], "Framework failed over");
    second.ends();
    let refused = second.call(json!({"type": "KILL", "kill": {"task_id": {"value": "long"}}}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    third.call(json!({"type": "RECONCILE", "reconcile": {"tasks": []}}));
    assert_eq!(third.status("long")["state"], "TASK_RUNNING");
    third.kill("long");
    third.until("long", "TASK_KILLED");
}

#[test]
fn an_agent_that_dies_is_noticed() {
    let pings = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2"];
    let mut cluster = Cluster::start_with(1, &pings, &[]);
    let mut old = Scheduler::subscribe(cluster.port, with(framework("old"), json!({"checkpoint": true})));
    let mut new =
        Scheduler::subscribe(cluster.port, with(partition_aware("new"), json!({"checkpoint": true})));
    for (scheduler, name) in [(&mut old, "lost"), (&mut new, "unreachable")] {
        let offer = scheduler.run(name, "sleep 1000");
        scheduler.until(name, "TASK_RUNNING");
        assert_eq!(offer["hostname"], "localhost");
        for event in scheduler.all_within("OFFERS", Duration::from_millis(300)) {
            for offer in event["offers"]["offers"].as_array().unwrap() {
                scheduler.decline(offer, 1000.0);
            }
        }
    }
    let agent_id = state(&cluster)["slaves"][0]["id"].clone();
    cluster.agents[0].kill();
    let status = old.status("lost");
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("TASK_LOST"), &json!("REASON_AGENT_REMOVED")),
        "{status}"
    );
    let status = new.status("unreachable");
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("TASK_UNREACHABLE"), &json!("REASON_AGENT_REMOVED")),
        "{status}"
    );
    let failure = new.next("FAILURE");
    assert_eq!(failure["failure"]["agent_id"]["value"], agent_id);
    let after = state(&cluster);
    assert_eq!((&after["activated_slaves"], &after["unreachable_slaves"]), (&json!(0.0), &json!(1.0)));
    assert_eq!(after["slaves"], json!([]));
    let unreachable = after["frameworks"].as_array().unwrap().iter().find(|f| f["name"] == "new").unwrap();
    assert_eq!(unreachable["unreachable_tasks"][0]["id"], "unreachable");

    // A new agent on the same machine is another one, and takes tasks. Recovery of the old is not there yet.
    let args = [
        "slave".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={}", cluster.agent_ports[0]),
        format!("--master={}", cluster.address()),
        format!("--work_dir={}", cluster.dir.path().join("another").display()),
        "--resources=cpus:4;mem:2048".to_owned(),
        "--registration_backoff_factor=10ms".to_owned(),
    ];
    cluster.agents.push(Process::start(&args));
    let found = wait_for("another agent", || {
        let state = state(&cluster);
        let agent = state["slaves"].as_array()?.iter().find(|agent| agent["active"] == true)?;
        Some(agent["id"].clone())
    });
    assert_ne!(found, agent_id);
    new.run("again", "true");
    new.until("again", "TASK_FINISHED");
}

/// A stopped agent answers no pings; resumed, it is heard again, and its tasks with it.
#[test]
fn an_agent_that_was_silent_returns() {
    let pings = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2"];
    let cluster = Cluster::start_with(1, &pings, &[]);
    let mut scheduler =
        Scheduler::subscribe(cluster.port, with(partition_aware("patient"), json!({"checkpoint": true})));
    scheduler.run("task", "sleep 1000");
    scheduler.until("task", "TASK_RUNNING");
    let pid = cluster.agents[0].pid() as i32;
    let agent_id = state(&cluster)["slaves"][0]["id"].clone();
    // SAFETY: plain kill(2) on a child that was not waited for.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    let status = scheduler.status("task");
    // SAFETY: as above.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    assert_eq!(status["state"], "TASK_UNREACHABLE", "{status}");
    wait_for("its return", || {
        let state = state(&cluster);
        let agent = &state["slaves"][0];
        (agent["id"] == agent_id && agent["active"] == true).then_some(())
    });
    let back = scheduler.until("task", "TASK_RUNNING").pop().expect("a status");
    assert_eq!(back["state"], "TASK_RUNNING");
    scheduler.kill("task");
    scheduler.until("task", "TASK_KILLED");
}

#[test]
fn an_agent_that_ends_well_says_so() {
    let mut cluster = Cluster::start(2);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("left"));
    let mut first = cluster.agents.remove(0);
    assert!(matches!(first.terminate(), None | Some(0)), "ends on SIGTERM");
    drop(first);
    // Its connection is gone at once; its tasks would be given time.
    let other = wait_for("one agent less", || {
        let state = state(&cluster);
        let mut active = state["slaves"].as_array()?.iter().filter(|agent| agent["active"] == true);
        active.next().filter(|_| active.next().is_none()).map(|agent| agent["id"].clone())
    });
    // What was offered of the agent that left is rescinded.
    let offer = loop {
        let offer = scheduler.offer();
        if offer["agent_id"]["value"] == other {
            break offer;
        }
    };
    scheduler.launch(&offer, &[command_task("left", &offer, "true")]);
    scheduler.until("left", "TASK_FINISHED");
    assert!(matches!(cluster.master.terminate(), None | Some(0)), "ends on SIGTERM");
}

/// The master dies and another takes its port: agents and schedulers find it.
#[test]
fn a_new_master_is_joined() {
    let mut cluster = Cluster::start(1);
    let mut scheduler = Scheduler::subscribe(
        cluster.port,
        with(partition_aware("across"), json!({"failover_timeout": 1000.0, "checkpoint": true})),
    );
    scheduler.run("task", "sleep 1000");
    scheduler.until("task", "TASK_RUNNING");
    let id = scheduler.framework_id.clone();
    cluster.master.kill();
    scheduler.ends();
    let args = [
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={}", cluster.port),
        "--allocation_interval=200ms".to_owned(),
    ];
    cluster.master = Process::start(&args);
    wait_for("health", || cluster.get("/health").ok());
    let info = with(
        partition_aware("across"),
        json!({"id": {"value": id}, "failover_timeout": 1000.0, "checkpoint": true}),
    );
    let mut again = Scheduler::subscribe(cluster.port, info);
    assert_eq!(again.framework_id, id);
    wait_for("the agent with its task", || {
        let state = state(&cluster);
        let task = &state["frameworks"].as_array()?.iter().find(|f| f["id"] == id)?["tasks"][0];
        (task["id"] == "task" && task["state"] == "TASK_RUNNING").then_some(())
    });
    again.kill("task");
    again.until("task", "TASK_KILLED");
}
