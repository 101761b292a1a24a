//! How long rounds of the allocator take: one JSON line per case, times in microseconds.
//!
//! `cargo bench --bench alloc`; a number as argument is the count of agents (10000).
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::alloc::{Allocator, Call, Grant, Options};
use mesos::base::time::Time;
use mesos::proto::{self, AgentInfo, FrameworkInfo};
use mesos::resources::Resources;

const SECOND: Duration = Duration::from_secs(1);

fn resources(text: &[(&str, f64)]) -> Resources {
    let scalar = |&(name, value): &(&str, f64)| proto::Resource {
        name: name.to_owned(),
        r#type: proto::value::Type::Scalar as i32,
        scalar: Some(proto::value::Scalar { value }),
        ..Default::default()
    };
    let messages: Vec<_> = text.iter().map(scalar).collect();
    Resources::from_protos(&messages).expect("these are resources")
}

struct Bench {
    allocator: Allocator,
    now: Time,
    agents: usize,
    frameworks: usize,
}

impl Bench {
    fn new(agents: usize, frameworks: usize) -> Bench {
        Bench { allocator: Allocator::new(Options::default()), now: Time::ZERO, agents, frameworks }
    }

    fn call(&mut self, call: Call) -> Vec<Grant> {
        self.allocator.handle(call, self.now)
    }

    fn tick(&mut self) -> Vec<Grant> {
        self.now = self.now + SECOND;
        self.call(Call::Tick)
    }

    fn add_agents(&mut self) -> Vec<Grant> {
        let total = resources(&[("cpus", 32.0), ("mem", 131_072.0), ("disk", 1_000_000.0)]);
        let add = |n| Call::AddAgent {
            id: format!("6b3e9f0a-S{n}").into(),
            number: 1,
            info: Arc::new(AgentInfo { hostname: format!("host{n}"), ..Default::default() }),
            total: total.clone(),
            held: vec![],
        };
        let calls: Vec<Call> = (0..self.agents).map(add).collect();
        calls.into_iter().flat_map(|call| self.call(call)).collect()
    }

    #[expect(deprecated, reason = "frameworks of one role")]
    fn add_frameworks(&mut self) -> Vec<Grant> {
        let mut grants = Vec::new();
        for n in 0..self.frameworks {
            let role = Some(format!("role{}", n % 5));
            grants.extend(self.call(Call::AddFramework {
                id: format!("6b3e9f0a-{n:04}").into(),
                info: Arc::new(FrameworkInfo { role, ..Default::default() }),
                suppressed: BTreeSet::new(),
                active: true,
                held: vec![],
            }));
        }
        grants
    }

    fn decline(&mut self, grants: Vec<Grant>, refuse: Duration) {
        for Grant { framework, role, agent, resources, .. } in grants {
            self.call(Call::Recover { framework, agent, role: Some(role), resources, refuse: Some(refuse) });
        }
    }

    /// Runs `round` often, with `after` between, and prints what it took.
    fn measure(
        &mut self,
        case: &str,
        times: usize,
        mut round: impl FnMut(&mut Bench) -> Vec<Grant>,
        mut after: impl FnMut(&mut Bench, Vec<Grant>),
    ) {
        let mut took = Vec::with_capacity(times);
        let mut granted = 0;
        for _ in 0..times {
            let start = Instant::now();
            let grants = round(self);
            took.push(start.elapsed().as_nanos() as f64 / 1000.0);
            granted += grants.len();
            after(self, grants);
        }
        let mean = took.iter().sum::<f64>() / times as f64;
        let max = took.iter().copied().fold(0.0, f64::max);
        println!(
            "{{\"case\":\"{case}\",\"agents\":{},\"frameworks\":{},\"rounds\":{times},\"grants\":{granted},\
             \"mean_us\":{mean:.1},\"max_us\":{max:.1},\"refusals\":{}}}",
            self.agents,
            self.frameworks,
            self.allocator.refusals()
        );
    }
}

fn main() {
    let agents = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000);

    let mut one = Bench::new(agents, 1);
    one.add_frameworks();
    one.measure("register all agents", 1, Bench::add_agents, |_, _| {});

    let mut one = Bench::new(agents, 1);
    one.add_agents();
    one.measure("one framework takes all", 1, Bench::add_frameworks, |_, _| {});
    one.measure("tick, all taken", 100, Bench::tick, |_, _| {});

    let mut ten = Bench::new(agents, 10);
    ten.add_agents();
    let grants = ten.add_frameworks();
    ten.decline(grants, 5 * SECOND);
    ten.measure("tick, ten decline all for 5 s", 30, Bench::tick, |b, grants| b.decline(grants, 5 * SECOND));
    let declined = std::cell::RefCell::new(Vec::new());
    ten.measure(
        "the declines of a tick",
        30,
        |b| {
            let grants = declined.take();
            b.decline(grants, 3600 * SECOND);
            Vec::new()
        },
        |b, _| *declined.borrow_mut() = b.tick(),
    );
    ten.decline(declined.into_inner(), 3600 * SECOND);
    ten.measure("tick, all refused for long", 100, Bench::tick, |_, _| {});
    let revive =
        |b: &mut Bench| b.call(Call::Revive { framework: "6b3e9f0a-0003".into(), roles: BTreeSet::new() });
    ten.measure("one of ten revives", 10, revive, |b, grants| b.decline(grants, 3600 * SECOND));
    let again = |b: &mut Bench| {
        b.now = b.now + 4000 * SECOND;
        b.tick()
    };
    ten.measure("tick, all refusals end at once", 1, again, |b, grants| b.decline(grants, 3600 * SECOND));

    let mut many = Bench::new(agents, 1000);
    many.add_agents();
    let grants = many.add_frameworks();
    many.decline(grants, 5 * SECOND);
    many.measure("tick, a thousand decline all for 5 s", 10, Bench::tick, |b, grants| {
        b.decline(grants, 5 * SECOND)
    });
    many.allocator.check().expect("the books are right");
}
