//! The work, line by line, the same for either master.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::fleet::{self, Fleet};
use super::followers::Followers;
use super::framework::{self, Framework, Wish};
use super::measured::{Used, settle, urgent, used};
use super::reads::{self, Ask};
use super::report::{Figures, Kind};
use super::support::{self, Process, wait_for};

/// The longest a line may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub agents: usize,
    /// Tasks on each, for launches and re-registrations.
    pub each: usize,
    /// Of one more cluster that only registers.
    pub many: usize,
    /// Calls of one kind of read.
    pub reads: usize,
    /// Subscribers of the event stream, one in twenty of which never reads.
    pub followers: usize,
}

/// Starts a master on a port, with the same flags as any other.
pub type Start<'a> = &'a dyn Fn(u16, &Path) -> Process;

struct Run<'a> {
    start: Start<'a>,
    dir: tempfile::TempDir,
    master: Process,
    address: SocketAddr,
    figures: Figures,
}

impl<'a> Run<'a> {
    fn new(start: Start<'a>) -> Run<'a> {
        let dir = tempfile::tempdir().expect("a folder");
        let port = support::free_port();
        let master = begin(start, port, dir.path());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Run { start, dir, master, address, figures: Figures::default() }
    }
}

/// Everything that one master does.
pub async fn play(start: Start<'_>, size: Size) -> Figures {
    let mut run = Run::new(start);
    run.small(size.agents / 10).await;
    let fleet = run.registration(size.agents).await;
    run.idle(size.agents).await;
    run.declines().await;
    let framework = run.launch(&fleet, size).await;
    run.all_reads(size).await;
    run.registration_under_reads(size.agents).await;
    run.life(&fleet, &framework, size).await;
    for each in BTreeSet::from([size.each, 10]) {
        run.failover(size.agents, each).await;
    }
    if size.many > 0 {
        run.again();
        run.registration(size.many).await;
        run.idle(size.many).await;
    }
    run.figures
}

/// Agents register with a master that nobody follows, and with one that many do; each time another master, in
/// turns, since no two runs are alike.
pub async fn followed(start: Start<'_>, size: Size) -> Figures {
    const ROUNDS: usize = 5;
    let mut run = Run::new(start);
    let stuck = size.followers / 20;
    let (mut alone, mut followed) = (Vec::new(), Vec::new());
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        let (fleet, quiet) = run.registered(size.agents).await;
        run.again();
        fleet.leave();
        let followers = Followers::start(run.address, size.followers - stuck, stuck);
        followers.greeted().await;
        settle(run.master.pid()).await;
        let start = Instant::now();
        let (fleet, busy) = run.registered(size.agents).await;
        followers.told(size.agents).await;
        told.push(start.elapsed().as_secs_f64());
        assert_eq!(followers.ended(), 0, "those who read are told all");
        run.again();
        fleet.leave();
        eprintln!(
            "  {:.2} s alone, {:.2} s followed; {:.2} and {:.2} s of CPU; {} MiB told in {:.1} s",
            quiet.took,
            busy.took,
            quiet.cpu,
            busy.cpu,
            followers.bytes() >> 20,
            told.last().unwrap()
        );
        alone.push(quiet);
        followed.push(busy);
    }
    let line = format!("registration of {} agents, {} followers", size.agents, size.followers);
    let pairs = || alone.iter().zip(&followed);
    let of = |values: Vec<f64>| reads::median(values).unwrap_or_default();
    let figures = &mut run.figures;
    figures.add(&line, "time, nobody follows", Kind::Latency, of(alone.iter().map(|one| one.took).collect()));
    figures.add(&line, "time", Kind::Latency, of(followed.iter().map(|one| one.took).collect()));
    figures.add(&line, "time, ratio", Kind::Part, of(pairs().map(|(a, b)| b.took / a.took).collect()));
    figures.add(&line, "urgent CPU, ratio", Kind::Part, of(pairs().map(|(a, b)| b.cpu / a.cpu).collect()));
    figures.add(&line, "until all are told", Kind::Latency, of(told));
    run.figures
}

/// One registration, in seconds.
struct Registered {
    took: f64,
    /// Of those of the master's threads that do not give way.
    cpu: f64,
}

fn begin(start: Start<'_>, port: u16, dir: &Path) -> Process {
    let master = start(port, dir);
    wait_for("master", || support::get(port, "/health").ok());
    master
}

/// Waits for something to come true, told of changes by `changed`.
async fn until(what: &str, changed: &tokio::sync::Notify, mut done: impl FnMut() -> bool) {
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

impl Run<'_> {
    fn used(&self) -> Used {
        used(self.master.pid())
    }

    /// A new master at the same address, which knows nothing.
    fn again(&mut self) {
        self.master.kill();
        self.dir = tempfile::tempdir().expect("a folder");
        self.master = begin(self.start, self.address.port(), self.dir.path());
    }

    fn cpu(&mut self, line: &str, before: Used, units: usize) {
        let spent = self.used().cpu - before.cpu;
        self.figures.add(line, "CPU each", Kind::Cpu, spent / units as f64);
    }

    async fn small(&mut self, agents: usize) {
        self.registration(agents).await;
        self.again();
    }

    async fn registration(&mut self, agents: usize) -> Rc<Fleet> {
        let line = format!("registration of {agents} agents");
        let fleet = Fleet::new(self.address, agents).await.expect("a listener");
        let (before, start) = (self.used(), Instant::now());
        fleet.register();
        until(&line, &fleet.changed, || fleet.seen().registered >= agents).await;
        let took = start.elapsed();
        settle(self.master.pid()).await;
        self.figures.add(&line, "agents", Kind::Rate, agents as f64 / took.as_secs_f64());
        self.cpu(&line, before, agents);
        let grown = (self.used().memory - before.memory) / agents as f64;
        self.figures.add(&line, "memory each", Kind::Memory, grown);
        fleet
    }

    /// Registers agents and says what that took.
    async fn registered(&self, agents: usize) -> (Rc<Fleet>, Registered) {
        let fleet = Fleet::new(self.address, agents).await.expect("a listener");
        let (before, start) = (urgent(self.master.pid()), Instant::now());
        fleet.register();
        until("registration", &fleet.changed, || fleet.seen().registered >= agents).await;
        let took = start.elapsed().as_secs_f64();
        (fleet, Registered { took, cpu: urgent(self.master.pid()) - before })
    }

    async fn idle(&mut self, agents: usize) {
        let before = self.used();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let line = format!("idle for 20 s, {agents} agents");
        self.figures.add(&line, "CPU", Kind::Cpu, self.used().cpu - before.cpu);
    }

    /// Ten frameworks that decline all they are offered.
    async fn declines(&mut self) {
        let line = "offers to 10 frameworks that decline all";
        let mut frameworks = Vec::new();
        let (before, start) = (self.used(), Instant::now());
        for number in 0..10 {
            let info = framework::info(&format!("declines-{number}"));
            let framework = Framework::subscribe(self.address, info, Wish::DeclineAll).await;
            frameworks.push(framework.expect("the master takes schedulers"));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let offers: usize = frameworks.iter().map(|framework| framework.offers.get()).sum();
        self.figures.add(line, "offers", Kind::Rate, offers as f64 / start.elapsed().as_secs_f64());
        self.cpu(line, before, offers.max(1));
        for framework in frameworks {
            framework.wish(Wish::Nothing);
            framework.tear_down();
        }
        settle(self.master.pid()).await;
    }

    async fn launch(&mut self, fleet: &Rc<Fleet>, size: Size) -> Rc<Framework> {
        let tasks = size.agents * size.each;
        let line = format!("launch of {tasks} tasks on {} agents", size.agents);
        fleet.play(fleet::RUNNING);
        let (before, start) = (self.used(), Instant::now());
        let wish = Wish::Launch { each: size.each, left: tasks };
        let framework = Framework::subscribe(self.address, framework::info("launches"), wish).await;
        let framework = framework.expect("the master takes schedulers");
        until(&line, &framework.changed, || framework.latencies.borrow().len() >= tasks).await;
        let took = start.elapsed();
        framework.wish(Wish::Nothing);
        framework.suppress();
        settle(self.master.pid()).await;
        self.figures.add(&line, "tasks", Kind::Rate, tasks as f64 / took.as_secs_f64());
        let median = reads::median(framework.latencies.take()).unwrap_or_default();
        self.figures.add(&line, "ACCEPT to RUNNING, p50", Kind::Latency, median.as_secs_f64());
        self.cpu(&line, before, tasks);
        self.figures.add(&line, "memory of the master", Kind::Memory, self.used().memory);
        framework
    }

    async fn all_reads(&mut self, size: Size) {
        let state = b"{\"type\":\"GET_STATE\"}";
        // Call.type = GET_STATE.
        let binary = &[0x08, 9];
        let asks = [
            ("/state", Ask::Get("/state")),
            ("/state-summary", Ask::Get("/state-summary")),
            ("/tasks", Ask::Get("/tasks?limit=100000")),
            ("/metrics/snapshot", Ask::Get("/metrics/snapshot")),
            ("GET_STATE, protobuf", Ask::Call { body: binary, encoding: "application/x-protobuf" }),
            ("GET_STATE, JSON", Ask::Call { body: state, encoding: "application/json" }),
        ];
        for (name, ask) in asks {
            self.read(name, ask, size.reads).await;
        }
    }

    async fn read(&mut self, name: &str, ask: Ask, count: usize) {
        let (before, address) = (self.used(), self.address);
        let answers = tokio::task::spawn_blocking(move || reads::times(address, ask, count)).await;
        let answers = answers.expect("a reader");
        let last = answers.last().expect("at least one");
        if last.status != 200 {
            eprintln!("  {name}: status {}: {}", last.status, String::from_utf8_lossy(&last.body));
            return;
        }
        let size = last.body.len() as f64;
        let median = reads::median(answers.iter().map(|answer| answer.took).collect()).unwrap_or_default();
        self.figures.add(name, "p50", Kind::Latency, median.as_secs_f64());
        self.cpu(name, before, count);
        self.figures.add(name, "bytes", Kind::Size, size);
    }

    /// Another tenth of the agents registers quietly, and one more while `/state` is read in a loop.
    async fn registration_under_reads(&mut self, agents: usize) {
        let some = (agents / 10).max(1);
        for reading in [false, true] {
            let line = format!("{some} more agents{}", if reading { " while /state is read" } else { "" });
            let first = agents * (1 + usize::from(reading));
            let fleet = Fleet::new_from(self.address, first, some).await.expect("a listener");
            fleet.play(fleet::WHOLE_LIFE);
            let reader = reading.then(|| reads::Loop::start(self.address, Ask::Get("/state")));
            if reading {
                // The first answer is under way.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let start = Instant::now();
            fleet.register();
            until(&line, &fleet.changed, || fleet.seen().registered >= some).await;
            self.figures.add(&line, "time", Kind::Latency, start.elapsed().as_secs_f64());
            if let Some(reader) = reader {
                let answers = tokio::task::spawn_blocking(move || reader.stop()).await.expect("a reader");
                self.figures.add(&line, "answers meanwhile", Kind::Size, answers as f64);
            }
            settle(self.master.pid()).await;
        }
    }

    /// STARTING, RUNNING, FINISHED of one task on each agent, each acknowledged.
    async fn life(&mut self, fleet: &Rc<Fleet>, framework: &Rc<Framework>, size: Size) {
        let tasks = size.agents;
        let line = format!("whole life of {tasks} tasks, 3 updates each");
        fleet.play(fleet::WHOLE_LIFE);
        let (before, start) = (self.used(), Instant::now());
        framework.wish(Wish::Launch { each: 1, left: tasks });
        framework.revive();
        until(&line, &framework.changed, || framework.finished.get() >= tasks).await;
        let took = start.elapsed();
        framework.wish(Wish::Nothing);
        framework.suppress();
        settle(self.master.pid()).await;
        self.figures.add(&line, "tasks", Kind::Rate, tasks as f64 / took.as_secs_f64());
        self.cpu(&line, before, tasks);
    }

    /// A new master, to which all agents come back, each with its tasks.
    async fn failover(&mut self, agents: usize, each: usize) {
        let line = format!("re-registration of {agents} agents x {each} tasks");
        self.again();
        let fleet = self.registration_before(agents).await;
        let framework = Framework::subscribe(self.address, framework::info("returns"), Wish::Nothing).await;
        let info = framework.expect("the master takes schedulers").info.borrow().clone();
        self.again();
        let (before, start) = (self.used(), Instant::now());
        let back = Framework::subscribe(self.address, info.clone(), Wish::Nothing).await;
        let back = back.expect("the master takes it back");
        fleet.reregister(&info, each);
        until(&line, &fleet.changed, || fleet.seen().reregistered >= agents).await;
        let address = self.address;
        let seen =
            tokio::task::spawn_blocking(move || reads::ask(&reads::client(), address, Ask::Get("/state")));
        let seen = seen.await.expect("a reader");
        let took = start.elapsed();
        let state: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
        let tasks = state["frameworks"].as_array().map_or(0, |all| {
            all.iter().filter_map(|framework| framework["tasks"].as_array()).map(Vec::len).sum::<usize>()
        });
        assert_eq!(tasks, agents * each, "tasks in /state");
        drop((state, seen));
        settle(self.master.pid()).await;
        self.figures.add(&line, "until all in /state", Kind::Latency, took.as_secs_f64());
        self.cpu(&line, before, agents);
        self.figures.add(&line, "memory of the master", Kind::Memory, self.used().memory);
        drop(back);
    }

    /// Agents that the master before the measured one knew, so that they have ids.
    async fn registration_before(&self, agents: usize) -> Rc<Fleet> {
        let fleet = Fleet::new(self.address, agents).await.expect("a listener");
        fleet.register();
        until("registration", &fleet.changed, || fleet.seen().registered >= agents).await;
        fleet
    }
}
