//! The scheduler driver, as frameworks see it: `MesosSchedulerDriver` of libmesos.
#![expect(clippy::disallowed_methods, reason = "a shell: reads the file that names the master")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::core::scheduler::{Callback, Config, State};
use super::core::{Core as _, Effects, Event, Status};
use super::flags::Flags;
use super::local;
use super::node::{self, Node};
use super::run::{Driver, Handler, Inbox};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::coordination::url::Url;
use crate::coordination::{Report, detect, member, resolved};
use crate::proto::scheduler::OfferConstraints;
use crate::proto::{
    AgentId, Credential, ExecutorId, Filters, FrameworkInfo, OfferId, Request, TaskId, TaskInfo, TaskStatus,
    offer,
};

/// Who the framework is and what it wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// An empty user or hostname is filled in.
    pub framework: FrameworkInfo,
    /// `host:port`, `zk://…`, `etcd://…`, `file://` and the path of a file that holds one of these, or `local` for a
    /// cluster that ends with this process (`localquiet`: without its log).
    pub master: String,
    pub suppressed_roles: Vec<String>,
    pub implicit_acknowledgements: bool,
    pub credential: Option<Credential>,
}

/// A driver. Dropped, it lets go of its framework without a word to the master; no callback is out then.
pub struct SchedulerDriver {
    parts: Result<Parts, Mutex<Failed>>,
}

struct Parts {
    driver: Driver<State>,
    pid: Upid,
    authenticatee: Upid,
    node: &'static Node,
    master: String,
    flags: Flags,
    /// What `start` takes.
    waiting: Mutex<Option<(Inbox<State>, Handler<Callback>)>>,
}

/// A driver that will never run: the first `start` says why.
struct Failed {
    why: String,
    handler: Option<Handler<Callback>>,
}

impl SchedulerDriver {
    /// What stands in the way of the driver is told by `start`.
    pub fn new(options: Options, handler: Handler<Callback>) -> SchedulerDriver {
        let environment = node::environment();
        let made = Flags::read(&environment).and_then(|flags| {
            let node = node::node(&flags, &options.framework.name)?;
            Ok((flags, node))
        });
        let (flags, node) = match made {
            Ok(made) => made,
            Err(why) => {
                let failed = Failed { why, handler: Some(handler) };
                return SchedulerDriver { parts: Err(Mutex::new(failed)) };
            }
        };
        // A name of its own, so that no master takes a driver for another one that was at its port.
        let pid = Upid::new(&format!("scheduler-{}", uuid::Uuid::new_v4()), node.address);
        let config = Config {
            framework: completed(options.framework),
            suppressed: options.suppressed_roles.into_iter().collect(),
            acknowledges: options.implicit_acknowledgements,
            credential: options.credential,
            patience: flags.patience,
            pid: pid.clone(),
            seed: rand::random(),
        };
        let state = State::new(config);
        let authenticatee = state.authenticatee_pid();
        let (driver, inbox) = Driver::new(node, state);
        let waiting = Mutex::new(Some((inbox, handler)));
        let parts = Parts { driver, pid, authenticatee, node, master: options.master, flags, waiting };
        SchedulerDriver { parts: Ok(parts) }
    }

    pub fn start(&self) -> Status {
        let parts = match &self.parts {
            Ok(parts) => parts,
            Err(failed) => {
                let (why, handler) = {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    (failed.why.clone(), failed.handler.take())
                };
                if let Some(mut handler) = handler {
                    handler(&Callback::Error(why));
                }
                return Status::Aborted;
            }
        };
        let taken = parts.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((inbox, handler)) = taken else { return parts.driver.status() };
        parts.start(inbox, handler)
    }

    /// Ends the driver. With `failover` the framework stays for another driver, for its `failover_timeout`;
    /// otherwise it is torn down with all its tasks.
    pub fn stop(&self, failover: bool) -> Status {
        let Ok(parts) = &self.parts else { return self.status() };
        let (status, leader) = parts.driver.call(|core, _, out| (core.stop(failover, out), core.leader()));
        if let Some(leader) = leader {
            parts.driver.flush(leader.address);
        }
        status
    }

    pub fn abort(&self) -> Status {
        self.call(|core, _, out| core.abort(out))
    }

    /// Waits until the driver is stopped or aborted, and no callback is out. Inside a callback it does not wait.
    pub fn join(&self) -> Status {
        self.parts.as_ref().map_or(Status::Aborted, |parts| parts.driver.join())
    }

    pub fn status(&self) -> Status {
        self.call(|core, _, _| core.status())
    }

    pub fn request_resources(&self, requests: Vec<Request>) -> Status {
        self.call(|core, _, out| core.request_resources(requests, out))
    }

    pub fn launch_tasks(&self, offers: Vec<OfferId>, tasks: Vec<TaskInfo>, filters: Filters) -> Status {
        self.call(|core, now, out| core.launch_tasks(now, offers, tasks, filters, out))
    }

    pub fn accept_offers(
        &self,
        offers: Vec<OfferId>,
        operations: Vec<offer::Operation>,
        filters: Filters,
    ) -> Status {
        self.call(|core, now, out| core.accept_offers(now, offers, operations, filters, out))
    }

    pub fn decline_offer(&self, id: OfferId, filters: Filters) -> Status {
        self.call(|core, _, out| core.decline_offer(id, filters, out))
    }

    pub fn kill_task(&self, id: TaskId) -> Status {
        self.call(|core, _, out| core.kill_task(id, out))
    }

    /// No roles: all.
    pub fn revive_offers(&self, roles: Vec<String>) -> Status {
        self.call(|core, _, out| core.revive_offers(roles, out))
    }

    /// No roles: all.
    pub fn suppress_offers(&self, roles: Vec<String>) -> Status {
        self.call(|core, _, out| core.suppress_offers(roles, out))
    }

    pub fn acknowledge_status_update(&self, status: &TaskStatus) -> Status {
        self.call(|core, _, out| core.acknowledge_status_update(status, out))
    }

    pub fn send_framework_message(&self, executor: ExecutorId, agent: AgentId, data: Bytes) -> Status {
        self.call(|core, _, out| core.send_framework_message(executor, agent, data, out))
    }

    /// No statuses: all tasks that are known.
    pub fn reconcile_tasks(&self, statuses: Vec<TaskStatus>) -> Status {
        self.call(|core, _, out| core.reconcile_tasks(statuses, out))
    }

    pub fn update_framework(
        &self,
        framework: FrameworkInfo,
        suppressed_roles: Vec<String>,
        constraints: OfferConstraints,
    ) -> Status {
        let suppressed: BTreeSet<String> = suppressed_roles.into_iter().collect();
        let framework = completed(framework);
        self.call(|core, _, out| core.update_framework(framework, suppressed, constraints, out))
    }

    fn call(&self, call: impl FnOnce(&mut State, Time, &mut Effects<Callback>) -> Status) -> Status {
        match &self.parts {
            Ok(parts) => parts.driver.call(call),
            Err(failed) => {
                let failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.handler.is_some() { Status::NotStarted } else { Status::Aborted }
            }
        }
    }
}

impl Drop for SchedulerDriver {
    fn drop(&mut self) {
        if let Ok(parts) = &self.parts {
            parts.driver.close();
            parts.driver.unlisten(&parts.pid.id);
            parts.driver.unlisten(&parts.authenticatee.id);
        }
    }
}

impl Parts {
    fn start(&self, inbox: Inbox<State>, mut handler: Handler<Callback>) -> Status {
        let refuse = |handler: &mut Handler<Callback>, why: String| {
            let status = self.driver.call(|core, _, out| {
                core.start();
                core.abort(out)
            });
            handler(&Callback::Error(why));
            status
        };
        let url = match master(&self.master) {
            Ok(url) => url,
            Err(why) => {
                let why = format!("Failed to create a master detector for '{}': {why}", self.master);
                return refuse(&mut handler, why);
            }
        };
        self.driver.listen(&self.pid.id);
        self.driver.listen(&self.authenticatee.id);
        if !self.driver.call(|core, _, _| core.start()) {
            return self.driver.status();
        }
        if let Err(error) = self.driver.start(inbox, "mesos-scheduler", handler) {
            // The thread would have told why.
            tracing::error!(%error, "the driver's thread does not start");
            return self.driver.call(|core, _, out| core.abort(out));
        }
        let (ended, following) =
            (self.driver.ended(), follow(url, self.flags.session_timeout, self.driver.clone()));
        self.node.runtime.spawn(async move {
            tokio::select! {
                () = ended => {}
                () = following => {}
            }
        });
        Status::Running
    }
}

/// What the text says, or the file that it names.
fn master(text: &str) -> Result<Url, String> {
    if matches!(text, "local" | "localquiet") {
        return local::master(text == "localquiet");
    }
    let read = match text.strip_prefix("file://") {
        Some(path) => {
            let path = Path::new(path);
            std::fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))?
        }
        None => text.to_owned(),
    };
    Url::parse(&read).map_err(|error| error.to_string())
}

/// Tells the driver who leads, until it is over.
async fn follow(url: Url, session_timeout: std::time::Duration, driver: Driver<State>) {
    if let Url::Master(server) = &url {
        let leader = resolved(server).await;
        driver.tell(Event::LeaderSeen(Some(leader)));
        return;
    }
    let mut reports = detect(&url, session_timeout);
    while let Some(report) = reports.recv().await {
        let event = match report {
            Report::Leader(info) => Event::LeaderSeen(info.map(|info| member::pid_of(&info))),
            Report::Failed(why) | Report::Lost(why) => Event::NoDetection(why),
            // Only who stands is elected, or told who else does.
            Report::Elected(_) | Report::Standing(_) => continue,
        };
        driver.tell(event);
    }
}

/// Source: `fillMissingFrameworkInfoFields`, sched.cpp 1.11.
fn completed(mut framework: FrameworkInfo) -> FrameworkInfo {
    if framework.user.is_empty() {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        framework.user = user.map(|user| user.name).unwrap_or_default();
    }
    if framework.hostname.as_ref().is_none_or(String::is_empty) {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        framework.hostname = name.or(framework.hostname);
    }
    framework
}
