//! Spark 3.5.9 of PyPI, unmodified, with our libmesos.so on our cluster: what the tutorial does with it, and what
//! goes wrong in a day.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::elections::{Pair, ZK_SESSION};
use crate::libmesos::ours;
use crate::support::ensembles::Ensemble;
use crate::support::{Cluster, Process, cache_dir, get, wait_for};

/// The exit status of a `setup` whose package cannot be had on this machine.
const NOT_TO_BE_HAD: i32 = 77;

/// A job has to start virtual machines, on a machine that tests much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// The installation; none, said out loud, where it cannot be had.
pub fn installation() -> Option<PathBuf> {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/spark/setup");
    let output = Command::new(setup).arg(cache_dir("spark-3.5.9")).output().expect("setup runs");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(NOT_TO_BE_HAD) {
        eprintln!("SKIPPED, Spark is not to be had: {said}");
        return None;
    }
    assert!(output.status.success(), "spark setup: {said}");
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// A driver of Spark's with its job; ended with all its processes when dropped.
struct Shell {
    process: Process,
    /// Where the job says what it comes to.
    file: tempfile::NamedTempFile,
    /// Lines of it that were looked at.
    seen: usize,
}

impl Shell {
    /// With a master as libmesos names it, or Spark's own `local[N]`.
    fn submit(home: &Path, master: &str, settings: &[(&str, &str)], job: &[&str]) -> Shell {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(home.join("bin/spark-submit"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SPARK_HOME", home)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("LIBPROCESS_IP", "127.0.0.1")
            .env("JOB_SAYS", file.path())
            .env("MESOS_NATIVE_JAVA_LIBRARY", ours::library())
            .arg("--master")
            .arg(if master.starts_with("local[") { master.to_owned() } else { format!("mesos://{master}") });
        let usual = [
            ("spark.ui.enabled", "false"),
            ("spark.executor.memory", "512m"),
            ("spark.driver.memory", "512m"),
            ("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
            ("spark.executor.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
        ];
        for (name, value) in usual.iter().chain(settings) {
            command.args(["--conf", &format!("{name}={value}")]);
        }
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/spark/jobs.py")).args(job);
        Shell { process: Process::of(command, "spark-submit".to_owned()), file, seen: 0 }
    }

    /// The rest of the next line of the job that begins so; figures on the way are passed on.
    fn says(&mut self, what: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            // Asked first: what it said before it ended is there then.
            let runs = self.process.running();
            let all = fs::read_to_string(self.file.path()).unwrap();
            // A line that has no end yet is being written.
            let whole = all.rfind('\n').map_or("", |end| &all[..end]);
            while let Some(said) = whole.lines().nth(self.seen) {
                self.seen += 1;
                if said.starts_with("took") {
                    eprintln!("spark: {said}");
                }
                if let Some(rest) = said.strip_prefix(what) {
                    return rest.trim().to_owned();
                }
            }
            assert!(runs, "it ended before it said {what}");
            assert!(Instant::now() < end, "it never said {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The count of `text` and Pi, as they have to be.
    fn counts(&mut self) {
        assert_eq!(self.says("words"), WORDS);
        let pi: f64 = self.says("pi").parse().expect("a number");
        assert!((3.0..3.3).contains(&pi), "{pi}");
    }

    fn ends(mut self) {
        self.says("stopped");
        let end = Instant::now() + PATIENCE;
        while self.process.running() {
            assert!(Instant::now() < end, "it never ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.process.terminate(), Some(0));
    }

    /// kill -9, of the virtual machine and of the Python beside it.
    fn kill(&mut self) {
        let group = i32::try_from(self.process.pid()).expect("a pid");
        // SAFETY: plain kill(2) on the group of a child that was not waited for.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        self.process.kill();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if self.process.running() {
            self.kill();
        }
    }
}

/// All words, the most frequent one, and how often it comes.
const WORDS: &str = "4200 the 900";

fn text(dir: &Path) -> String {
    let path = dir.join("text.txt");
    fs::write(&path, "the quick brown fox jumps over the lazy dog and the end of it\n".repeat(300)).unwrap();
    path.display().to_string()
}

fn of_master(port: u16, path: &str) -> Option<Value> {
    serde_json::from_str(&get(port, path).ok()?).ok()
}

/// A framework as the master shows it, when it is as it should be.
fn framework(port: u16, list: &str, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let state = of_master(port, "/state").unwrap_or_default();
        let found = state[list].as_array().into_iter().flatten().find(|one| one["id"] == id);
        if let Some(found) = found.filter(|one| fits(one)) {
            return found.clone();
        }
        assert!(Instant::now() < end, "{state}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn states(framework: &Value, list: &str) -> Vec<String> {
    let tasks = framework[list].as_array().into_iter().flatten();
    tasks.map(|task| task["state"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Coarse-grained, through ZooKeeper, in a role, on agents of a rack: the tutorial's jobs, twenty in a row, one during
/// which the leader dies, and one whose executor does.
#[test]
fn a_day_of_spark() {
    let Some(home) = installation() else { return };
    let Some(ensemble) = Ensemble::zookeeper("Spark through ZooKeeper", 1) else { return };
    let mut pair = Pair::start(&ensemble, ZK_SESSION);
    let master = format!("--master={}", ensemble.url());
    pair.cluster.add_agent(1, &[&master, "--attributes=rack:one"]);
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("flag");
    let settings = [
        ("spark.mesos.executor.home", home.to_str().unwrap()),
        ("spark.mesos.role", "analysts"),
        ("spark.mesos.constraints", "rack:one"),
        ("spark.mesos.task.labels", "stage:test"),
        ("spark.cores.max", "2"),
        ("spark.app.name", "a day"),
    ];
    let job = ["day", &text(dir.path()), flag.to_str().unwrap()];
    let mut shell = Shell::submit(&home, &ensemble.url(), &settings, &job);
    let id = shell.says("began");
    let shown = framework(pair.cluster.port, "frameworks", &id, |it| !states(it, "tasks").is_empty());
    assert_eq!(
        (&shown["name"], &shown["role"], &shown["active"]),
        (&"a day".into(), &"analysts".into(), &true.into())
    );
    let task = &shown["tasks"][0];
    assert_eq!((&task["resources"]["cpus"], &task["labels"][0]["key"]), (&2.0.into(), &"stage".into()));
    let agents = of_master(pair.cluster.port, "/slaves").unwrap();
    let agent =
        agents["slaves"].as_array().unwrap().iter().find(|agent| agent["id"] == task["slave_id"]).unwrap();
    assert_eq!(agent["attributes"]["rack"], "one", "constraints count");
    shell.counts();
    assert_eq!(shell.says("twenty"), "True");

    shell.says("under-way");
    pair.cluster.master.kill();
    framework(pair.standby, "frameworks", &id, |it| {
        it["active"] == true && states(it, "tasks") == ["TASK_RUNNING"]
    });
    fs::write(&flag, "").unwrap();
    assert_eq!(shell.says("through"), "1");
    assert_eq!(
        shell.says("survived"),
        "6",
        "Spark tries again, on an executor that it gets from the new leader"
    );
    shell.ends();
    let done = framework(pair.standby, "completed_frameworks", &id, |_| true);
    let mut ends = states(&done, "completed_tasks");
    ends.sort();
    assert_eq!(ends, ["TASK_FAILED", "TASK_FINISHED"]);
}

/// Each of Spark's tasks is one of Mesos', in executors that are written on our executor driver.
#[test]
fn fine_grained_mode() {
    let Some(home) = installation() else { return };
    let cluster = Cluster::start(1);
    let library = ours::library().display().to_string();
    let settings = [
        ("spark.mesos.coarse", "false"),
        ("spark.mesos.executor.home", home.to_str().unwrap()),
        ("spark.executorEnv.MESOS_NATIVE_JAVA_LIBRARY", &library),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Shell::submit(&home, &cluster.address(), &settings, &["count", &text(dir.path())]);
    let id = shell.says("began");
    shell.counts();
    shell.ends();
    let done = framework(cluster.port, "completed_frameworks", &id, |_| true);
    let ends = states(&done, "completed_tasks");
    assert!(ends.len() > 10 && ends.iter().all(|end| end == "TASK_FINISHED"), "{ends:?}");
}

/// An archive as the tutorial packs it, for executors to fetch; its configuration says where the bulk of it is.
fn archive(home: &Path, path: &Path) {
    let packed = flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(packed);
    builder.append_dir_all("spark/bin", home.join("bin")).unwrap();
    let script = format!("export SPARK_HOME={}\n", home.display());
    let mut header = tar::Header::new_gnu();
    header.set_size(script.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    builder.append_data(&mut header, "spark/conf/spark-env.sh", script.as_bytes()).unwrap();
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).unwrap();
}

/// The tutorial's drill: without its archive every executor fails, and its sandbox says why; with it they count. Then
/// the shell is killed: its tasks end with its framework, whose time to come back is none.
#[test]
fn an_archive_that_was_moved_and_a_shell_that_was_killed() {
    let Some(home) = installation() else { return };
    let cluster = Cluster::start(1);
    let dir = tempfile::tempdir().unwrap();
    crate::support::open_to_all(dir.path());
    let (place, moved) = (dir.path().join("spark.tgz"), dir.path().join("_spark.tgz"));
    archive(&home, &moved);
    let uri = format!("file://{}", place.display());
    let settings = [("spark.executor.uri", uri.as_str()), ("spark.cores.max", "2")];
    let text = text(dir.path());
    let mut shell = Shell::submit(&home, &cluster.address(), &settings, &["stay", &text]);
    let id = shell.says("began");
    let shown = framework(cluster.port, "frameworks", &id, |it| states(it, "completed_tasks").len() >= 2);
    assert!(states(&shown, "completed_tasks").iter().all(|state| state == "TASK_FAILED"), "{shown}");
    let task = &shown["completed_tasks"][0];
    let sandbox = cluster.dir.path().join("agent0/slaves").join(task["slave_id"].as_str().unwrap());
    let sandbox = sandbox.join("frameworks").join(&id).join("executors").join(task["id"].as_str().unwrap());
    let said = fs::read_to_string(sandbox.join("runs/latest/stderr")).unwrap();
    assert!(said.contains("spark.tgz"), "{said}");
    shell.kill();
    drop(shell);

    fs::rename(&moved, &place).unwrap();
    let mut shell = Shell::submit(&home, &cluster.address(), &settings, &["stay", &text]);
    let id = shell.says("began");
    assert_eq!(shell.says("words"), WORDS);
    shell.kill();
    let gone = framework(cluster.port, "completed_frameworks", &id, |_| true);
    assert_eq!(states(&gone, "completed_tasks"), ["TASK_KILLED"]);
    wait_for("the executor's end", || {
        let state = of_master(cluster.agent_ports[0], "/state")?;
        (state["frameworks"] == Value::Array(vec![])).then_some(())
    });
}

/// Two shells share agents that come one after the other, three to one.
#[test]
fn two_shells_by_weights() {
    let Some(home) = installation() else { return };
    let mut cluster = Cluster::start_with(0, &["--weights=heavy=3,light=1"], &[]);
    let mut ids = vec![];
    let mut shells = vec![];
    for role in ["heavy", "light"] {
        let settings = [("spark.mesos.executor.home", home.to_str().unwrap()), ("spark.mesos.role", role)];
        shells.push(Shell::submit(&home, &cluster.address(), &settings, &["idle"]));
    }
    for shell in &mut shells {
        ids.push(shell.says("began"));
    }
    for index in 0..4 {
        cluster.add_agent(index, &["--resources=cpus:1;mem:1024"]);
        // One after the other, so that the shares of each are known when the next one comes.
        wait_for("an executor", || {
            let state = of_master(cluster.port, "/state")?;
            let tasks = |it: &Value| it["tasks"].as_array().map_or(0, Vec::len);
            let all: usize = state["frameworks"].as_array()?.iter().map(tasks).sum();
            (all == index + 1).then_some(())
        });
    }
    let tasks = |id: &str| states(&framework(cluster.port, "frameworks", id, |_| true), "tasks").len();
    assert_eq!((tasks(&ids[0]), tasks(&ids[1])), (3, 1));
}

/// The same jobs of two cores on our cluster, coarse and fine-grained, and inside one process; and how soon executors run.
#[test]
fn figures() {
    if std::env::var_os("FIGURES").is_none() {
        return eprintln!("figures: SKIPPED, `make bench` asks for them by FIGURES=1");
    }
    let Some(home) = installation() else { return };
    let cluster = Cluster::start_with(1, &[], &["--resources=cpus:2;mem:2048;disk:4096"]);
    let dir = tempfile::tempdir().unwrap();
    let text = text(dir.path());
    let library = ours::library().display().to_string();
    let common = [
        ("spark.mesos.executor.home", home.to_str().unwrap()),
        ("spark.executorEnv.MESOS_NATIVE_JAVA_LIBRARY", &library),
        ("spark.cores.max", "2"),
        // The executor itself takes a core of the two otherwise.
        ("spark.mesos.mesosExecutor.cores", "0.01"),
    ];
    for (master, coarse) in
        [("local[2]", "true"), (&cluster.address(), "true"), (&cluster.address(), "false")]
    {
        eprintln!("spark: --- {master}, coarse={coarse}");
        let settings = [&common[..], &[("spark.mesos.coarse", coarse)]].concat();
        let mut shell = Shell::submit(&home, master, &settings, &["figures", &text]);
        let id = shell.says("began");
        for _ in 0..3 {
            shell.counts();
            assert_eq!(shell.says("twenty"), "True");
        }
        if !master.starts_with("local") && coarse == "true" {
            let shown = framework(cluster.port, "frameworks", &id, |_| true);
            let statuses = shown["tasks"][0]["statuses"].as_array().expect("statuses");
            let running = statuses.iter().find(|status| status["state"] == "TASK_RUNNING").expect("it ran");
            let latency = running["timestamp"].as_f64().unwrap() - shown["registered_time"].as_f64().unwrap();
            eprintln!("spark: from registration to a running executor {:.0} ms", latency * 1e3);
        }
        shell.ends();
    }
}
