//! Which task, agent or framework a word means.

use std::fmt::Write as _;

use serde_json::Value;

use super::Ctl;
use super::address::Address;
use super::args::{Target, Which};
use super::client::{Request, Server};
use super::error::Error;
use super::units::{harmless, items, number, take, text};

/// How many candidates a refusal lists.
const MOST: usize = 20;

/// More tasks than any master has: `/tasks` answers with 100 unless told otherwise.
const ALL: &str = "10000000";

/// How well a word fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Start,
    Tail,
    /// Another name of it, in full.
    Alias,
    Whole,
}

fn fit(word: &str, id: &str, aliases: &[&str]) -> Option<Fit> {
    if id == word {
        Some(Fit::Whole)
    } else if aliases.contains(&word) {
        Some(Fit::Alias)
    } else if id.rsplit_once('-').is_some_and(|(_, tail)| tail == word) {
        Some(Fit::Tail)
    } else if id.starts_with(word) {
        Some(Fit::Start)
    } else {
        None
    }
}

/// The items that a word fits best.
fn best<'a>(
    word: &str,
    all: impl Iterator<Item = &'a Value>,
    aliases: fn(&Value) -> Vec<&str>,
) -> Vec<&'a Value> {
    let mut found: Vec<(Fit, &Value)> =
        all.filter_map(|item| Some((fit(word, text(item, "id"), &aliases(item))?, item))).collect();
    let top = found.iter().map(|(fit, _)| *fit).max();
    found.retain(|(fit, _)| Some(*fit) == top);
    found.into_iter().map(|(_, item)| item).collect()
}

fn ambiguous(what: &str, word: &str, found: &[&Value], tell: fn(&Value) -> String, hint: &str) -> Error {
    let mut said = format!("'{word}' fits {} {what}:\n", found.len());
    for item in found.iter().take(MOST) {
        writeln!(said, "  {}", harmless(&tell(item))).expect("a String takes every text");
    }
    if found.len() > MOST {
        writeln!(said, "  … and {} more", found.len() - MOST).expect("a String takes every text");
    }
    said.push_str(hint);
    Error::NotFound(said)
}

/// All agents as `/slaves` lists them.
pub fn agents(master: &Server<'_>) -> Result<Vec<Value>, Error> {
    Ok(take(master.own_json("slaves")?, "slaves"))
}

/// Those, each with its `state` if it is not registered: `recovered` or `unreachable`.
pub fn all_agents(master: &Server<'_>) -> Result<Vec<Value>, Error> {
    let mut answer = master.own_json("slaves")?;
    let mut all = Vec::new();
    for (list, state) in [
        ("slaves", None),
        ("recovered_slaves", Some("recovered")),
        ("unreachable_slaves", Some("unreachable")),
    ] {
        for mut agent in answer
            .get_mut(list)
            .map(Value::take)
            .and_then(|list| match list {
                Value::Array(agents) => Some(agents),
                _ => None,
            })
            .unwrap_or_default()
        {
            if let (Some(fields), Some(state)) = (agent.as_object_mut(), state) {
                fields.insert("state".to_owned(), state.into());
            }
            all.push(agent);
        }
    }
    Ok(all)
}

/// The agent of this id or hostname.
pub fn agent<'a>(word: &str, agents: &'a [Value]) -> Result<&'a Value, Error> {
    let found = best(word, agents.iter(), |agent| vec![text(agent, "hostname")]);
    match found[..] {
        [agent] => Ok(agent),
        [] => Err(Error::NotFound(format!("No agent fits '{word}'. `mesos ctl agents` lists them."))),
        _ => {
            let tell = |agent: &Value| format!("{}  {}", text(agent, "id"), text(agent, "hostname"));
            Err(ambiguous("agents", word, &found, tell, "Say more of the id."))
        }
    }
}

/// The framework of this id or name, out of what `/frameworks` says; those that are there go before those that
/// have ended.
pub fn framework<'a>(word: &str, answer: &'a Value) -> Result<&'a Value, Error> {
    fn names(framework: &Value) -> Vec<&str> {
        vec![text(framework, "name")]
    }
    let mut found = best(word, items(answer, "frameworks").iter(), names);
    if found.is_empty() {
        found = best(word, items(answer, "completed_frameworks").iter(), names);
    }
    match found[..] {
        [framework] => Ok(framework),
        [] => Err(Error::NotFound(format!(
            "No framework fits '{word}'. `mesos ctl frameworks --all` lists them."
        ))),
        _ => {
            let tell = |framework: &Value| format!("{}  {}", text(framework, "id"), text(framework, "name"));
            Err(ambiguous("frameworks", word, &found, tell, "Say more of the id."))
        }
    }
}

/// A task by what names it.
pub fn task_id(task: &Value) -> (&str, &str) {
    (text(task, "framework_id"), text(task, "id"))
}

/// `running` for `TASK_RUNNING`.
pub fn state(task: &Value) -> String {
    let state = text(task, "state");
    state.strip_prefix("TASK_").unwrap_or(state).to_ascii_lowercase()
}

/// Whether it will never run again.
pub fn has_ended(task: &Value) -> bool {
    matches!(
        text(task, "state"),
        "TASK_FINISHED"
            | "TASK_FAILED"
            | "TASK_KILLED"
            | "TASK_ERROR"
            | "TASK_LOST"
            | "TASK_DROPPED"
            | "TASK_GONE"
    )
}

/// When it had its first status, in Unix seconds; 0 if that is not known.
pub fn started(task: &Value) -> f64 {
    items(task, "statuses").first().map_or(0.0, |status| number(status, "timestamp"))
}

fn latest(task: &Value) -> f64 {
    items(task, "statuses").last().map_or(0.0, |status| number(status, "timestamp"))
}

/// Every task that the master remembers, or those that a query asks for.
pub fn tasks(master: &Server<'_>, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
    let query: Vec<(&str, &str)> = [("limit", ALL)].into_iter().chain(query.iter().copied()).collect();
    Ok(take(master.json(&Request::get(&master.own("tasks")).query(&query))?, "tasks"))
}

/// What a task is wanted for, if several have the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The one that runs, or else the last one that did.
    Latest,
    /// One that has not ended.
    Alive,
}

impl Ctl {
    /// The one task that is meant.
    pub fn task(&self, master: &Server<'_>, which: &Which, want: Want) -> Result<Value, Error> {
        let framework = match &which.framework {
            Some(word) => Some(text(framework(word, &master.own_json("frameworks")?)?, "id").to_owned()),
            None => None,
        };
        let mut query: Vec<(&str, &str)> = Vec::new();
        query.extend(framework.as_deref().map(|id| ("framework_id", id)));
        // Asked for by its whole id, the master need not send every task it knows.
        let whole: Vec<(&str, &str)> =
            query.iter().copied().chain([("task_id", which.task.as_str())]).collect();
        let mut all = tasks(master, &whole)?;
        if all.is_empty() {
            all = tasks(master, &query)?;
        }
        choose(&which.task, &all, want).cloned()
    }

    /// The server of an agent, as the master describes it.
    pub fn agent_server<'a>(&self, master: &Server<'a>, agent: &Value) -> Result<Server<'a>, Error> {
        let (id, pid) = (text(agent, "id"), text(agent, "pid"));
        let parts =
            pid.split_once('@').and_then(|(process, at)| Some((process, at.parse::<Address>().ok()?)));
        let Some((process, address)) = parts else {
            return Err(Error::Failed(format!(
                "The master says that agent {id} is at '{pid}', which is no address."
            )));
        };
        Ok(master.other(address, format!("agent {id}"), process.to_owned()))
    }

    /// The master, or the agent that the command line names.
    pub fn target(&self, target: &Target) -> Result<Server<'_>, Error> {
        let master = self.master()?;
        match &target.agent {
            Some(word) => self.agent_server(&master, agent(word, &agents(&master)?)?),
            None => Ok(master),
        }
    }
}

fn choose<'a>(word: &str, all: &'a [Value], want: Want) -> Result<&'a Value, Error> {
    let tell = |task: &Value| {
        format!("{}  {}  framework {}", text(task, "id"), state(task), text(task, "framework_id"))
    };
    let found = best(word, all.iter(), |_| Vec::new());
    let (alive, ended): (Vec<&Value>, Vec<&Value>) = found.iter().copied().partition(|task| !has_ended(task));
    let one_id = found.iter().all(|task| text(task, "id") == text(found[0], "id"));
    match (&alive[..], &ended[..]) {
        ([], []) => Err(Error::NotFound(format!(
            "No task fits '{word}'. `mesos ctl tasks --all` lists those that the master remembers."
        ))),
        ([task], []) | ([], [task]) if want == Want::Latest => Ok(task),
        ([task], _) if want == Want::Alive => Ok(task),
        ([], [task]) => {
            Err(Error::NotFound(format!("Task '{}' has ended: it is {}.", text(task, "id"), state(task))))
        }
        ([], _) if want == Want::Alive => {
            Err(Error::NotFound(format!("Every task that fits '{word}' has ended.")))
        }
        ([task], _) if one_id => Ok(task),
        ([], ended) if one_id => {
            Ok(ended.iter().max_by(|a, b| latest(a).total_cmp(&latest(b))).expect("several have ended"))
        }
        _ => {
            let hint = if one_id { "Say whose it is with --framework." } else { "Say more of the id." };
            let shown = if want == Want::Alive { &alive } else { &found };
            Err(ambiguous("tasks", word, shown, tell, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(id: &str, framework: &str, state: &str, at: f64) -> Value {
        json!({"id": id, "framework_id": framework, "state": state, "statuses": [{"timestamp": at}]})
    }

    #[test]
    fn words_fit_from_either_end() {
        assert_eq!(fit("a-S1", "a-S1", &[]), Some(Fit::Whole));
        assert_eq!(fit("S1", "a-S1", &[]), Some(Fit::Tail));
        assert_eq!(fit("S1", "a-S11", &[]), None);
        assert_eq!(fit("a", "a-S11", &[]), Some(Fit::Start));
        assert_eq!(fit("host", "a-S11", &["host"]), Some(Fit::Alias));
    }

    #[test]
    fn one_task_is_meant_or_candidates_are_told() {
        let all = [
            task("web-1", "f1", "TASK_RUNNING", 5.0),
            task("web-2", "f1", "TASK_FINISHED", 6.0),
            task("job", "f1", "TASK_FINISHED", 1.0),
            task("job", "f2", "TASK_FAILED", 2.0),
            task("jobs", "f2", "TASK_RUNNING", 2.0),
        ];
        let of = |word: &str, want| choose(word, &all, want).map(task_id).map_err(|error| error.to_string());
        assert_eq!(of("web-2", Want::Latest), Ok(("f1", "web-2")));
        assert_eq!(of("web", Want::Alive), Ok(("f1", "web-1")));
        // The same id, whole: the last one that ran, although another id begins so.
        assert_eq!(of("job", Want::Latest), Ok(("f2", "job")));
        let error = of("web", Want::Latest).expect_err("two");
        assert!(error.starts_with("'web' fits 2 tasks:\n  web-1  running  framework f1\n"), "{error}");
        assert!(of("nothing", Want::Latest).expect_err("none").contains("No task fits 'nothing'"));
        assert!(of("web-2", Want::Alive).expect_err("ended").contains("has ended: it is finished"));
    }
}
