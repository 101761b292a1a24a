//! A master with thousands of emulated agents and tasks, for pages to be looked at: `benches/cluster` has the agents.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::fleet::{self, Fleet};
use super::framework::{self, Framework, Wish};
use super::support::{Process, free_port, get, wait_for};

/// The longest that agents may take to come, or tasks to run.
const PATIENCE: Duration = Duration::from_secs(180);

/// Serves until it is dropped.
pub struct Large {
    pub url: String,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _master: Process,
    _dir: tempfile::TempDir,
}

impl Drop for Large {
    fn drop(&mut self) {
        drop(self.leave.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `each` tasks on each of `agents` agents, all running.
pub fn start(agents: usize, each: usize) -> Large {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let master = Process::start(&[
        "master".to_owned(),
        "--ip=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--work_dir={}", dir.path().display()),
        "--cluster=large".to_owned(),
        "--registry=in_memory".to_owned(),
    ]);
    wait_for("the master", || get(port, "/health").ok());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let (leave, left) = oneshot::channel();
    let (tell, ready) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async move {
            let held = fill(address, agents, each).await;
            tell.send(()).expect("the test waits");
            // Only its end matters.
            let _ = left.await;
            drop(held);
        }));
    });
    ready.recv().expect("the cluster is filled");
    let url = format!("http://127.0.0.1:{port}/");
    Large { url, leave: Some(leave), thread: Some(thread), _master: master, _dir: dir }
}

async fn fill(address: SocketAddr, agents: usize, each: usize) -> (Rc<Fleet>, Rc<Framework>) {
    let fleet = Fleet::new(address, agents).await.expect("a listener");
    fleet.register();
    until("agents are registered", &fleet.changed, || fleet.seen().registered >= agents).await;
    fleet.play(fleet::RUNNING);
    let tasks = agents * each;
    let wish = Wish::Launch { each, left: tasks };
    let framework = Framework::subscribe(address, framework::info("launches"), wish).await;
    let framework = framework.expect("the master takes schedulers");
    until("tasks run", &framework.changed, || framework.latencies.borrow().len() >= tasks).await;
    framework.wish(Wish::Nothing);
    framework.suppress();
    (fleet, framework)
}

async fn until(what: &str, changed: &Notify, done: impl Fn() -> bool) {
    let waiting = async {
        loop {
            let change = changed.notified();
            if done() {
                return;
            }
            change.await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}: not within {PATIENCE:?}");
}
