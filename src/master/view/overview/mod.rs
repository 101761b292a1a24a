//! What web pages show, as rows: all of it once, then what changed since.
//!
//! The whole is what changed since there was nothing, so a page has one way to read both. A row is an array;
//! `columns` of the whole names its places. Two snapshots share what did not change between them, so what did is
//! found by comparing addresses; it is told only if its row reads differently.
//!
//! Absent on purpose: offers, of which a large cluster has thousands new ones each second (`offers` lists them for
//! the page that shows them), and what one page shows of one thing (`/tasks`, and the agents' own `/state`).

mod rows;
#[cfg(test)]
mod tests;
mod totals;

use std::cmp::Ordering;
use std::fmt::Display;
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::base::build;
use crate::master::core::state::{Cluster, Framework, Task};
use crate::master::flags::Flags;
use crate::proto::json::text::{self, Array, Object};

/// Everything, as the page gets it first; `at` says where it stands among the changes.
pub fn overview(cluster: &Cluster, flags: &Flags, at: &str) -> Vec<u8> {
    let tasks: usize = cluster.frameworks.values().map(|framework| framework.tasks.len()).sum();
    super::answer(8192 + 384 * cluster.agents.len() + 256 * tasks, |object| {
        object.string("at", at);
        object.object("columns", |object| {
            for (name, columns) in rows::COLUMNS {
                object.array(name, |array| columns.iter().for_each(|column| array.string(column)));
            }
        });
        object.object("master", |object| master(object, cluster, flags));
        totals::write(object, &totals::of(cluster));
        let nothing = Cluster::empty(cluster.info.clone(), cluster.started);
        lists(object, &nothing, cluster);
    })
}

/// What of a cluster reads differently now; none if nothing does.
pub fn changes(old: &Cluster, new: &Cluster) -> Option<Vec<u8>> {
    let answer = super::answer(1024, |object| {
        let totals = totals::of(new);
        if totals != totals::of(old) {
            totals::write(object, &totals);
        }
        lists(object, old, new);
    });
    (answer != b"{}").then_some(answer)
}

/// All offers that are out, as rows.
pub fn offers(cluster: &Cluster) -> Vec<u8> {
    super::answer(256 + 256 * cluster.offers.len(), |object| {
        object.array("columns", |array| rows::OFFER.iter().for_each(|column| array.string(column)));
        object.array("offers", |array| {
            cluster.offers.values().for_each(|offer| array.array(|row| rows::offer(row, offer)));
        });
    })
}

fn master(object: &mut Object<'_>, cluster: &Cluster, flags: &Flags) {
    let info = &cluster.info;
    object.string("id", &info.id);
    object.string("pid", info.pid.as_deref().unwrap_or_default());
    object.string("hostname", info.hostname.as_deref().unwrap_or_default());
    object.unsigned("port", u64::from(info.port));
    object.string("version", build::VERSION);
    if let Some(sha) = build::git_sha() {
        object.string("git_sha", sha);
    }
    object.number("build_time", build::time() as f64);
    object.string("build_user", build::user());
    object.number("start_time", cluster.started.as_secs_f64());
    object.number("elected_time", cluster.elected.as_secs_f64());
    if let Some(name) = &flags.cluster {
        object.string("cluster", name);
    }
    let logging = &flags.logging;
    object.boolean("has_log", logging.log_dir.is_some() || logging.external_log_file.is_some());
}

fn lists(object: &mut Object<'_>, old: &Cluster, new: &Cluster) {
    keyed(object, "agents", &old.agents, &new.agents, |row, _, agent| rows::agent(row, agent));
    keyed(object, "recovered", &old.recovered, &new.recovered, |row, id, info| {
        rows::recovered(row, &id.value, info);
    });
    keyed(object, "unreachable", &old.unreachable, &new.unreachable, |row, id, since| {
        rows::away(row, &id.value, *since);
    });
    keyed(object, "frameworks", &old.frameworks, &new.frameworks, |row, _, one| rows::framework(row, one));
    // Before the tasks: those of a framework that is completed now come with it.
    ring(
        object,
        "completed_frameworks",
        &old.completed_frameworks,
        &new.completed_frameworks,
        rows::framework,
    );
    tasks(object, "tasks", &each(&old.frameworks, &new.frameworks));
    let is_known =
        |one: &&Arc<Framework>| old.completed_frameworks.iter().any(|known| Arc::ptr_eq(known, one));
    let completed: Vec<_> = if same(&old.completed_frameworks, &new.completed_frameworks) {
        Vec::new()
    } else {
        new.completed_frameworks.iter().filter(|one| !is_known(one)).map(|one| (None, one)).collect()
    };
    tasks(object, "completed_framework_tasks", &completed);
}

/// Frameworks that are there now and may have changed, with what they were.
fn each<'a>(
    old: &'a OrdMap<crate::proto::FrameworkId, Arc<Framework>>,
    new: &'a OrdMap<crate::proto::FrameworkId, Arc<Framework>>,
) -> Vec<(Option<&'a Framework>, &'a Arc<Framework>)> {
    let changed = pairs(old, new).into_iter();
    changed.filter_map(|(_, old, new)| Some((old.map(|old| &**old), new?))).collect()
}

/// Their tasks, by the framework's id.
fn tasks(object: &mut Object<'_>, name: &str, frameworks: &[(Option<&Framework>, &Arc<Framework>)]) {
    let mut out = Vec::new();
    text::object(&mut out, |object| {
        for (old, new) in frameworks {
            let nothing = (OrdMap::new(), OrdMap::new(), Vector::new());
            let (running, away, ended) = match old {
                Some(old) => (&old.tasks, &old.unreachable_tasks, &old.completed_tasks),
                None => (&nothing.0, &nothing.1, &nothing.2),
            };
            let mut parts = Vec::new();
            text::object(&mut parts, |object| {
                let row =
                    |row: &mut Array<'_>, _: &crate::proto::TaskId, task: &Arc<Task>| rows::task(row, task);
                keyed(object, "active", running, &new.tasks, row);
                keyed(object, "unreachable", away, &new.unreachable_tasks, row);
                ring(object, "completed", ended, &new.completed_tasks, rows::task);
            });
            if parts != b"{}" {
                object.value(&new.id.value).extend_from_slice(&parts);
            }
        }
    });
    if out != b"{}" {
        object.value(name).extend_from_slice(&out);
    }
}

/// What two maps do not share, by key.
type Pairs<'a, K, V> = Vec<(&'a K, Option<&'a V>, Option<&'a V>)>;

/// Whether two values are the same without looking into them.
pub(super) trait Shared {
    fn is_same(&self, other: &Self) -> bool;
}

impl<T> Shared for Arc<T> {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

impl Shared for crate::base::time::Time {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

fn pairs<'a, K: Ord, V: Shared>(old: &'a OrdMap<K, V>, new: &'a OrdMap<K, V>) -> Pairs<'a, K, V> {
    let mut found = Vec::new();
    if old.ptr_eq(new) {
        return found;
    }
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let gone = if order.is_le() { before.next() } else { None };
        let here = if order.is_ge() { after.next() } else { None };
        let (old, new) = (gone.map(|(_, value)| value), here.map(|(_, value)| value));
        if let (Some(old), Some(new)) = (old, new)
            && old.is_same(new)
        {
            continue;
        }
        if let Some((key, _)) = here.or(gone) {
            found.push((key, old, new));
        }
    }
}

/// `{"set":[rows],"gone":[ids]}` of what differs, or nothing.
fn keyed<'a, K: Ord + Display, V: Shared>(
    object: &mut Object<'_>,
    name: &str,
    old: &'a OrdMap<K, V>,
    new: &'a OrdMap<K, V>,
    row: impl Fn(&mut Array<'_>, &K, &V),
) {
    let render = |key: &K, value: &V| {
        let mut out = Vec::with_capacity(256);
        text::array(&mut out, |array| row(array, key, value));
        out
    };
    let (mut set, mut gone) = (Vec::new(), Vec::new());
    for (key, old, new) in pairs(old, new) {
        match (old, new) {
            (_, None) => gone.push(key),
            (None, Some(new)) => set.push(render(key, new)),
            (Some(old), Some(new)) => {
                let text = render(key, new);
                if text != render(key, old) {
                    set.push(text);
                }
            }
        }
    }
    if set.is_empty() && gone.is_empty() {
        return;
    }
    object.object(name, |object| {
        if !set.is_empty() {
            object.array("set", |array| set.iter().for_each(|row| array.value().extend_from_slice(row)));
        }
        if !gone.is_empty() {
            object.array("gone", |array| gone.iter().for_each(|key| array.string(&key.to_string())));
        }
    });
}

fn same<T>(old: &Vector<Arc<T>>, new: &Vector<Arc<T>>) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| Arc::ptr_eq(old, new))
}

/// `{"dropped":n,"added":[rows]}`: so many of the oldest are no more, and these came behind the others.
fn ring<T>(
    object: &mut Object<'_>,
    name: &str,
    old: &Vector<Arc<T>>,
    new: &Vector<Arc<T>>,
    row: impl Fn(&mut Array<'_>, &T),
) {
    if same(old, new) {
        return;
    }
    let first = new.front().and_then(|first| old.iter().position(|one| Arc::ptr_eq(one, first)));
    let dropped = first.filter(|dropped| {
        let kept = old.len() - dropped;
        kept <= new.len() && old.iter().skip(*dropped).zip(new).all(|(old, new)| Arc::ptr_eq(old, new))
    });
    let (dropped, kept) = dropped.map_or((old.len(), 0), |dropped| (dropped, old.len() - dropped));
    object.object(name, |object| {
        if dropped > 0 {
            object.unsigned("dropped", dropped as u64);
        }
        if kept < new.len() {
            object.array("added", |array| {
                new.iter().skip(kept).for_each(|one| array.array(|array| row(array, one)));
            });
        }
    });
}
