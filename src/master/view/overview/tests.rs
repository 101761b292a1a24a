use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::*;
use crate::master::core::state::{Cluster, Task};
use crate::master::view::tests::cluster;
use crate::proto::{AgentId, FrameworkId, TaskId, TaskState};

/// What a page knows, held as it holds it.
#[derive(Debug, Default, PartialEq)]
struct Page {
    keyed: BTreeMap<String, BTreeMap<String, Value>>,
    rings: BTreeMap<String, Vec<Value>>,
    totals: Value,
}

impl Page {
    fn read(&mut self, place: &str, part: &Value) {
        let rows = |name: &str| part[name].as_array().cloned().unwrap_or_default();
        if part.get("added").is_some() || part.get("dropped").is_some() {
            let ring = self.rings.entry(place.to_owned()).or_default();
            ring.drain(..part["dropped"].as_u64().unwrap_or(0) as usize);
            ring.extend(rows("added"));
            return;
        }
        let list = self.keyed.entry(place.to_owned()).or_default();
        for row in rows("set") {
            list.insert(row[0].as_str().unwrap().to_owned(), row);
        }
        for id in rows("gone") {
            assert!(list.remove(id.as_str().unwrap()).is_some(), "{place}: {id} was never told");
        }
        list.is_empty().then(|| self.keyed.remove(place));
    }

    fn apply(&mut self, json: &[u8]) {
        let told: Map<String, Value> = serde_json::from_slice(json).unwrap();
        for (name, part) in &told {
            match name.as_str() {
                "at" | "columns" | "master" => {}
                "totals" => self.totals = part.clone(),
                "tasks" | "completed_framework_tasks" => {
                    for (framework, lists) in part.as_object().unwrap() {
                        for (list, part) in lists.as_object().unwrap() {
                            self.read(&format!("{name} {framework} {list}"), part);
                        }
                    }
                }
                _ => self.read(name, part),
            }
        }
        // Tasks go with their framework.
        let there: Vec<String> =
            self.keyed.get("frameworks").into_iter().flatten().map(|(id, _)| id.clone()).collect();
        let has = |place: &String| match place.strip_prefix("tasks ").and_then(|rest| rest.split(' ').next())
        {
            Some(id) => there.iter().any(|known| known == id),
            None => true,
        };
        self.keyed.retain(|place, _| has(place));
        self.rings.retain(|place, ring| has(place) && !ring.is_empty());
    }

    fn of(cluster: &Cluster) -> Page {
        let mut page = Page::default();
        page.apply(&overview(cluster, &Flags::from_args(&["--cluster=<c>"]).unwrap(), "m:1"));
        page
    }
}

fn changed(cluster: &mut Cluster, change: impl FnOnce(&mut Framework)) {
    change(Arc::make_mut(cluster.frameworks.get_mut(&FrameworkId::from("F0")).unwrap()));
}

/// A task that has come as far as `state`.
fn task(id: &str, state: TaskState, like: &Cluster) -> Arc<Task> {
    let mut task = like.frameworks[&FrameworkId::from("F0")].tasks[&TaskId::from("t1")].clone();
    let new = Arc::make_mut(&mut task);
    (new.id, new.state) = (id.into(), state);
    task
}

/// What happens to a cluster, one step after the other.
fn story() -> Vec<Cluster> {
    let mut now = cluster();
    let like = now.clone();
    let mut story = vec![Cluster::empty(now.info.clone(), now.started), now.clone()];
    let mut then = |now: &Cluster| story.push(now.clone());
    for number in 0..5 {
        let id = format!("n{number}");
        changed(&mut now, |one| {
            one.tasks.insert(id.as_str().into(), task(&id, TaskState::TaskStaging, &like));
        });
        then(&now);
        changed(&mut now, |one| {
            one.tasks.remove(&TaskId::from(id.as_str()));
            one.completed_tasks.push_back(task(&id, TaskState::TaskFailed, &like));
            if one.completed_tasks.len() > 3 {
                one.completed_tasks.pop_front();
            }
        });
        then(&now);
    }
    changed(&mut now, |one| {
        one.tasks.clear();
        one.unreachable_tasks.insert("u".into(), task("u", TaskState::TaskUnreachable, &like));
    });
    let agent = now.agents.remove(&AgentId::from("S0")).unwrap();
    now.unreachable.insert("S0".into(), now.started);
    then(&now);
    now.unreachable.clear();
    now.agents.insert("S0".into(), agent);
    now.recovered.clear();
    then(&now);
    Arc::make_mut(now.agents.get_mut(&AgentId::from("S0")).unwrap()).active = false;
    then(&now);
    let mut done = now.frameworks.remove(&FrameworkId::from("F0")).unwrap();
    Arc::make_mut(&mut done).unregistered = Some(now.started);
    now.completed_frameworks.push_back(done);
    then(&now);
    story
}

#[test]
fn changes_lead_to_what_the_whole_shows() {
    let story = story();
    let mut page = Page::of(&story[0]);
    for pair in story.windows(2) {
        let told = changes(&pair[0], &pair[1]).expect("every step shows");
        page.apply(&told);
        assert_eq!(page, Page::of(&pair[1]), "after {}", String::from_utf8_lossy(&told));
    }
    // Also all at once, and back.
    let (first, last) = (&story[0], story.last().unwrap());
    for (from, to) in [(first, last), (&story[4], last), (last, &story[4])] {
        let mut page = Page::of(from);
        page.apply(&changes(from, to).unwrap());
        let mut wanted = Page::of(to);
        // What completed frameworks ran is dropped with them, by name.
        page.keyed.retain(|place, _| to.completed_frameworks.len() == 1 || !place.starts_with("completed_"));
        page.rings.retain(|place, _| to.completed_frameworks.len() == 1 || !place.starts_with("completed_"));
        wanted.rings.retain(|_, ring| !ring.is_empty());
        assert_eq!(page, wanted);
    }
}

#[test]
fn what_reads_the_same_is_not_told() {
    let cluster = cluster();
    assert_eq!(changes(&cluster, &cluster.clone()), None);
    let mut other = cluster.clone();
    // Acknowledged: its part of the books is another, its row is not.
    changed(&mut other, |one| {
        Arc::make_mut(one.tasks.get_mut(&TaskId::from("t1")).unwrap()).update =
            Some((TaskState::TaskRunning, "u".into()));
    });
    assert_eq!(changes(&cluster, &other), None);
    changed(&mut other, |one| {
        Arc::make_mut(one.tasks.get_mut(&TaskId::from("t1")).unwrap()).state = TaskState::TaskKilling
    });
    let told = String::from_utf8(changes(&cluster, &other).unwrap()).unwrap();
    assert!(
        told.contains(r#""tasks":{"F0":{"active":{"set":[["t1","n","S0","ex","eng/web","KILLING","#),
        "{told}"
    );
    assert!(!told.contains("completed") && !told.contains("agents\":{\"set"), "{told}");
}

#[test]
fn rows_are_as_long_as_their_columns() {
    let cluster = cluster();
    let whole: Value =
        serde_json::from_slice(&overview(&cluster, &Flags::from_args(&[]).unwrap(), "m:1")).unwrap();
    let columns = |name: &str| whole["columns"][name].as_array().unwrap().len();
    let row = |row: &Value| row.as_array().unwrap().len();
    assert_eq!(row(&whole["agents"]["set"][0]), columns("agent"));
    assert_eq!(row(&whole["recovered"]["set"][0]), columns("recovered"));
    assert_eq!(row(&whole["frameworks"]["set"][0]), columns("framework"));
    assert_eq!(row(&whole["tasks"]["F0"]["active"]["set"][0]), columns("task"));
    let offers: Value = serde_json::from_slice(&offers(&cluster)).unwrap();
    assert_eq!(row(&offers["offers"][0]), offers["columns"].as_array().unwrap().len());
}
