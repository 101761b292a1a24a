//! `mesos execute` and `mesos local`: a task followed to its end, and a whole cluster in one process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, Finished, Process, free_port, get, mesos, wait_for};

fn execute(cluster: &Cluster, args: &[&str]) -> Finished {
    let master = format!("--master={}", cluster.address());
    let all: Vec<&str> = ["execute", &master].into_iter().chain(args.iter().copied()).collect();
    mesos(&all)
}

/// The one file called so below the agents' folders; a sandbox is found so without asking anybody.
pub fn find(cluster: &Cluster, task: &str, name: &str) -> PathBuf {
    fn search(dir: &Path, end: &str) -> Option<PathBuf> {
        for entry in fs::read_dir(dir).ok()?.flatten() {
            let path = entry.path();
            if path.to_string_lossy().ends_with(end) {
                return Some(path);
            }
            if entry
                .file_type()
                .is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && path.ends_with("latest"))
                && let Some(found) = search(&path, end)
            {
                return Some(found);
            }
        }
        None
    }
    let end = format!("executors/{task}/runs/latest/{name}");
    wait_for(&end, || search(cluster.dir.path(), &end))
}

#[test]
fn the_exit_status_tells() {
    let cluster = Cluster::start(1);
    let done = execute(&cluster, &["--name=fine", "--command=echo done"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let said = format!("{}{}", done.out, done.err);
    for part in ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED", "fine"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(fs::read_to_string(find(&cluster, "fine", "stdout")).unwrap().contains("done\n"));

    let done = execute(&cluster, &["--name=failing", "--command=exit 3"]);
    assert!(done.status.is_some_and(|status| status != 0), "{done:?}");
    let said = format!("{}{}", done.out, done.err);
    assert!(said.contains("TASK_FAILED") && said.contains("Command exited with status 3"), "{said}");

    let done = execute(&cluster, &["--name=killed", "--command=sleep 1000", "--kill_after=500ms"]);
    assert!(done.status.is_some_and(|status| status != 0), "{done:?}");
    assert!(format!("{}{}", done.out, done.err).contains("TASK_KILLED"), "{done:?}");
}

#[test]
fn arguments_environment_and_groups() {
    let cluster = Cluster::start(1);
    let done = execute(
        &cluster,
        &[
            "--name=env",
            r#"--env={"GREETING": "hello world"}"#,
            "--command=echo $GREETING; pwd; env | sort",
            "--content_type=json",
        ],
    );
    assert_eq!(done.status, Some(0), "{done:?}");
    let stdout = fs::read_to_string(find(&cluster, "env", "stdout")).unwrap();
    assert!(stdout.contains("hello world\n"), "{stdout}");
    let sandbox =
        stdout.lines().find(|line| line.contains("/executors/env/runs/")).expect("the sandbox").to_owned();
    let value = |name: &str| {
        stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}=")[..])).map(str::to_owned)
    };
    assert_eq!(value("MESOS_SANDBOX").as_deref(), Some(sandbox.as_str()));
    assert_eq!(value("MESOS_TASK_ID").as_deref(), Some("env"));
    assert!(value("MESOS_FRAMEWORK_ID").is_some_and(|id| id.contains('-')), "{stdout}");
    // What is the agent's own is not the task's.
    for name in ["MESOS_MASTER", "MESOS_WORK_DIR", "MESOS_RESOURCES"] {
        assert_eq!(value(name), None, "{stdout}");
    }

    let task = json!({"name": "described", "task_id": {"value": "described"}, "agent_id": {"value": ""},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
        "command": {"shell": false, "value": "/bin/echo", "arguments": ["echo", "a b", "$HOME"]}});
    let done = execute(&cluster, &[&format!("--task={task}")]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let stdout = fs::read_to_string(find(&cluster, "described", "stdout")).unwrap();
    assert!(stdout.contains("a b $HOME\n"), "{stdout}");
}

#[test]
fn a_master_that_is_none_is_told() {
    let port = free_port();
    let master = format!("--master=127.0.0.1:{port}");
    // It keeps trying, as Mesos does, until it is told to stop; or says so and ends.
    let mut process = Process::start(&["execute", &master, "--name=n", "--command=true"]);
    wait_for("an end or a complaint", || (!process.running() || !process.log().is_empty()).then_some(()));
    assert!(process.log().iter().any(|line| line.contains(&port.to_string())), "{:?}", process.log());
}

#[test]
fn a_whole_cluster_in_one_process() {
    let dir = tempfile::tempdir().expect("a folder");
    open_to_all(dir.path());
    let port = free_port();
    let (port_flag, dir_flag) = (format!("--port={port}"), format!("--work_dir={}", dir.path().display()));
    let args = [
        "local",
        "--num_slaves=3",
        "--ip=127.0.0.1",
        &port_flag,
        &dir_flag,
        "--resources=cpus:2;mem:512",
        "--allocation_interval=100ms",
    ];
    let mut cluster = Process::start(&args);
    let agents = || -> Option<usize> {
        let slaves: serde_json::Value = serde_json::from_str(&get(port, "/slaves").ok()?).ok()?;
        Some(slaves["slaves"].as_array()?.iter().filter(|slave| slave["active"] == true).count())
    };
    wait_for("three agents", || (agents()? == 3).then_some(()));
    let master = format!("--master=127.0.0.1:{port}");
    let done = mesos(&["execute", &master, "--name=local", "--command=echo here"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(cluster.running());
    // Each agent is found by what the master tells of it, and tells of itself.
    let slaves: serde_json::Value = serde_json::from_str(&get(port, "/slaves").unwrap()).unwrap();
    for slave in slaves["slaves"].as_array().unwrap() {
        let pid = slave["pid"].as_str().unwrap();
        let (id, address) = pid.split_once('@').unwrap();
        let agent_port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let state: serde_json::Value =
            serde_json::from_str(&get(agent_port, &format!("/{id}/state")).unwrap()).unwrap();
        assert_eq!(state["id"], slave["id"]);
        assert_eq!(state["resources"]["cpus"], 2.0);
    }
    assert!(matches!(cluster.terminate(), None | Some(0)), "ends on SIGTERM");
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("own folder");
}

/// Serves the same bytes to everybody who asks for `path`, and 404 for the rest, until the test ends.
fn serve(path: &'static str, bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&buffer[..count]),
                }
            }
            let found = String::from_utf8_lossy(&request).split(' ').nth(1) == Some(path);
            let (status, body) = if found { ("200 OK", &bytes[..]) } else { ("404 Not Found", &b"none"[..]) };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    port
}

fn archive() -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    let text = b"packed";
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "folder/inside.txt", &text[..]).expect("into memory");
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).expect("into memory")
}

#[test]
fn uris_are_fetched() {
    let cluster = Cluster::start(1);
    let archive_port = serve("/package.tar.gz", archive());
    let script = cluster.dir.path().join("script.sh");
    fs::write(&script, "#!/bin/sh\necho ran $1\n").expect("a script");
    let plain = cluster.dir.path().join("plain file.txt");
    fs::write(&plain, "plain").expect("a file");
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("fetching"));
    let offer = scheduler.offer();
    let uris = json!([
        {"value": format!("http://127.0.0.1:{archive_port}/package.tar.gz"), "extract": true},
        {"value": format!("http://127.0.0.1:{archive_port}/package.tar.gz"), "extract": false, "output_file": "kept.tar.gz"},
        {"value": format!("file://{}", script.display()), "executable": true},
        {"value": plain.display().to_string(), "extract": false, "output_file": "renamed.txt"},
    ]);
    let command = "cat folder/inside.txt && ./script.sh fine && cat renamed.txt && test -s kept.tar.gz && test ! -x renamed.txt";
    let task =
        with(command_task("fetch", &offer, command), json!({"command": {"value": command, "uris": uris}}));
    scheduler.launch(&offer, &[task]);
    let statuses = scheduler.until("fetch", "TASK_FINISHED");
    assert_eq!(statuses.len(), 3, "{statuses:?}");
    let stdout = fs::read_to_string(find(&cluster, "fetch", "stdout")).unwrap();
    assert!(stdout.contains("packed") && stdout.contains("ran fine") && stdout.contains("plain"), "{stdout}");

    // What cannot be fetched ends the task, and the sandbox says why.
    for (id, uri) in [
        ("gone", format!("http://127.0.0.1:{archive_port}/nothing")),
        ("nobody", format!("http://127.0.0.1:{}/x", free_port())),
        ("nowhere", "/nowhere/at/all".to_owned()),
        ("unknown", "gopher://x/y".to_owned()),
        ("upwards", format!("http://127.0.0.1:{archive_port}/..")),
    ] {
        let offer = scheduler.offer();
        let uris = json!({"command": {"value": "true", "uris": [{"value": uri}]}});
        scheduler.launch(&offer, &[with(command_task(id, &offer, "true"), uris)]);
        let last = scheduler.until(id, "TASK_FAILED").pop().expect("a status");
        assert_eq!(last["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{id}: {last}");
        assert!(last["message"].as_str().is_some_and(|text| text.len() > 10), "{id}: {last}");
        let stderr = fs::read_to_string(find(&cluster, id, "stderr")).unwrap();
        assert!(stderr.to_lowercase().contains("fetch"), "{id}: {stderr}");
    }
}

/// Output files that lead out of the sandbox, archives whose members do.
#[test]
fn nothing_is_fetched_outside_the_sandbox() {
    let cluster = Cluster::start(1);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    let name = b"../../../../escaped";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    builder.append(&header, &b"evil"[..]).expect("into memory");
    let port = serve("/evil.tar", builder.into_inner().expect("into memory"));
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("escaping"));
    for (id, uri) in [
        ("member", json!({"value": format!("http://127.0.0.1:{port}/evil.tar"), "extract": true})),
        (
            "output",
            json!({"value": format!("http://127.0.0.1:{port}/evil.tar"), "extract": false, "output_file": "../../escaped"}),
        ),
        (
            "absolute",
            json!({"value": format!("http://127.0.0.1:{port}/evil.tar"), "extract": false, "output_file": "/tmp/escaped-of-mesos"}),
        ),
    ] {
        let offer = scheduler.offer();
        let command = json!({"command": {"value": "true", "uris": [uri]}});
        scheduler.launch(&offer, &[with(command_task(id, &offer, "true"), command)]);
        let status = loop {
            let status = scheduler.status(id);
            if !matches!(status["state"].as_str(), Some("TASK_STARTING" | "TASK_RUNNING")) {
                break status;
            }
        };
        // Refused by the master, or failed by the fetcher; a member may also be left out.
        assert!(id == "member" || status["state"] != "TASK_FINISHED", "{id}: {status}");
    }
    let mut escaped = Vec::new();
    for folder in [cluster.dir.path(), Path::new("/tmp")] {
        look_for(folder, &mut escaped, if folder == Path::new("/tmp") { 0 } else { 20 });
    }
    assert!(escaped.is_empty(), "{escaped:?}");
}

fn look_for(dir: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("escaped") {
            found.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            look_for(&path, found, depth - 1);
        }
    }
}
