//! Any calls in any order: the books stay right, and no round misses anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};

use super::sorter::Dice;
use super::{Allocator, Call, Grant, Options, Policy, Role};
use crate::base::time::Time;
use crate::proto::framework_info::{Capability, capability};
use crate::proto::{self, AgentInfo, FrameworkInfo};
use crate::resources::Resources;

const ROLES: [&str; 4] = ["x", "y", "eng/a", "eng"];

fn resources(dice: &mut Dice) -> Resources {
    let mut messages = Vec::new();
    for name in ["cpus", "mem"] {
        for role in [None, Some("x"), Some("eng")] {
            if role.is_some() && dice.random_range(0..4) > 0 {
                continue;
            }
            let reservation = role.map(|role| proto::resource::ReservationInfo {
                role: Some(role.to_owned()),
                r#type: Some(proto::resource::reservation_info::Type::Static as i32),
                ..Default::default()
            });
            messages.push(proto::Resource {
                name: name.to_owned(),
                r#type: proto::value::Type::Scalar as i32,
                scalar: Some(proto::value::Scalar { value: f64::from(dice.random_range(0..5)) * 20.0 }),
                reservations: reservation.into_iter().collect(),
                ..Default::default()
            });
        }
    }
    Resources::from_protos(&messages).unwrap()
}

fn allocated(dice: &mut Dice) -> Resources {
    let mut some = resources(dice);
    some.allocate(&role(dice));
    some
}

fn role(dice: &mut Dice) -> Role {
    Role::from(ROLES[dice.random_range(0..ROLES.len())])
}

fn roles(dice: &mut Dice) -> BTreeSet<Role> {
    (0..dice.random_range(0..3)).map(|_| role(dice)).collect()
}

fn framework_info(dice: &mut Dice) -> Arc<FrameworkInfo> {
    let mut abilities = vec![capability::Type::MultiRole];
    if dice.random_range(0..2) == 0 {
        abilities.push(capability::Type::RegionAware);
    }
    Arc::new(FrameworkInfo {
        roles: roles(dice).iter().map(ToString::to_string).collect(),
        capabilities: abilities.into_iter().map(|a| Capability { r#type: Some(a as i32) }).collect(),
        ..Default::default()
    })
}

fn any_call(dice: &mut Dice, granted: &mut Vec<Grant>) -> Call {
    let framework = proto::FrameworkId::from(format!("f{}", dice.random_range(0..4)));
    let agent = proto::AgentId::from(format!("a{}", dice.random_range(0..4)));
    let info = Arc::new(AgentInfo {
        hostname: agent.value.clone(),
        attributes: (0..dice.random_range(0..2)).map(|_| proto::Attribute::default()).collect(),
        ..Default::default()
    });
    match dice.random_range(0..30) {
        0 | 1 => Call::AddFramework {
            id: framework,
            info: framework_info(dice),
            suppressed: roles(dice),
            active: dice.random_range(0..4) > 0,
            held: (0..dice.random_range(0..2)).map(|_| (agent.clone(), allocated(dice))).collect(),
        },
        2 => Call::UpdateFramework { id: framework, info: framework_info(dice), suppressed: roles(dice) },
        3 => Call::RemoveFramework { id: framework },
        4 => Call::ActivateFramework { id: framework },
        5 => Call::DeactivateFramework { id: framework },
        6 | 7 => Call::AddAgent {
            id: agent,
            number: 1,
            info,
            total: resources(dice),
            held: (0..dice.random_range(0..3)).map(|_| (framework.clone(), allocated(dice))).collect(),
        },
        8 => Call::RemoveAgent { id: agent },
        9 => Call::UpdateAgent { id: agent, info, total: resources(dice) },
        10 => Call::ActivateAgent { id: agent },
        11 => Call::DeactivateAgent { id: agent },
        12 => Call::Hold { framework, agent, resources: allocated(dice) },
        13 => Call::Revive { framework, roles: roles(dice) },
        14 => Call::Suppress { framework, roles: roles(dice) },
        15 if dice.random_range(0..2) == 0 => Call::Whitelist(None),
        15 => Call::Whitelist(Some(["a0", "a1", "a2"].map(str::to_owned).into())),
        16 => Call::Weights(BTreeMap::from([(role(dice), f64::from(dice.random_range(0..4)))])),
        17 => Call::Recover { framework, agent, role: None, resources: allocated(dice), refuse: None },
        18..26 if !granted.is_empty() => {
            let grant = granted.swap_remove(dice.random_range(0..granted.len()));
            let refuse = (dice.random_range(0..3) > 0).then(|| Duration::from_secs(dice.random_range(0..20)));
            Call::Recover {
                framework: grant.framework,
                agent: grant.agent,
                role: Some(grant.role),
                resources: grant.resources,
                refuse,
            }
        }
        _ => Call::Tick,
    }
}

#[test]
fn books_stay_right_and_rounds_miss_nothing() {
    for seed in 0..60 {
        let mut dice = Dice::seed_from_u64(seed);
        let policy = if seed % 3 == 0 { Policy::Random } else { Policy::Drf };
        let mut allocator = Allocator::new(Options {
            seed,
            role_sorter: policy,
            framework_sorter: policy,
            ..Options::default()
        });
        let mut granted = Vec::new();
        let mut now = Time::ZERO;
        for step in 0..400 {
            let call = any_call(&mut dice, &mut granted);
            now = now + Duration::from_millis(dice.random_range(0..1500));
            let shown = format!("seed {seed}, step {step}: {call:?}");
            let tick = matches!(call, Call::Tick);
            let grants = allocator.handle(call, now);
            if let Err(error) = allocator.check() {
                panic!("{error}\n{shown}");
            }
            if tick && let Some(missed) = allocator.missed() {
                panic!("missed {missed:?}\n{shown}");
            }
            granted.extend(grants);
        }
    }
}

/// What nobody wants costs nothing to look past: all is refused, and a tick has no agent to look at.
#[test]
fn an_idle_cluster_is_not_looked_at() {
    let mut dice = Dice::seed_from_u64(1);
    let mut allocator = Allocator::new(Options::default());
    let multi = Arc::new(FrameworkInfo { name: "idle".to_owned(), ..Default::default() });
    for n in 0..3 {
        let suppressed = BTreeSet::new();
        let id = format!("f{n}").into();
        allocator.handle(
            Call::AddFramework { id, info: multi.clone(), suppressed, active: true, held: vec![] },
            Time::ZERO,
        );
    }
    let mut grants = Vec::new();
    for n in 0..50 {
        let info = Arc::new(AgentInfo { hostname: format!("h{n}"), ..Default::default() });
        let mut total = resources(&mut dice);
        total.add(&resources(&mut dice));
        let id = format!("a{n}").into();
        grants.extend(
            allocator.handle(Call::AddAgent { id, number: 1, info, total, held: vec![] }, Time::ZERO),
        );
    }
    let mut now = Time::ZERO;
    let mut rounds = 0;
    while !grants.is_empty() {
        for grant in std::mem::take(&mut grants) {
            let Grant { framework, agent, role, resources, .. } = grant;
            let refuse = Some(Duration::from_secs(3600));
            allocator.handle(Call::Recover { framework, agent, role: Some(role), resources, refuse }, now);
        }
        now = now + Duration::from_secs(1);
        grants = allocator.handle(Call::Tick, now);
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert!(allocator.queue.is_empty() && allocator.woken.is_empty());
    assert!(allocator.refusals() > 100);
}
