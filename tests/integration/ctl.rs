//! `mesos ctl`: every command against a live `mesos local`, and masters that are dead, silent, odd or not leading.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Finished, Process, binary, finished, free_port, get, mesos, wait_for};

/// Tests share a machine: one that is slow is not dead.
const PATIENT: &str = "--timeout=30secs";

struct Local {
    port: u16,
    dir: tempfile::TempDir,
    process: Process,
}

fn local(agents: usize) -> Local {
    let dir = tempfile::tempdir().expect("a folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
    let port = free_port();
    let process = Process::start(&[
        "local",
        &format!("--num_slaves={agents}"),
        "--ip=127.0.0.1",
        &format!("--port={port}"),
        &format!("--work_dir={}", dir.path().join("work").display()),
        &format!("--log_dir={}", dir.path().join("log").display()),
        "--resources=cpus:4;mem:2048;disk:4096;ports:[31000-32000]",
        "--allocation_interval=200ms",
    ]);
    wait_for("agents", || {
        let state: Value = serde_json::from_str(&get(port, "/state").ok()?).ok()?;
        (state["activated_slaves"].as_f64() == Some(agents as f64)).then_some(())
    });
    Local { port, dir, process }
}

impl Local {
    fn command(&self, line: &str) -> Command {
        let mut command = binary();
        command.env("MESOS_MASTER", format!("127.0.0.1:{}", self.port)).current_dir(self.dir.path());
        command.args(["ctl", PATIENT]).args(line.split_whitespace());
        command
    }

    fn ctl(&self, line: &str) -> Finished {
        finished(self.command(line))
    }

    /// What a command that must succeed wrote.
    fn out(&self, line: &str) -> String {
        let done = self.ctl(line);
        assert_eq!(done.status, Some(0), "ctl {line}: {done:?}");
        done.out
    }

    fn json(&self, line: &str) -> Value {
        let out = self.out(&format!("{line} -o json"));
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("ctl {line}: {error}: {out}"))
    }

    /// Runs a task to its end.
    fn task(&self, name: &str, command: &str) {
        let mut execute = self.command("execute");
        execute.args([
            format!("--name={name}"),
            format!("--command={command}"),
            "--resources=cpus:0.1;mem:32".into(),
        ]);
        let done = finished(execute);
        assert_eq!(done.status, Some(0), "{done:?}");
    }

    /// A task that runs until it is killed; its framework is the process.
    fn long_task(&self, name: &str, command: &str) -> Process {
        let mut execute = self.command("execute");
        execute.args([
            format!("--name={name}"),
            format!("--command={command}"),
            "--resources=cpus:0.1;mem:32".into(),
        ]);
        let process = Process::of(execute, name.to_owned());
        wait_for("the task", || {
            self.out("tasks --state=running -o name").lines().any(|id| id == name).then_some(())
        });
        process
    }
}

#[test]
fn every_command_answers() {
    let cluster = local(2);
    cluster.task("hello", "echo to the user; echo to the other >&2; seq 1 100 > numbers");
    cluster.task("help", "echo second");
    let mut framework = cluster.long_task("steady", "echo begun; while true; do sleep 0.1; done");
    let agent = cluster.json("agents")[0]["id"].as_str().unwrap().to_owned();
    let tail = agent.rsplit('-').next().unwrap().to_owned();

    for (line, parts) in [
        ("state", &["Version", "2 active, 0 inactive", "1 running", "2 finished", "cpus", "0.1", "8"][..]),
        ("frameworks", &["ID", "mesos-execute instance", "active", "-0002"]),
        ("frameworks --all", &["completed", "-0000"]),
        ("agents", &["HOST", "localhost", "active", "-S1"]),
        ("agents -o wide", &["ADDRESS", "127.0.0.1:"]),
        ("tasks", &["steady", "running", "32 MB"]),
        ("tasks --all", &["hello", "help", "finished"]),
        ("roles", &["ROLE", "*", "0.1"]),
        ("offers", &["ID", "FRAMEWORK"]),
        ("ps", &["CPU TIME", "MEM USED", "steady"]),
        ("top --once", &["2 agents", "1 running", "cpus [", "AGENT"]),
        ("top --once --by=frameworks", &["mesos-execute instance"]),
        ("top --once --by=tasks", &["steady", "CPU NOW"]),
        ("metrics", &["master/uptime_secs", "master/tasks_running"]),
        ("metrics slaves_active", &["master/slaves_active  2"]),
        ("flags", &["allocation_interval", "200ms"]),
        ("version", &["version", "1.11.0", "git_sha"]),
        ("health", &["is healthy"]),
        ("logs hello", &["to the user\n"]),
        ("logs hello stderr", &["to the other\n"]),
        ("logs hello numbers -n 2", &["99\n100\n"]),
        ("log -n 5", &["I1"]),
        ("files ls hello", &["stdout", "stderr", "numbers", "-rw"]),
        ("files cat hello numbers", &["1\n2\n3\n"]),
        ("files tail hello numbers", &["91\n", "100\n"]),
        ("files ls --on-master", &["/master/log"]),
        ("files tail --on-master /master/log", &["I1"]),
        ("files get hello numbers --to=copied", &["292 bytes in copied"]),
        ("logging toggle --level=2", &["logs at level 2 for 1mins"]),
        ("logging level", &["level  2"]),
        ("logging toggle --level=0 --duration=10secs", &["level 0"]),
    ] {
        let out = cluster.out(line);
        for part in parts {
            assert!(out.contains(part), "ctl {line}: no {part:?} in\n{out}");
        }
    }
    for what in ["metrics", "flags", "version", "health", "log -n 1", "logging level", "files ls"] {
        assert!(!cluster.out(&format!("{what} --agent={tail}")).is_empty(), "{what}");
    }
    assert_eq!(cluster.out("logs hello numbers -n 2"), "99\n100\n");
    assert_eq!(cluster.out("files cat hello numbers").lines().count(), 100);
    assert_eq!(fs::read_to_string(cluster.dir.path().join("copied")).unwrap().lines().count(), 100);
    let again = cluster.ctl("files get hello numbers --to=copied");
    assert!(again.status == Some(1) && again.err.contains("--force"), "{again:?}");

    assert_eq!(cluster.out("kill st --wait").lines().last(), Some("Task 'steady' is killed."));
    wait_for("the framework's end", || (!framework.running()).then_some(()));
    let told = framework.log().join("\n");
    assert!(framework.terminate() == Some(1), "{told}");

    let mut framework = cluster.long_task("second", "sleep 1000");
    let id = cluster.out("frameworks -o name").trim().to_owned();
    assert!(cluster.out(&format!("teardown {id}")).contains("torn down"));
    wait_for("no framework", || cluster.out("frameworks -o name").is_empty().then_some(()));
    framework.kill();
}

#[test]
fn output_is_what_it_is_asked_to_be() {
    let cluster = local(1);
    cluster.task("one", "true");
    let agent = cluster.out("agents -o name");
    assert_eq!(agent.lines().count(), 1);
    assert!(cluster.out("agents").starts_with("ID "));
    assert!(cluster.out("agents --no-header").starts_with(agent.trim()));
    assert!(cluster.json("state")["slaves"].is_array());
    assert_eq!(cluster.json("tasks --all")[0]["state"], "TASK_FINISHED");
    assert_eq!(cluster.json("health")["healthy"], true);
    assert_eq!(cluster.json("flags allocation_interval")["allocation_interval"], "200ms");
    let yaml = cluster.out("tasks --all -o yaml");
    assert!(yaml.starts_with("- ") && yaml.contains("\n  id: one\n"), "{yaml}");
    assert_eq!(cluster.out("tasks --all -o name"), "one\n");
    assert_eq!(cluster.out("tasks -o json").trim(), "[]");
}

#[test]
fn words_that_fit_nothing_or_several_say_so() {
    let cluster = local(2);
    cluster.task("web-1", "true");
    cluster.task("web-2", "true");
    for (line, status, parts) in [
        ("logs web", 4, &["'web' fits 2 tasks", "web-1  finished", "web-2  finished"][..]),
        ("logs none", 4, &["No task fits 'none'", "mesos ctl tasks --all"]),
        ("logs web-1 nothing", 4, &["no file 'nothing' in the sandbox of task 'web-1'", "files ls"]),
        ("kill web-1", 4, &["Task 'web-1' has ended: it is finished"]),
        ("tasks --agent=localhost", 4, &["'localhost' fits 2 agents", "-S0  localhost", "-S1  localhost"]),
        ("tasks --agent=none", 4, &["No agent fits 'none'", "mesos ctl agents"]),
        ("teardown none", 4, &["No framework fits 'none'", "frameworks --all"]),
        ("metrics nonsense", 4, &["No name contains 'nonsense'"]),
        ("files cat", 4, &["Whose files?"]),
        ("files cat --on-master", 4, &["one virtual path"]),
        ("files cat --on-master /no/such", 4, &["virtual path /no/such"]),
        ("nonsense", 2, &["nonsense", "Usage: mesos ctl"]),
        ("logging toggle", 2, &["--level"]),
        ("tasks -o xml", 2, &["xml", "table, wide, json, yaml, name"]),
        ("state --master=zk://a:2181", 2, &["expected a path behind the servers"]),
        ("state --master=etcd://u:p4ss@a", 2, &["expected a path behind the servers", "u:…@a"]),
        ("state --master=file:///no/such", 2, &["reading '/no/such'"]),
        ("state --timeout=soon", 2, &["soon"]),
    ] {
        let done = cluster.ctl(line);
        assert_eq!((done.status, done.out.as_str()), (Some(status), ""), "ctl {line}: {done:?}");
        assert!(parts.iter().all(|part| done.err.contains(part)), "ctl {line}: {}", done.err);
    }
    // The same id twice: the last one that ran.
    cluster.task("twice", "echo first");
    cluster.task("twice", "echo second");
    assert!(cluster.out("logs twice").contains("second"));
}

#[test]
fn a_log_is_followed_to_the_end_of_its_task() {
    let cluster = local(1);
    let go = cluster.dir.path().join("go");
    let waiting = format!("echo begun; until [ -e {} ]; do sleep 0.05; done; echo ended", go.display());
    let mut framework = cluster.long_task("talker", &waiting);
    let mut follow = cluster.command("logs --follow talker");
    let mut follow = follow.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("ctl");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line == "begun"));
    fs::write(&go, "").unwrap();
    assert!(lines.by_ref().any(|line| line == "ended"));
    let status = wait_for("ctl's end", || follow.try_wait().expect("waiting"));
    assert!(status.success());
    wait_for("the framework's end", || (!framework.running()).then_some(()));
}

/// A terminal of this many columns, and what a command writes to it.
fn on_a_terminal(mut command: Command, columns: u16) -> String {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).expect("a terminal");
    let slave: OwnedFd = pty.slave;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::from(slave)).spawn().expect("ctl");
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // The last reader of a terminal nobody writes to any more gets EIO.
        let _ = fs::File::from(pty.master).read_to_end(&mut text);
        String::from_utf8_lossy(&text).replace("\r\n", "\n")
    });
    assert!(wait_for("ctl's end", || child.try_wait().expect("waiting")).success());
    reader.join().expect("a reader")
}

#[test]
fn tables_fit_a_terminal_and_are_coloured_only_there() {
    let cluster = local(1);
    let coloured = on_a_terminal(cluster.command("agents"), 50);
    assert!(coloured.contains("\x1b["), "{coloured:?}");
    let mut plain = cluster.command("agents");
    plain.env("NO_COLOR", "1");
    let plain = on_a_terminal(plain, 50);
    assert!(!plain.contains('\x1b') && plain.lines().count() == 2, "{plain:?}");
    assert!(plain.lines().all(|line| line.chars().count() <= 50) && plain.contains("\n…-S0 "), "{plain}");
    let mut wide = cluster.command("agents -o wide");
    wide.env("NO_COLOR", "1");
    assert!(on_a_terminal(wide, 50).lines().any(|line| line.len() > 50));
    assert!(!cluster.out("agents").contains('\x1b'));
}

#[test]
fn top_keeps_looking_until_it_is_told_to_end() {
    let cluster = local(1);
    let size = libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).expect("a terminal");
    let mut command = cluster.command("top --every=100ms");
    let (input, output) = (pty.slave.try_clone().expect("a copy"), pty.slave);
    let mut child = command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).spawn().expect("ctl");
    drop(command);
    let mut keys = fs::File::from(pty.master);
    let seen = Arc::new(Mutex::new(String::new()));
    let (mut screen, sink) = (keys.try_clone().expect("a copy"), seen.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            sink.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    let shown = |part: &str| seen.lock().expect("not poisoned").matches(part).count();
    wait_for("two pictures", || (shown("cpus [") >= 2).then_some(()));
    assert!(shown("AGENT") > 0 && shown("FRAMEWORK") == 0);
    keys.write_all(b"f").expect("a key");
    wait_for("frameworks", || (shown("FRAMEWORK") > 0).then_some(()));
    keys.write_all(b"t").expect("a key");
    wait_for("tasks", || (shown("CPU NOW") > 0).then_some(()));
    keys.write_all(b"q").expect("a key");
    assert!(wait_for("ctl's end", || child.try_wait().expect("waiting")).success());
    // The terminal is as it was.
    wait_for("the old screen", || (shown("\x1b[?1049l") > 0 && shown("\x1b[?25h") > 0).then_some(()));
}

#[test]
fn tasks_of_a_group_have_sandboxes_of_their_own() {
    let cluster = local(1);
    let task = |name: &str| {
        json!({"name": name, "task_id": {"value": name}, "command": {"value": format!("echo of {name}")},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}]})
    };
    let group = json!({"tasks": [task("first"), task("second")]});
    let mut execute = cluster.command("execute");
    execute.arg(format!("--task_group={group}"));
    let done = finished(execute);
    assert_eq!(done.status, Some(0), "{done:?}");
    for name in ["first", "second"] {
        assert_eq!(cluster.out(&format!("logs {name}")), format!("of {name}\n"));
        assert!(cluster.out(&format!("files ls {name}")).contains("stderr"));
    }
}

/// A server that answers each request by its path, until dropped.
struct Fake {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

impl Fake {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (seen, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let fake = Fake { port, seen: seen.clone(), over: over.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let head = head(&stream);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().expect("not poisoned").push(head);
                // A client that went away is the test's to notice.
                let _ = (&stream).write_all(answer(&path).as_bytes());
            }
        });
        fake
    }

    fn ctl(&self, line: &str) -> Finished {
        let master = format!("--master=127.0.0.1:{}", self.port);
        let words: Vec<&str> = ["ctl", PATIENT, &master].into_iter().chain(line.split_whitespace()).collect();
        mesos(&words)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn head(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    lines.join("\n")
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn masters_that_are_dead_or_silent_are_told_by_a_sentence() {
    let port = free_port();
    let done = mesos(&["ctl", &format!("--master=127.0.0.1:{port}"), "state"]);
    assert_eq!((done.status, done.out.as_str()), (Some(3), ""), "{done:?}");
    let expected =
        format!("Cannot reach the master at 127.0.0.1:{port}: nothing listens there. Is it running?");
    assert!(done.err.starts_with(&expected) && done.err.contains("MESOS_MASTER"), "{}", done.err);

    // Connections wait in the backlog and are never answered.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    for line in ["state", "execute --name=n --command=true", "logs -f t", "top --once"] {
        let master = format!("--master=127.0.0.1:{port}");
        let words: Vec<&str> =
            ["ctl", "--timeout=500ms", &master].into_iter().chain(line.split(' ')).collect();
        let done = mesos(&words);
        assert_eq!(done.status, Some(3), "{line}: {done:?}");
        assert!(done.err.contains("does not answer within 500ms"), "{line}: {}", done.err);
    }
    drop(silent);

    let done = mesos(&["ctl", "--master=no-such-host.invalid:5050", "state"]);
    assert!(done.status == Some(3) && done.err.contains("no-such-host.invalid:5050"), "{done:?}");
}

#[test]
fn what_is_no_master_is_told() {
    let other = Fake::start(|_| "SSH-2.0-OpenSSH_10\r\n".to_owned());
    let done = other.ctl("state");
    assert!(done.status == Some(1) && done.err.contains("speaks no HTTP"), "{done:?}");
    let web = Fake::start(|_| answer("404 Not Found", "", "nothing"));
    let done = web.ctl("state");
    assert!(done.status == Some(1) && done.err.contains("is no master"), "{done:?}");
    let html = Fake::start(|_| answer("200 OK", "Content-Type: text/html\r\n", "<html></html>"));
    let done = html.ctl("agents");
    assert!(done.status == Some(1) && done.err.contains("is no JSON"), "{done:?}");
    let locked = Fake::start(|_| answer("401 Unauthorized", "", ""));
    let done = locked.ctl("agents");
    assert!(done.status == Some(1) && done.err.contains("credentials"), "{done:?}");
    let alone = Fake::start(|_| answer("503 Service Unavailable", "", "No leader elected"));
    let done = alone.ctl("agents");
    assert!(done.status == Some(3) && done.err.contains("no leading master"), "{done:?}");
}

#[test]
fn the_leader_is_followed() {
    let cluster = local(1);
    let to = |port: u16| format!("Location: //127.0.0.1:{port}\r\n");
    let leader = to(cluster.port);
    let standby = Fake::start(move |_| answer("307 Temporary Redirect", &leader, ""));
    let done = standby.ctl("agents -o name");
    assert_eq!(done.status, Some(0), "{done:?}");
    assert_eq!(done.out, cluster.out("agents -o name"));
    let done = standby.ctl("execute --name=there --command=true");
    assert_eq!(done.status, Some(0), "{done:?}");

    let gone = free_port();
    let nowhere = to(gone);
    let standby = Fake::start(move |_| answer("307 Temporary Redirect", &nowhere, ""));
    let done = standby.ctl("agents");
    assert_eq!(done.status, Some(3), "{done:?}");
    assert!(done.err.contains("does not lead") && done.err.contains(&gone.to_string()), "{}", done.err);
}

#[test]
fn what_a_master_does_not_have_is_told() {
    let apache = Fake::start(|path| match path.split('?').next().unwrap_or_default() {
        "/master/redirect" => answer("200 OK", "", ""),
        "/master/tasks" => answer(
            "200 OK",
            "",
            r#"{"tasks": [{"id": "t", "framework_id": "f", "slave_id": "s", "state": "TASK_RUNNING"}]}"#,
        ),
        "/master/slaves" => answer("200 OK", "", r#"{"slaves": []}"#),
        _ => answer("404 Not Found", "", ""),
    });
    let done = apache.ctl("kill t");
    assert_eq!(done.status, Some(5), "{done:?}");
    assert!(done.err.contains("mesos ctl teardown f"), "{}", done.err);
    let done = apache.ctl("events");
    assert!(done.status == Some(5) && done.err.contains("has no event stream"), "{done:?}");
    let done = apache.ctl("logs t");
    assert!(done.status == Some(4) && done.err.contains("agent s, which is not registered"), "{done:?}");
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let cluster = local(1);
    let mut events = cluster.command("events --types=TASK_ADDED,TASK_UPDATED -o json");
    let mut events = events.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("ctl");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (lines, sink) = (BufReader::new(events.stdout.take().expect("piped")).lines(), seen.clone());
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            sink.lock()
                .expect("not poisoned")
                .push(serde_json::from_str::<Value>(&line).expect("a line of JSON"));
        }
    });
    // Nobody says when the stream is open, so tasks run until one is told.
    let mut number = 0;
    wait_for("an added task", || {
        number += 1;
        cluster.task(&format!("seen-{number}"), "true");
        let seen = seen.lock().expect("not poisoned");
        seen.iter().any(|event| event["event"] == "TASK_ADDED").then_some(())
    });
    wait_for("its end", || {
        let seen = seen.lock().expect("not poisoned");
        let last = format!("seen-{number}");
        let end = |event: &&Value| event["data"].to_string().contains("TASK_FINISHED");
        seen.iter().filter(end).any(|event| event["data"].to_string().contains(&last)).then_some(())
    });
    let first = seen.lock().expect("not poisoned")[0].clone();
    events.kill().expect("alive");
    events.wait().expect("waiting");

    // What came after the first one is told again, and the table says it in short.
    let since = format!("events --since={}", first["id"].as_str().expect("an id"));
    let mut again = cluster.command(&since);
    let mut again = again.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("ctl");
    let mut lines = BufReader::new(again.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let end = lines.find(|line| line.contains("TASK_FINISHED")).expect("an end");
    assert!(end.contains("TASK_UPDATED") && end.contains("seen-"), "{end}");
    again.kill().expect("alive");
    again.wait().expect("waiting");
}

/// Ended after one event, the stream is asked for again behind it; that it is not there then ends ctl.
#[test]
fn events_are_followed_from_where_they_were_left() {
    let streams = AtomicUsize::new(0);
    let master = Fake::start(move |path| match path.split('?').next().unwrap_or_default() {
        "/master/redirect" => answer("200 OK", "", ""),
        "/master/frameworks" => answer("200 OK", "", r#"{"frameworks": [{"id": "m-0001", "name": "mine"}]}"#),
        _ if streams.fetch_add(1, Ordering::Relaxed) % 2 == 1 => answer("404 Not Found", "", ""),
        _ => answer(
            "200 OK",
            "Content-Type: text/event-stream\r\n",
            ": here\nid: m:7\n\nid: m:8\nevent: TASK_ADDED\ndata: {\"task\": {\"task_id\": {\"value\": \"t\"}}}\n\n",
        ),
    });
    let done = master.ctl("events --since=m:6 --types=TASK_ADDED --framework=mine");
    assert_eq!(done.status, Some(5), "{done:?}");
    assert_eq!(done.out, "     8  TASK_ADDED         task_id=t\n");
    assert!(done.err.contains("ended the stream of events. Trying again."), "{}", done.err);
    let asked = |word: &str| master.seen.lock().unwrap().join("\n").to_ascii_lowercase().contains(word);
    assert!(asked("/events?types=task_added&framework=m-0001"));
    assert!(asked("last-event-id: m:6") && asked("last-event-id: m:8"));
    let done = master.ctl("events -o json");
    let event: Value = serde_json::from_str(done.out.trim()).expect("a line of JSON");
    assert_eq!((&event["id"], &event["data"]["task"]["task_id"]["value"]), (&"m:8".into(), &"t".into()));
}

#[test]
fn bash_completes_links_as_their_commands() {
    let complete = r#"
        source /dev/stdin
        for line in "mesos ctl fram" "mesos-ctl fram" "/usr/bin/mesos-ctl fram" "mesos-master --allocation_int"; do
            COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            function=$(complete -p "${COMP_WORDS[0]##*/}" | sed 's/.*-F \([^ ]*\).*/\1/')
            $function "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[@]}"
        done"#;
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", complete]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut bash = bash.spawn().expect("bash");
    let script = mesos(&["completions", "bash"]).out;
    bash.stdin.take().expect("piped").write_all(script.as_bytes()).expect("read");
    let out = bash.wait_with_output().expect("bash ends").stdout;
    assert_eq!(String::from_utf8_lossy(&out), "frameworks\nframeworks\nframeworks\n--allocation_interval\n");
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let done = mesos(&["completions", shell]);
        assert_eq!(done.status, Some(0), "{done:?}");
        for word in ["frameworks", "teardown", "allocation_interval", "no-header", "kill_after"] {
            assert!(done.out.contains(word), "{shell}: {word}");
        }
        for link in ["mesos-master", "mesos-agent", "mesos-ctl", "mesos-execute"] {
            let is_named = |line: &str| {
                let completes =
                    ["complete ", "compdef ", "#compdef "].iter().any(|start| line.trim().starts_with(start));
                completes && line.split_whitespace().any(|word| word == link)
            };
            assert!(done.out.lines().any(is_named), "{shell}: {link}");
        }
    }
    assert_eq!(mesos(&["completions", "tcsh"]).status, Some(2));
    let dir = tempfile::tempdir().expect("a folder");
    let done = mesos(&["man", &format!("--dir={}", dir.path().join("man1").display())]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for (page, part) in [
        ("mesos.1", "ctl"),
        ("mesos-master.1", "allocation_interval"),
        ("mesos-slave.1", "work_dir"),
        ("mesos-agent.1", "mesos-slave.1"),
        ("mesos-ctl.1", "Exit status"),
        ("mesos-ctl-logs.1", "follow"),
        ("mesos-ctl-files-get.1", "force"),
    ] {
        let text =
            fs::read_to_string(dir.path().join("man1").join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.replace('\\', "").contains(part), "{page}: {part}");
    }
}

/// `ctl … | head`: what is read is enough.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let cluster = local(1);
    cluster.task("wordy", "seq 1 200000");
    let mut child =
        cluster.command("logs wordy").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctl");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let status = wait_for("ctl's end", || child.try_wait().expect("waiting"));
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("a pipe");
    assert!(status.success() && said.is_empty(), "{status:?} {said}");
    drop(cluster.process);
}
