//! The only place that spells the work_dir.
//!
//! ```text
//! <work_dir>/slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>
//!                                                                      /runs/latest -> <container>
//! <work_dir>/meta/boot_id                                               of the machine when the agent last started
//! <work_dir>/meta/lock                                                  held by the agent that runs
//! <work_dir>/meta/slaves/latest -> <agent>                              whom the next agent here follows
//! <work_dir>/meta/slaves/<agent>/checkpoint                             the facts: `checkpoint/journal.rs`
//! <work_dir>/meta/slaves/<agent>/frameworks/…/runs/<container>/pids/forked.pid
//!                                                              /status  how its first process ended
//! ```
//!
//! Source: slave/paths.hpp 1.11.

use std::path::{Path, PathBuf};

use crate::proto::{AgentId, ContainerId, ExecutorId, FrameworkId};

/// The longest name that a directory may have.
const NAME_MAX: usize = 255;

/// Where all sandboxes of an agent are.
pub fn agent(work_dir: &Path, agent: &AgentId) -> PathBuf {
    work_dir.join("slaves").join(&agent.value)
}

/// Where all executors of a framework are.
pub fn framework(work_dir: &Path, agent_id: &AgentId, framework: &FrameworkId) -> PathBuf {
    agent(work_dir, agent_id).join("frameworks").join(&framework.value)
}

/// What is being removed.
pub fn removing(work_dir: &Path) -> PathBuf {
    work_dir.join("removing")
}

/// What is not for executors to see.
pub fn meta(work_dir: &Path) -> PathBuf {
    work_dir.join("meta")
}

pub fn boot_id(work_dir: &Path) -> PathBuf {
    meta(work_dir).join("boot_id")
}

pub fn lock(work_dir: &Path) -> PathBuf {
    meta(work_dir).join("lock")
}

/// Where the folders of all agents that were here are.
pub fn meta_agents(work_dir: &Path) -> PathBuf {
    meta(work_dir).join("slaves")
}

/// A link to the folder of the agent that is here, or was last.
pub fn latest_agent(work_dir: &Path) -> PathBuf {
    meta_agents(work_dir).join("latest")
}

/// The journal in an agent's folder.
pub const CHECKPOINT: &str = "checkpoint";

/// What is known of one run of an executor, as long as that lives.
pub fn meta_run(
    work_dir: &Path,
    agent: &AgentId,
    framework: &FrameworkId,
    executor_id: &ExecutorId,
    container: &ContainerId,
) -> PathBuf {
    sandbox(&meta(work_dir), agent, framework, executor_id, container)
}

/// Names the first process of a run.
pub fn forked_pid(meta_run: &Path) -> PathBuf {
    meta_run.join("pids").join("forked.pid")
}

/// How that ended.
pub fn status(meta_run: &Path) -> PathBuf {
    meta_run.join("status")
}

/// Where all runs of an executor are.
pub fn executor(
    work_dir: &Path,
    agent: &AgentId,
    framework_id: &FrameworkId,
    executor: &ExecutorId,
) -> PathBuf {
    let mut path = framework(work_dir, agent, framework_id);
    path.push("executors");
    path.push(&executor.value);
    path
}

/// The sandbox of one run.
pub fn sandbox(
    work_dir: &Path,
    agent: &AgentId,
    framework: &FrameworkId,
    executor_id: &ExecutorId,
    container: &ContainerId,
) -> PathBuf {
    executor(work_dir, agent, framework, executor_id).join("runs").join(&container.value)
}

/// The executor's folder that a sandbox is in.
pub fn executor_of(sandbox: &Path) -> Option<&Path> {
    sandbox.parent()?.parent()
}

/// The link to the newest run's sandbox, beside it.
pub fn latest(sandbox: &Path) -> PathBuf {
    sandbox.with_file_name("latest")
}

/// What files/browse and the like call an executor's newest sandbox.
pub fn virtual_latest(framework: &FrameworkId, executor: &ExecutorId) -> String {
    format!("/frameworks/{}/executors/{}/runs/latest", framework.value, executor.value)
}

/// What files/browse calls the agent's log.
pub const VIRTUAL_LOG: &str = "/slave/log";

/// Whether an id can name a directory without naming another one.
pub fn is_name(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= NAME_MAX
        && id != "."
        && id != ".."
        && !id.chars().any(|c| c == '/' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_have_their_places() {
        let container = ContainerId { value: "c".to_owned(), parent: None };
        let path = sandbox(Path::new("/w"), &"a".into(), &"f".into(), &"e".into(), &container);
        assert_eq!(path, Path::new("/w/slaves/a/frameworks/f/executors/e/runs/c"));
        assert_eq!(latest(&path), Path::new("/w/slaves/a/frameworks/f/executors/e/runs/latest"));
    }

    #[test]
    fn ids_that_leave_their_directory_are_no_names() {
        for id in ["", ".", "..", "a/b", "/", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(!is_name(id), "{id:?}");
        }
        for id in ["a", "...", "a b", "ct:1:2", "\u{e4}"] {
            assert!(is_name(id), "{id:?}");
        }
    }
}
