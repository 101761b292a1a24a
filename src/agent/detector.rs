//! Where the leading master is: the one that `--master` names, or the one that masters elected.
//!
//! Source: `StandaloneMasterDetector`, `Slave::detected`, 1.11.
#![expect(clippy::disallowed_methods, reason = "a shell: starts tasks")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::error;

use super::core::{Event, Leader};
use super::run::Core;
use crate::coordination::url::{Server, Url};
use crate::coordination::{Report, detect, member, resolved};

/// Finds the leading master, and goes on to.
pub struct Detector {
    url: Url,
    session_timeout: Duration,
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    /// A look-up is under way, or the ensemble is being followed.
    busy: bool,
    leader: Option<Leader>,
}

impl Detector {
    pub fn new(url: Url, session_timeout: Duration) -> Detector {
        Detector { url, session_timeout, found: Arc::default() }
    }

    /// The answer is `LeaderSeen`; it comes once a leader is known, and from an ensemble also whenever another leads
    /// or none. Must be called inside a tokio runtime.
    pub fn detect(&self, core: &Core) {
        let was_busy = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut found.busy, true)
        };
        let (core, found) = (core.clone(), self.found.clone());
        match &self.url {
            Url::Master(_) if was_busy => {}
            Url::Master(master) => {
                tokio::spawn(resolve(master.clone(), core, found));
            }
            // Who leads is known: whoever asks has lost its connection and wants to hear it again.
            _ if was_busy => {
                let leader = found.lock().unwrap_or_else(PoisonError::into_inner).leader.clone();
                if let Some(leader) = leader {
                    core.tell(Event::LeaderSeen(Some(leader)));
                }
            }
            url => {
                let (url, session_timeout) = (url.clone(), self.session_timeout);
                tokio::spawn(async move { follow(&url, session_timeout, &core, &found).await });
            }
        }
    }
}

async fn resolve(master: Server, core: Core, found: Arc<Mutex<Found>>) {
    let pid = resolved(&master).await;
    let leader = Leader { pid, hostname: master.host };
    found.lock().unwrap_or_else(PoisonError::into_inner).busy = false;
    core.tell(Event::LeaderSeen(Some(leader)));
}

async fn follow(url: &Url, session_timeout: Duration, core: &Core, found: &Mutex<Found>) {
    let mut reports = detect(url, session_timeout);
    while let Some(report) = reports.recv().await {
        let leader = match report {
            Report::Leader(info) => info.map(|info| {
                let pid = member::pid_of(&info);
                let hostname = info.hostname.clone().unwrap_or_else(|| pid.address.ip().to_string());
                Leader { pid, hostname }
            }),
            Report::Failed(why) | Report::Lost(why) => {
                error!(why, "the leading master cannot be found");
                core.stop(&format!("the leading master cannot be found: {why}"));
                return;
            }
            // Only who stands is elected, or told who else does.
            Report::Elected(_) | Report::Standing(_) => continue,
        };
        found.lock().unwrap_or_else(PoisonError::into_inner).leader.clone_from(&leader);
        core.tell(Event::LeaderSeen(leader));
    }
}
