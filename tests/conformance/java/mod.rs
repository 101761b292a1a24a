//! Java's drivers, by the classes of mesos-1.4.3 that pyspark carries and our libmesos.so: a scheduler and an executor
//! after Hadoop's, what drivers return and refuse, and very many callbacks. Java checks our use of JNI meanwhile.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::libmesos::ours;
use crate::support::{Cluster, Finished, Process, cache_dir, finished, get, open_to_all, wait_for};
use crate::{peer, spark};

/// The class path of the programs here; none, said out loud, where Java's side cannot be had.
fn classes() -> Option<&'static str> {
    static CLASSES: OnceLock<Option<String>> = OnceLock::new();
    let made = CLASSES.get_or_init(|| {
        let jar = spark::installation()?.join("jars/mesos-1.4.3-shaded-protobuf.jar");
        let folder = cache_dir("java");
        std::fs::create_dir_all(&folder).expect("a folder");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/java");
        let mut command = Command::new("javac");
        command.args(["-Xlint:all,-deprecation", "-Werror", "-d"]).arg(&folder).arg("-cp").arg(&jar);
        command.args(["Tracker.java", "JobTracker.java"].map(|name| sources.join(name)));
        let done = finished(command);
        assert_eq!(done.status, Some(0), "{}", done.err);
        Some(format!("{}:{}", jar.display(), folder.display()))
    });
    made.as_deref()
}

fn java(classes: &str, options: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LIBPROCESS_IP", "127.0.0.1")
        .env("MESOS_NATIVE_JAVA_LIBRARY", ours::library())
        .args(["-Xcheck:jni", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(options)
        .args(["-cp", classes, "JobTracker"])
        .args(arguments);
    command
}

fn run(classes: &str, options: &[&str], arguments: &[&str]) -> Finished {
    let done = finished(java(classes, options, arguments));
    assert_eq!(done.status, Some(0), "{}", done.err);
    assert!(!done.out.contains("WARNING"), "{}", done.out);
    done
}

/// The command of an executor, and what it has to fetch.
fn tracker(classes: &str, dir: &Path) -> (String, String) {
    open_to_all(dir);
    let conf = dir.join("job.conf");
    std::fs::write(&conf, "slots").unwrap();
    let command = format!("exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp {classes} Tracker");
    (command, format!("file://{}", conf.display()))
}

/// An executor that lives long and is sent tasks one by one, is spoken to, dies and is replaced; with its framework it
/// ends.
#[test]
fn a_tracker_after_hadoops() {
    let Some(classes) = classes() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (tracker, uri) = tracker(classes, dir.path());
    peer::beside_ours("a_tracker_after_hadoops", 1, &[], |cluster| {
        run(classes, &[], &["tracker", &cluster.address(), &tracker, &uri]);
        wait_for("the executor's end", || {
            let state: Value = serde_json::from_str(&get(cluster.agent_ports[0], "/state").ok()?).ok()?;
            (state["frameworks"] == Value::Array(vec![])).then_some(())
        });
    });
}

/// An agent is killed under an executor of a framework with checkpoints; the executor says something meanwhile.
#[test]
fn a_tracker_outlives_its_agent() {
    let Some(classes) = classes() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (tracker, uri) = tracker(classes, dir.path());
    let mut cluster = Cluster::start(1);
    let (file, sent) = (dir.path().join("file"), dir.path().join("file.sent"));
    let command =
        java(classes, &[], &["outlives", &cluster.address(), &tracker, &uri, file.to_str().unwrap()]);
    let mut scheduler = Process::of(command, "JobTracker".to_owned());
    wait_for("a task", || {
        let state = cluster.json("/state")?;
        (state["frameworks"][0]["tasks"][0]["state"] == "TASK_RUNNING").then_some(())
    });
    cluster.agents[0].kill();
    std::fs::write(&file, "").unwrap();
    wait_for("an update", || sent.exists().then_some(()));
    std::fs::remove_file(&sent).unwrap();
    cluster.restart_agent(0, &[]);
    wait_for("the scheduler's end", || (!scheduler.running()).then_some(()));
    assert_eq!(scheduler.terminate(), Some(0));
}

#[test]
fn what_drivers_return_and_refuse() {
    let Some(classes) = classes() else { return };
    peer::beside_ours("what_drivers_return_and_refuse", 1, &[], |cluster| {
        let done = run(classes, &[], &["manners", &cluster.address()]);
        assert!(done.err.contains("java.lang.IllegalStateException: thrown on purpose"), "{}", done.err);
    });
}

/// With so little room no reference may be left behind; `UPDATES=1000000` for more.
#[test]
fn very_many_callbacks() {
    let Some(classes) = classes() else { return };
    let cluster = Cluster::start(0);
    let updates = std::env::var("UPDATES").unwrap_or_else(|_| "100000".to_owned());
    let done = run(classes, &["-Xmx32m"], &["many", &cluster.address(), &updates]);
    eprintln!("java: {}", done.out.trim());
}
