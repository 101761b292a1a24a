//! Scenarios as text: `tests/fixtures/alloc/*.txt`.
//!
//! A line is a command, and the indented lines below it are what it leads to, sorted: grants as
//! `-> framework role agent resources`. `#` begins a comment. Resources are `cpus:2;mem(role):64`.
//!
//! | command | |
//! |---|---|
//! | `options k=v…` | before all others: `role_sorter`, `framework_sorter`, `seed`, `min` (`cpus:1\|mem:2`, or `none`), `exclude`, `region`, `interval` |
//! | `agent a RES [host=h] [region=r] [attribute=x] [held=f:r:RES]` | registers, or registers again |
//! | `update a RES […]` | its total or info changes |
//! | `framework f role=r`, `roles=a,b [gpus] [regions] [revocable] [inactive] [suppress=a] [min=RES] [held=a:r:RES]` | subscribes |
//! | `change f …` | the same for `UpdateFramework` |
//! | `remove`, `activate`, `deactivate` `framework f` or `agent a` | |
//! | `decline f r a [5secs]` | gives all of the last grant back, refusing it |
//! | `keep f r a RES [5secs]` | keeps RES of the last grant, and gives the rest back |
//! | `release f r a RES`, `hold f r a RES` | tasks end, or turn up |
//! | `revive f [r…]`, `suppress f [r…]`, `request f`, `whitelist h…`, `whitelist all`, `weights a=2…` | |
//! | `tick [n]`, `wait 3secs` | n intervals pass, each with its tick; time alone passes |
//! | `needs f RES`, `run n` | f takes one task of this size from each offer, for n ticks |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Allocator, Call, Grant, Options, Role};
use crate::base::duration;
use crate::base::time::Time;
use crate::proto::framework_info::{Capability, capability};
use crate::proto::{self, AgentInfo, FrameworkInfo};
use crate::resources::{Quantities, Resources, scalar};

/// A framework that launches tasks of one size.
struct Needs {
    task: Resources,
    running: usize,
}

struct Runner {
    allocator: Allocator,
    options: Options,
    now: Time,
    registrations: u64,
    granted: BTreeMap<(String, String, String), Resources>,
    needs: BTreeMap<String, Needs>,
    held: BTreeMap<String, Resources>,
    fresh: Vec<Grant>,
}

fn resources(text: &str, allocated_to: Option<&str>) -> Resources {
    let entry = |part: &str| {
        let (name, amount) = part.split_once(':').unwrap();
        let (name, revocable) = match name.strip_suffix("{rev}") {
            Some(name) => (name, Some(proto::resource::RevocableInfo::default())),
            None => (name, None),
        };
        let (name, role) = match name.split_once('(') {
            Some((name, role)) => (name, Some(role.trim_end_matches(')'))),
            None => (name, None),
        };
        let reservation = role.map(|role| proto::resource::ReservationInfo {
            role: Some(role.to_owned()),
            r#type: Some(proto::resource::reservation_info::Type::Static as i32),
            ..Default::default()
        });
        proto::Resource {
            name: name.to_owned(),
            r#type: proto::value::Type::Scalar as i32,
            scalar: Some(proto::value::Scalar { value: amount.parse().unwrap() }),
            reservations: reservation.into_iter().collect(),
            revocable,
            allocation_info: allocated_to
                .map(|role| proto::resource::AllocationInfo { role: Some(role.to_owned()) }),
            ..Default::default()
        }
    };
    let entries: Vec<_> = text.split(';').filter(|part| !part.is_empty()).map(entry).collect();
    Resources::from_protos(&entries).unwrap()
}

fn show(resources: &Resources) -> String {
    let parts: Vec<String> = resources
        .iter()
        .map(|entry| {
            let role = entry.reservation_role().map(|role| format!("({role})")).unwrap_or_default();
            let revocable = if entry.is_revocable() { "{rev}" } else { "" };
            format!("{}{role}{revocable}:{}", entry.name(), scalar::text(entry.scalar().unwrap()))
        })
        .collect();
    parts.join(";")
}

/// Words of a line: those of the form `key=value`, and the others.
struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let (keyed, plain): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        Words { plain, keyed: keyed.into_iter().map(|word| word.split_once('=').unwrap()).collect() }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.keyed.iter().find(|(own, _)| *own == key).map(|(_, value)| *value)
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn roles(&self, from: usize) -> BTreeSet<Role> {
        self.plain.iter().skip(from).map(|&role| Role::from(role)).collect()
    }
}

fn options(words: &Words) -> Options {
    let mut options = Options::default();
    for &(key, value) in &words.keyed {
        match key {
            "role_sorter" => options.role_sorter = value.parse().unwrap(),
            "framework_sorter" => options.framework_sorter = value.parse().unwrap(),
            "seed" => options.seed = value.parse().unwrap(),
            "min" if value == "none" => options.min_allocatable_resources.clear(),
            "min" => {
                options.min_allocatable_resources =
                    value.split('|').map(|least| Quantities::parse(least).unwrap()).collect();
            }
            "exclude" => {
                options.fair_sharing_excluded_resource_names = value.split(',').map(str::to_owned).collect();
            }
            "region" => options.region = Some(value.to_owned()),
            "interval" => options.allocation_interval = duration::parse(value).unwrap(),
            _ => panic!("option {key}"),
        }
    }
    options
}

fn agent_info(words: &Words) -> Arc<AgentInfo> {
    let named = |name: &str| proto::domain_info::fault_domain::RegionInfo { name: name.to_owned() };
    let attribute = |name: &str| proto::Attribute { name: name.to_owned(), ..Default::default() };
    Arc::new(AgentInfo {
        hostname: words.get("host").unwrap_or(words.plain[1]).to_owned(),
        attributes: words.get("attribute").map(attribute).into_iter().collect(),
        domain: words.get("region").map(|region| proto::DomainInfo {
            fault_domain: Some(proto::domain_info::FaultDomain {
                region: named(region),
                zone: proto::domain_info::fault_domain::ZoneInfo { name: "z".to_owned() },
            }),
        }),
        ..Default::default()
    })
}

#[expect(deprecated, reason = "frameworks without MULTI_ROLE")]
fn framework_info(words: &Words) -> Arc<FrameworkInfo> {
    let mut info = FrameworkInfo { role: words.get("role").map(str::to_owned), ..Default::default() };
    let mut can = |ability: capability::Type| {
        info.capabilities.push(Capability { r#type: Some(ability as i32) });
    };
    if words.has("gpus") {
        can(capability::Type::GpuResources);
    }
    if words.has("regions") {
        can(capability::Type::RegionAware);
    }
    if words.has("revocable") {
        can(capability::Type::RevocableResources);
    }
    if let Some(roles) = words.get("roles") {
        can(capability::Type::MultiRole);
        info.roles = roles.split(',').map(str::to_owned).collect();
    }
    if let Some(least) = words.get("min") {
        let role = words.get("role").unwrap().to_owned();
        let least = Quantities::parse(least).unwrap().to_proto();
        let least = proto::offer_filters::ResourceQuantities { quantities: least };
        info.offer_filters.insert(
            role,
            proto::OfferFilters {
                min_allocatable_resources: Some(proto::offer_filters::MinAllocatableResources {
                    quantities: vec![least],
                }),
            },
        );
    }
    Arc::new(info)
}

impl Runner {
    fn new(options: Options) -> Runner {
        Runner {
            allocator: Allocator::new(options.clone()),
            options,
            now: Time::ZERO,
            registrations: 0,
            granted: BTreeMap::new(),
            needs: BTreeMap::new(),
            held: BTreeMap::new(),
            fresh: Vec::new(),
        }
    }

    fn call(&mut self, call: Call) {
        let grants = self.allocator.handle(call, self.now);
        for grant in &grants {
            assert!(grant.resources.iter().all(|entry| entry.allocation().is_none()));
            let key = (grant.framework.value.clone(), grant.role.to_string(), grant.agent.value.clone());
            assert!(grant.number > 0 && !grant.resources.is_empty());
            self.granted.insert(key, grant.resources.clone());
        }
        self.fresh.extend(grants);
        self.allocator.check().unwrap();
    }

    fn tick(&mut self) {
        self.now = self.now + self.options.allocation_interval;
        self.call(Call::Tick);
    }

    fn recover(&mut self, words: &Words, resources: Resources, refuse: Option<&&str>) {
        self.call(Call::Recover {
            framework: words.plain[1].into(),
            agent: words.plain[3].into(),
            role: Some(words.plain[2].into()),
            resources,
            refuse: refuse.map(|time| duration::parse(time).unwrap()),
        });
    }

    fn last_grant(&mut self, words: &Words) -> Resources {
        let key = (words.plain[1].to_owned(), words.plain[2].to_owned(), words.plain[3].to_owned());
        self.granted.remove(&key).unwrap_or_else(|| panic!("no grant {key:?}"))
    }

    fn command(&mut self, line: &str, out: &mut String) {
        let words = Words::of(line);
        let arg = |n: usize| *words.plain.get(n).unwrap_or_else(|| panic!("too short: {line}"));
        let listed =
            |key| words.get(key).into_iter().flat_map(|text| text.split(',')).map(Role::from).collect();
        let held = || {
            let held = words.keyed.iter().filter(|(key, _)| *key == "held");
            held.map(|(_, value)| {
                let (whose, rest) = value.split_once(':').unwrap();
                let (role, held) = rest.split_once(':').unwrap();
                (whose, resources(held, Some(role)))
            })
        };
        match words.plain[0] {
            "agent" => {
                self.registrations += 1;
                self.call(Call::AddAgent {
                    id: arg(1).into(),
                    number: self.registrations,
                    info: agent_info(&words),
                    total: resources(arg(2), None),
                    held: held().map(|(id, held)| (id.into(), held)).collect(),
                });
            }
            "update" => self.call(Call::UpdateAgent {
                id: arg(1).into(),
                info: agent_info(&words),
                total: resources(arg(2), None),
            }),
            "framework" => self.call(Call::AddFramework {
                id: arg(1).into(),
                info: framework_info(&words),
                suppressed: listed("suppress"),
                active: !words.has("inactive"),
                held: held().map(|(id, held)| (id.into(), held)).collect(),
            }),
            "change" => self.call(Call::UpdateFramework {
                id: arg(1).into(),
                info: framework_info(&words),
                suppressed: listed("suppress"),
            }),
            "remove" if arg(1) == "agent" => self.call(Call::RemoveAgent { id: arg(2).into() }),
            "remove" => {
                self.needs.remove(arg(2));
                self.call(Call::RemoveFramework { id: arg(2).into() });
            }
            "activate" if arg(1) == "agent" => self.call(Call::ActivateAgent { id: arg(2).into() }),
            "activate" => self.call(Call::ActivateFramework { id: arg(2).into() }),
            "deactivate" if arg(1) == "agent" => self.call(Call::DeactivateAgent { id: arg(2).into() }),
            "deactivate" => self.call(Call::DeactivateFramework { id: arg(2).into() }),
            "decline" => {
                let all = self.last_grant(&words);
                self.recover(&words, all, words.plain.get(4));
            }
            "keep" => {
                let mut rest = self.last_grant(&words);
                assert!(rest.take(&resources(arg(4), None)), "not granted: {line}");
                self.recover(&words, rest, words.plain.get(5));
            }
            "release" => self.recover(&words, resources(arg(4), Some(arg(2))), None),
            "hold" => self.call(Call::Hold {
                framework: arg(1).into(),
                agent: arg(3).into(),
                resources: resources(arg(4), Some(arg(2))),
            }),
            "revive" => self.call(Call::Revive { framework: arg(1).into(), roles: words.roles(2) }),
            "suppress" => self.call(Call::Suppress { framework: arg(1).into(), roles: words.roles(2) }),
            "request" => self.call(Call::Request { framework: arg(1).into() }),
            "whitelist" if words.has("all") => self.call(Call::Whitelist(None)),
            "whitelist" => {
                let hosts = words.plain[1..].iter().map(|&host| host.to_owned()).collect();
                self.call(Call::Whitelist(Some(hosts)));
            }
            "weights" => {
                let weight = |(role, weight): &(&str, &str)| (Role::from(*role), weight.parse().unwrap());
                self.call(Call::Weights(words.keyed.iter().map(weight).collect()));
            }
            "tick" => {
                for _ in 0..words.plain.get(1).map_or(1, |n| n.parse().unwrap()) {
                    self.tick();
                }
            }
            "wait" => self.now = self.now + duration::parse(arg(1)).unwrap(),
            "needs" => {
                let task = resources(arg(2), None);
                self.needs.insert(arg(1).to_owned(), Needs { task, running: 0 });
            }
            "run" => self.run(arg(1).parse().unwrap(), out),
            other => panic!("unknown command '{other}'"),
        }
    }

    /// Frameworks with needs take one task from each offer and give back the rest; what is too small for a
    /// task they refuse for long.
    fn run(&mut self, ticks: usize, out: &mut String) {
        for _ in 0..ticks {
            self.tick();
            for grant in std::mem::take(&mut self.fresh) {
                let Some(needs) = self.needs.get_mut(&grant.framework.value) else {
                    panic!("needs of {grant:?}")
                };
                let mut rest = grant.resources;
                let fits = rest.take(&needs.task);
                needs.running += usize::from(fits);
                if fits {
                    self.held.entry(grant.framework.value.clone()).or_default().add(&needs.task);
                }
                let refuse = (!fits).then_some(Duration::from_secs(1000));
                self.call(Call::Recover {
                    framework: grant.framework,
                    agent: grant.agent,
                    role: Some(grant.role),
                    resources: rest,
                    refuse,
                });
            }
        }
        for (framework, needs) in &self.needs {
            let held = self.held.get(framework).map(show).unwrap_or_default();
            writeln!(out, "  -> {framework} runs {}: {held}", needs.running).unwrap();
        }
    }
}

fn play(text: &str) -> String {
    let mut runner = Runner::new(Options::default());
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_whitespace().next() {
            None => {}
            Some("options") => runner = Runner::new(options(&Words::of(line))),
            Some(_) => runner.command(line, &mut out),
        }
        let mut grants: Vec<String> = runner
            .fresh
            .drain(..)
            .map(|g| format!("  -> {} {} {} {}\n", g.framework, g.role, g.agent, show(&g.resources)))
            .collect();
        grants.sort();
        out.extend(grants);
    }
    out
}

/// With `BLESS` in the environment the file is written anew, for its diff to be read.
#[expect(clippy::disallowed_methods, reason = "a test may write its fixture")]
fn compare(name: &str, text: &str) {
    let played = play(text);
    if std::env::var_os("BLESS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alloc/");
        std::fs::write(format!("{folder}{name}"), &played).unwrap();
    } else {
        assert!(played == text, "{name}: it went like this:\n\n{played}");
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alloc/", stringify!($name), ".txt"
            ));
            compare(concat!(stringify!($name), ".txt"), text);
        }
    )*};
}

scenarios! {
    abilities_gained
    drf_paper
    excluded_names
    fair_turns
    filters
    frameworks_change
    gpus_and_regions
    hierarchical_roles
    min_allocatable
    multi_role
    random_sorters
    return_with_tasks
    static_reservations
    strangers
    suppress_revive
    weights
    whitelist
}
