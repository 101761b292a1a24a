//! A master that is killed and started again knows its agents; a registry that cannot be read is refused.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Cluster, Process, free_port, get, mesos, wait_for};

fn start_master(cluster: &Cluster, work_dir: &Path) -> Process {
    let master = Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        "--hostname=localhost".to_owned(),
        format!("--port={}", cluster.port),
        format!("--work_dir={}", work_dir.display()),
    ]);
    wait_for("the master", || cluster.get("/health").ok());
    master
}

fn ids(list: &Value) -> Vec<String> {
    let id = |agent: &Value| agent["id"].as_str().or(agent["id"]["value"].as_str()).map(str::to_owned);
    let mut ids: Vec<String> = list.as_array().into_iter().flatten().filter_map(id).collect();
    ids.sort();
    ids
}

fn registry(cluster: &Cluster) -> Value {
    cluster.json("/registrar(1)/registry").expect("a registry")
}

fn admitted(cluster: &Cluster) -> Vec<String> {
    let agents = registry(cluster)["slaves"]["slaves"].clone();
    let infos = agents.as_array().into_iter().flatten().map(|agent| agent["info"].clone());
    ids(&infos.collect())
}

#[test]
fn a_killed_master_knows_its_agents() {
    let work = tempfile::tempdir().unwrap();
    let flag = format!("--work_dir={}", work.path().display());
    let mut cluster = Cluster::start_with(2, &[&flag], &[]);
    let known = ids(&cluster.json("/slaves").unwrap()["slaves"]);
    assert_eq!(admitted(&cluster), known);
    cluster.master.kill();
    // One agent goes too, and the other comes back to whoever leads.
    let lost = cluster.agents.len() - 1;
    cluster.agents[lost].kill();
    cluster.master = start_master(&cluster, work.path());
    let state = wait_for("the other agent", || {
        cluster.json("/state").filter(|state| state["slaves"].as_array().is_some_and(|all| all.len() == 1))
    });
    let (back, waiting) = (ids(&state["slaves"]), ids(&state["recovered_slaves"]));
    let mut all = [back.clone(), waiting.clone()].concat();
    all.sort();
    assert_eq!((all, waiting.len()), (known.clone(), 1), "the ids they had");
    assert_eq!(admitted(&cluster), known);
    let shown = registry(&cluster);
    assert_eq!(shown["master"]["info"]["id"], state["id"]);

    // What an operator says of the one that is missing outlives the next master as well.
    let call = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": waiting[0]}}});
    let answer = ureq::post(format!("http://{}/api/v1", cluster.address()))
        .header("Content-Type", "application/json")
        .send(call.to_string())
        .unwrap();
    assert_eq!(answer.status(), 200);
    cluster.master.kill();
    cluster.master = start_master(&cluster, work.path());
    wait_for("the agent", || (ids(&cluster.json("/slaves")?["slaves"]) == back).then_some(()));
    assert_eq!(ids(&cluster.json("/state").unwrap()["recovered_slaves"]), [""; 0]);
    let shown = registry(&cluster);
    assert_eq!(ids(&shown["gone"]["slaves"]), waiting);
    assert_eq!(admitted(&cluster), back);
}

#[test]
fn a_folder_belongs_to_one_master() {
    let work = tempfile::tempdir().unwrap();
    let flag = format!("--work_dir={}", work.path().display());
    let cluster = Cluster::start_with(0, &[&flag], &[]);
    let port = format!("--port={}", free_port());
    let second = mesos(&["master", "--ip=127.0.0.1", "--hostname=localhost", &port, &flag]);
    assert_eq!(second.status, Some(1));
    let file = work.path().join("registry.redb").display().to_string();
    assert!(second.err.contains("in use by another process") && second.err.contains(&file), "{}", second.err);
    assert_eq!(cluster.json("/flags").unwrap()["flags"]["registry"], "local");
}

#[test]
fn a_damaged_registry_is_refused() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("registry.redb");
    let flag = format!("--work_dir={}", work.path().display());
    drop(Cluster::start_with(1, &[&flag], &[]));
    let whole = fs::read(&file).unwrap();
    for bytes in [&whole[..whole.len() / 3], b"nonsense", b""] {
        fs::write(&file, bytes).unwrap();
        let port = format!("--port={}", free_port());
        let ended = mesos(&["master", "--ip=127.0.0.1", "--hostname=localhost", &port, &flag]);
        assert_eq!(ended.status, Some(1), "{}", ended.err);
        let sentence = format!("the registry in {} is damaged", file.display());
        assert!(ended.err.contains(&sentence) && ended.err.contains("move it away"), "{}", ended.err);
    }
}

#[test]
fn what_a_replicated_log_was_configured_with_is_taken() {
    let work = tempfile::tempdir().unwrap();
    let flag = format!("--work_dir={}", work.path().display());
    let port = free_port();
    let master = Process::start(&[
        "master",
        "--ip=127.0.0.1",
        "--hostname=localhost",
        &format!("--port={port}"),
        "--registry=replicated_log",
        "--quorum=1",
        &flag,
    ]);
    wait_for("the master", || get(port, "/health").ok());
    wait_for("the database", || work.path().join("registry.redb").exists().then_some(()));
    let log = wait_for("the log", || {
        let log = master.log();
        log.iter().any(|line| line.contains("recovered the registry")).then_some(log)
    });
    let lines: Vec<_> = log.iter().filter(|line| line.contains("replicated")).collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    assert!(lines[0].contains("--registry=replicated_log --quorum: there is no replicated log here"));
}

fn tool(args: &[&str]) -> crate::support::Finished {
    mesos(&[&["registry"], args].concat())
}

#[test]
fn a_registry_is_dumped_restored_and_moved() {
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).display().to_string();
    let (first, second, third) = (path("first"), path("second"), path("third"));
    let flag = format!("--work_dir={first}");
    let cluster = Cluster::start_with(2, &[&flag], &[]);
    let shown = registry(&cluster);
    let busy = tool(&["dump", &first]);
    assert!(busy.status == Some(1) && busy.err.contains("in use by another process"), "{busy:?}");
    drop(cluster);
    let dump = tool(&["dump", &first]);
    assert_eq!(dump.status, Some(0), "{}", dump.err);
    assert_eq!(serde_json::from_str::<Value>(&dump.out).unwrap(), shown);
    let file = path("dump.json");
    fs::write(&file, &dump.out).unwrap();

    let restored = tool(&["restore", &second, &file]);
    let said =
        format!("{second}/registry.redb: 2 admitted, 0 unreachable, 0 gone agents; 3 records in all\n");
    assert_eq!((restored.status, restored.out), (Some(0), said));
    assert_eq!(tool(&["dump", &second]).out, dump.out);
    let again = tool(&["restore", &second, &file]);
    assert!(again.status == Some(1) && again.err.contains("is not empty: it has 2 records"), "{again:?}");
    assert_eq!(tool(&["migrate", &second, &third]).status, Some(0));
    assert_eq!(tool(&["dump", &third]).out, dump.out);

    for (args, expected) in [
        (vec!["dump", &path("none")], "No such file"),
        (vec!["restore", &path("new"), &path("none")], "No such file"),
        (vec!["migrate", &path("none"), &path("new")], "No such file"),
    ] {
        let refused = tool(&args);
        assert!(refused.status == Some(1) && refused.err.contains(expected), "{refused:?}");
    }
    fs::write(&file, "{\"slaves\": 3}").unwrap();
    let refused = tool(&["restore", &path("new"), &file]);
    assert!(refused.status == Some(1) && refused.err.contains("is no registry in JSON"), "{refused:?}");
    assert_eq!(tool(&["dump"]).status, Some(2));
}
