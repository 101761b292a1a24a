//! The disk of an agent: writes take their time, and a crash keeps a beginning of what was not told to be durable.

use std::collections::VecDeque;

use mesos::agent::checkpoint::{Fact, Image};
use mesos::agent::core::Then;

#[derive(Default)]
pub struct Disk {
    /// What the next agent will find.
    pub image: Image,
    waiting: VecDeque<(Fact, Vec<Then>)>,
    /// For facts that came without any.
    pub writing: bool,
    /// The machine was started anew since the agent last was.
    pub rebooted: bool,
}

impl Disk {
    pub fn save(&mut self, facts: Vec<Fact>, then: Option<Then>) {
        self.waiting.extend(facts.into_iter().map(|fact| (fact, vec![])));
        match self.waiting.back_mut() {
            Some((_, thens)) => thens.extend(then),
            None => assert!(then.is_none(), "nothing waits for nothing"),
        }
    }

    /// All that waited is written; gives what was waited for.
    pub fn write(&mut self, mut lose: impl FnMut(&Fact) -> bool) -> Vec<Then> {
        let mut durable = vec![];
        for (fact, thens) in std::mem::take(&mut self.waiting) {
            if !lose(&fact) {
                let text = format!("{fact:?}");
                assert!(self.image.apply(fact), "a fact fits nothing: {text}");
            }
            durable.extend(thens);
        }
        durable
    }

    /// The agent or its machine dies, with so many facts of those that waited on the disk already.
    pub fn crash(&mut self, kept: usize) {
        for (fact, _) in std::mem::take(&mut self.waiting).into_iter().take(kept) {
            let _ = self.image.apply(fact);
        }
        self.writing = false;
        // As a journal that is written anew has it.
        let mut again = Image::default();
        assert!(self.image.facts().into_iter().all(|fact| again.apply(fact)), "the facts of an image fit");
        assert!(again == self.image, "an image comes back as it was");
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
