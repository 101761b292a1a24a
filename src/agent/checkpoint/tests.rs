//! Facts, what they come to, and what is read of a journal that is not as it was written.
#![expect(clippy::disallowed_methods, reason = "damages files")]

use std::time::Duration;

use bytes::Bytes;

use super::disk::{Checkpointer, load, lock};
use super::journal::{self, Salt, Unreadable};
use super::{Fact, Image};
use crate::agent::paths;
use crate::proto::internal::{
    CheckpointedAcknowledgement, CheckpointedConnection, CheckpointedExecutor, CheckpointedFramework,
    CheckpointedRun, CheckpointedTasks, StatusUpdate,
};
use crate::proto::{AgentInfo, ContainerId, FrameworkInfo, TaskInfo, TaskState, TaskStatus};

const SALT: Salt = Salt(0x0123_4567_89ab_cdef);

fn run(executor: &str) -> CheckpointedRun {
    CheckpointedRun {
        framework_id: "F".into(),
        executor_id: executor.into(),
        container_id: ContainerId { value: format!("container-of-{executor}"), parent: None },
    }
}

fn tasks(executor: &str, ids: &[&str]) -> Fact {
    let task = |id: &&str| TaskInfo {
        name: (*id).to_owned(),
        task_id: (*id).into(),
        agent_id: "A".into(),
        data: Some(Bytes::from_static(b"large")),
        ..TaskInfo::default()
    };
    let group = Some(ids.len() > 1);
    Fact::Tasks(Box::new(CheckpointedTasks {
        run: run(executor),
        tasks: ids.iter().map(task).collect(),
        group,
    }))
}

fn executor(id: &str) -> Fact {
    let executor = CheckpointedExecutor { run: run(id), info: Default::default(), generated: Some(true) };
    Fact::Executor(Box::new(executor))
}

fn update(task: &str, uuid: u8, state: TaskState) -> Fact {
    Fact::Update(Box::new(StatusUpdate {
        framework_id: "F".into(),
        status: TaskStatus { task_id: task.into(), state: state as i32, ..TaskStatus::default() },
        uuid: Some(vec![uuid; 16].into()),
        ..StatusUpdate::default()
    }))
}

fn acknowledged(task: &str, uuid: u8) -> Fact {
    let (framework_id, task_id) = ("F".into(), task.into());
    let uuid = vec![uuid; 16].into();
    Fact::Acknowledged(CheckpointedAcknowledgement { framework_id, task_id, uuid })
}

fn agent() -> Fact {
    Fact::Agent(Box::new(AgentInfo {
        id: Some("A".into()),
        hostname: "h".to_owned(),
        ..AgentInfo::default()
    }))
}

/// A short life: one task has ended and one runs, a group is on its way, and an executor has gone.
fn life() -> Vec<Fact> {
    let info = FrameworkInfo { id: Some("F".into()), ..FrameworkInfo::default() };
    let connected = CheckpointedConnection { run: run("e"), pid: Some("executor@127.0.0.1:1".to_owned()) };
    vec![
        agent(),
        Fact::Lives(3),
        Fact::Framework(Box::new(CheckpointedFramework { info, pid: None })),
        executor("e"),
        tasks("e", &["one"]),
        Fact::Connected(Box::new(connected)),
        tasks("e", &["two"]),
        update("one", 1, TaskState::TaskRunning),
        update("two", 2, TaskState::TaskRunning),
        acknowledged("one", 1),
        update("one", 3, TaskState::TaskFinished),
        acknowledged("one", 3),
        executor("gone"),
        tasks("gone", &["lost"]),
        update("lost", 4, TaskState::TaskFailed),
        acknowledged("lost", 4),
        Fact::ExecutorGone(run("gone")),
        executor("group"),
        tasks("group", &["three", "four"]),
    ]
}

fn image(facts: impl IntoIterator<Item = Fact>) -> Image {
    let mut image = Image::default();
    for fact in facts {
        let text = format!("{fact:?}");
        assert!(image.apply(fact), "{text}");
    }
    image
}

fn bytes(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = journal::begin(SALT);
    facts.iter().for_each(|fact| journal::append(&mut bytes, SALT, fact));
    bytes
}

#[test]
fn an_image_says_what_was_said() {
    let image = image(life());
    let framework = &image.frameworks[&"F".into()];
    assert_eq!(framework.executors.len(), 2);
    let executor = &framework.executors[&"e".into()];
    assert_eq!(executor.connected.as_ref().unwrap().as_deref(), Some("executor@127.0.0.1:1"));
    assert_eq!(executor.tasks.len(), 1);
    assert_eq!(executor.past_tasks[0].info.task_id, "one".into());
    assert_eq!(executor.past_tasks[0].info.data, None, "nobody reads it any more");
    assert_eq!(executor.past_tasks[0].statuses.len(), 2);
    assert_eq!(framework.streams.keys().collect::<Vec<_>>(), [&"two".into()]);
    assert_eq!(framework.past_executors[0].tasks[0].info.task_id, "lost".into());
    assert_eq!(framework.executors[&"group".into()].tasks[0].tasks.len(), 2);

    let mut over = image.clone();
    assert!(over.apply(Fact::FrameworkGone("F".into())) && over.frameworks.is_empty());
    assert_eq!(over.past_frameworks[0].past_executors.len(), 3);
    for image in [image, over] {
        assert_eq!(self::image(image.facts()), image, "in fewer facts");
    }
}

#[test]
fn facts_that_fit_nothing_change_nothing() {
    let mut image = image(life());
    let before = image.clone();
    let strange = CheckpointedRun { container_id: ContainerId::default(), ..run("e") };
    for fact in [
        Fact::ExecutorGone(strange),
        Fact::FrameworkGone("G".into()),
        acknowledged("two", 9),
        acknowledged("nowhere", 1),
        update("two", 2, TaskState::TaskRunning),
    ] {
        assert!(!image.apply(fact));
    }
    assert_eq!(image, before);
}

#[test]
fn a_journal_cut_anywhere_has_its_beginning() {
    let facts = life();
    let whole = bytes(&facts);
    assert_eq!(journal::read(&whole).unwrap().facts, facts);
    let ends: Vec<usize> = (0..=facts.len()).map(|count| bytes(&facts[..count]).len()).collect();
    for cut in 0..whole.len() {
        let reading = journal::read(&whole[..cut]).unwrap();
        let complete = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        assert_eq!(reading.facts, facts[..complete], "cut at {cut}");
        assert_eq!(reading.damaged, []);
        assert_eq!(reading.torn.is_some(), cut > 0 && !ends.contains(&cut), "cut at {cut}");
        // Filled with what a file system may leave there.
        let mut zeros = whole[..cut].to_vec();
        zeros.resize(whole.len() + 9, 0);
        if cut >= ends[0] {
            // A record may end in zeros itself.
            let read = journal::read(&zeros).unwrap().facts;
            assert!(read.len() >= complete && facts.starts_with(&read), "cut at {cut}");
        }
    }
}

#[test]
fn noise_costs_what_it_hits() {
    let facts = life();
    let whole = bytes(&facts);
    let first = bytes(&[]).len();
    for (at, byte) in whole.iter().enumerate() {
        for noise in [byte ^ 0x01, byte ^ 0x80, !byte, 0] {
            let mut noisy = whole.clone();
            noisy[at] = noise;
            let Ok(reading) = journal::read(&noisy) else {
                assert!(at < first, "byte {at}");
                continue;
            };
            if noise == *byte {
                continue;
            }
            assert!(at >= first, "byte {at} of the first line says nothing");
            assert_eq!(reading.facts.len(), facts.len() - 1, "byte {at}");
            assert!(facts.iter().filter(|fact| !reading.facts.contains(fact)).count() <= 1);
            assert_eq!(reading.damaged.len() + usize::from(reading.torn.is_some()), 1);
            // Nor does the rest of it trouble anybody.
            let mut image = Image::default();
            for fact in reading.facts {
                let _ = image.apply(fact);
            }
        }
    }
}

#[test]
fn what_is_no_journal_is_refused() {
    for foreign in [&b"#!/bin/sh\nexit\n"[..], &[0; 4096], &[0xff; 200], b"\n", b"x"] {
        assert_eq!(journal::read(foreign).unwrap_err(), Unreadable::Foreign, "{foreign:?}");
    }
    let line = "mesos agent checkpoint 7 0";
    let later = format!("{line} {:08x}\n\0\0", crc32fast::hash(line.as_bytes()));
    assert_eq!(journal::read(later.as_bytes()).unwrap_err(), Unreadable::Later(7));
    assert_eq!(journal::read(b"").unwrap(), journal::Reading::default());

    // A record with another journal's salt is none, though it be found in a task's data behind damage.
    let mut forged = bytes(&[agent()]);
    forged.extend([0; 3]);
    journal::append(&mut forged, Salt(1), &Fact::FrameworkGone("F".into()));
    let reading = journal::read(&forged).unwrap();
    assert_eq!((reading.facts.len(), reading.damaged.len()), (1, 0));
}

fn written(work_dir: &std::path::Path, image: Image, facts: Vec<Fact>) {
    let (sender, durable) = std::sync::mpsc::channel();
    let boot = Some("b".to_owned());
    let heard = Box::new(move |then: u32| sender.send(then).unwrap());
    let checkpointer = Checkpointer::start(work_dir.to_owned(), image, boot, heard).unwrap();
    let count = facts.len();
    for (number, fact) in facts.into_iter().enumerate() {
        checkpointer.save(vec![fact], Some(number as u32));
    }
    checkpointer.save(vec![], Some(999));
    let heard: Vec<u32> = durable.iter().take(count + 1).collect();
    assert_eq!(heard.len(), count + 1);
    assert!(heard.is_sorted(), "in the order in which it was said");
}

#[test]
fn what_is_durable_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let work_dir = dir.path();
    let boot = Some("b");
    let nothing = load(work_dir, true, boot).unwrap();
    assert_eq!((nothing.image, nothing.rebooted), (Image::default(), false));

    let facts = life();
    written(work_dir, Image::default(), facts[..9].to_vec());
    let first = load(work_dir, true, boot).unwrap();
    assert_eq!(first.image, image(facts[..9].to_vec()));
    assert_eq!(std::fs::read_link(paths::latest_agent(work_dir)).unwrap().file_name().unwrap(), "A");
    written(work_dir, first.image, facts[9..].to_vec());
    let second = load(work_dir, true, Some("c")).unwrap();
    assert_eq!(second.image, image(facts));
    assert!(second.rebooted);

    written(work_dir, second.image, vec![Fact::Left]);
    assert_eq!(load(work_dir, true, boot).unwrap().image, Image::default());
    assert!(paths::meta_agents(work_dir).join("A").join(paths::CHECKPOINT).exists());
}

#[test]
fn strict_says_whether_damage_is_borne() {
    let dir = tempfile::tempdir().unwrap();
    let work_dir = dir.path();
    written(work_dir, Image::default(), life());
    let path = paths::latest_agent(work_dir).join(paths::CHECKPOINT);
    let whole = std::fs::read(&path).unwrap();

    let mut noisy = whole.clone();
    noisy[whole.len() / 2] ^= 0x55;
    std::fs::write(&path, &noisy).unwrap();
    let refusal = load(work_dir, true, None).unwrap_err().to_string();
    for part in [path.to_str().unwrap(), "are damaged", "--no-strict", "rm -f"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let borne = load(work_dir, false, None).unwrap();
    assert_eq!((borne.errors, borne.image.agent.is_some()), (1, true));

    for noise in [&b"noise"[..], &[0; 3000]] {
        std::fs::write(&path, noise).unwrap();
        assert!(load(work_dir, true, None).unwrap_err().to_string().contains("does not begin"));
        let borne = load(work_dir, false, None).unwrap();
        assert_eq!((borne.errors, borne.image), (1, Image::default()));
    }
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let cut = load(work_dir, true, None).unwrap();
        assert_eq!(cut.errors, 0);
    }
    // Links that lead nowhere, or are none.
    std::fs::write(&path, &whole).unwrap();
    let latest = paths::latest_agent(work_dir);
    std::fs::remove_file(&latest).unwrap();
    std::os::unix::fs::symlink("nowhere", &latest).unwrap();
    assert_eq!(load(work_dir, true, None).unwrap().image, Image::default());
    std::fs::remove_file(&latest).unwrap();
    std::fs::write(&latest, "a file").unwrap();
    assert!(load(work_dir, true, None).unwrap_err().to_string().contains("latest"));
    assert_eq!(load(work_dir, false, None).unwrap().errors, 1);

    for noise in ["", "noise", "c\n"] {
        std::fs::write(paths::boot_id(work_dir), noise).unwrap();
        assert_eq!(load(work_dir, false, Some("b")).unwrap().rebooted, noise == "c\n");
    }
}

#[test]
fn one_agent_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path(), Duration::ZERO).unwrap();
    let refusal = lock(dir.path(), Duration::ZERO).unwrap_err().to_string();
    assert!(refusal.contains("another agent runs in"), "{refusal}");
    drop(held);
    lock(dir.path(), Duration::ZERO).unwrap();
}
