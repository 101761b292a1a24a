//! How a scheduler driver gets to be subscribed: link, authenticate if there is a credential, SUBSCRIBE until the
//! master answers.
//!
//! Pauses between attempts are chance, up to a bound that doubles: 2 s at first (`registration_backoff_factor`), a
//! minute at most, and a tenth of the framework's `failover_timeout` at most.
//!
//! Source: `SchedulerProcess::authenticate`, `doReliableRegistration`, sched.cpp 1.11. Unlike there, an attempt links
//! anew: a master that was restarted at the same address is found again.

use std::time::Duration;

use rand::RngExt;
use tracing::{debug, error, info, warn};

use super::scheduler::{Callback, State};
use super::{Effect, Effects, Status, Timer};
use crate::auth::crammd5::{Authenticatee, Step};
use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::Message;
use crate::proto::message::DriverCall;
use crate::proto::scheduler::{Call, call};

const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// How often and how long is tried. The defaults are those of sched/constants.hpp 1.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub registration_backoff_factor: Duration,
    pub authentication_backoff_factor: Duration,
    pub authentication_timeout_min: Duration,
    pub authentication_timeout_max: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            registration_backoff_factor: Duration::from_secs(2),
            authentication_backoff_factor: Duration::from_secs(1),
            authentication_timeout_min: Duration::from_secs(5),
            authentication_timeout_max: Duration::from_secs(60),
        }
    }
}

impl State {
    pub(super) fn leader_seen(&mut self, now: Time, leader: Option<Upid>, out: &mut Effects<Callback>) {
        self.disconnect(out);
        self.leader = leader;
        self.attempt += 1;
        self.authenticatee = None;
        self.authenticated = false;
        match &self.leader {
            Some(leader) => {
                info!(master = %leader, "New master detected");
                self.begin(now, out);
            }
            None => info!("No master detected"),
        }
    }

    /// The connection to the leader ended. Its successor may come at the same address and then nobody else tells.
    pub(super) fn leader_gone(&mut self, now: Time, out: &mut Effects<Callback>) {
        if self.connected {
            warn!("the link to the master ended");
            self.disconnect(out);
            self.authenticated = false;
            // Not at once: it may be about to come back, and others look for it too.
            self.attempt += 1;
            let backoff = self.config.patience.registration_backoff_factor;
            self.subscribe_later(now, backoff, out);
        }
    }

    fn disconnect(&mut self, out: &mut Effects<Callback>) {
        if std::mem::take(&mut self.connected) {
            out.push(Effect::Tell(Callback::Disconnected));
        }
    }

    /// Towards being subscribed with the leader that is known.
    fn begin(&mut self, now: Time, out: &mut Effects<Callback>) {
        if self.config.credential.is_some() {
            let patience = self.config.patience;
            let first = patience.authentication_timeout_min + patience.authentication_backoff_factor * 2;
            self.authenticate(now, first, out);
        } else {
            info!("No credentials provided. Attempting to register without authentication");
            self.subscribe(now, self.config.patience.registration_backoff_factor, out);
        }
    }

    /// An attempt of its own, which may take up to `most`.
    fn authenticate(&mut self, now: Time, most: Duration, out: &mut Effects<Callback>) {
        let (Some(leader), Some(credential)) = (&self.leader, &self.config.credential) else { return };
        info!(master = %leader, "Authenticating with the master");
        let (authenticatee, first) = Authenticatee::new(credential.clone(), &self.config.pid);
        let (from, to) = (self.authenticatee_pid(), leader.clone());
        out.push(Effect::Link(to.address));
        out.push(Effect::Send { from, to, message: first });
        self.authenticatee = Some(authenticatee);
        self.attempt += 1;
        let least = self.config.patience.authentication_timeout_min;
        let most = most.min(self.config.patience.authentication_timeout_max).max(least);
        let timer = Timer::Authenticate { attempt: self.attempt, patience: least + (most - least) * 2 };
        let after = least + (most - least).mul_f64(self.random.random());
        out.push(Effect::Wake { at: now + after, timer });
    }

    /// The process that authenticates, beside that of the driver.
    pub fn authenticatee_pid(&self) -> Upid {
        Upid::new(&format!("crammd5-authenticatee-{}", self.config.pid.id), self.config.pid.address)
    }

    /// A message that may belong to an authentication under way.
    pub(super) fn authentication(
        &mut self,
        now: Time,
        from: &Upid,
        message: &Message,
        out: &mut Effects<Callback>,
    ) {
        let Some(authenticatee) = &mut self.authenticatee else { return };
        // It comes from a session of the master's, which has a name of its own.
        if self.leader.as_ref().is_none_or(|leader| leader.address != from.address) {
            return;
        }
        match authenticatee.handle(message) {
            Step::Reply(message) => {
                out.push(Effect::Send { from: self.authenticatee_pid(), to: from.clone(), message });
            }
            Step::Completed => {
                info!(master = %from.address, "Successfully authenticated");
                self.authenticatee = None;
                self.authenticated = true;
                self.subscribe(now, self.config.patience.registration_backoff_factor, out);
            }
            Step::Refused => {
                error!(master = %from.address, "the master refused authentication");
                self.authenticatee = None;
                self.fail("Master refused authentication", out);
            }
            // The timer of this attempt begins the next one: an answer that comes at once would make a storm.
            Step::Failed(why) => warn!(why, "Failed to authenticate"),
            Step::Ignored => {}
        }
    }

    pub(super) fn woken(&mut self, now: Time, timer: Timer, out: &mut Effects<Callback>) {
        match timer {
            Timer::Subscribe { attempt, backoff } if attempt == self.attempt && !self.connected => {
                if self.config.credential.is_some() && !self.authenticated {
                    return self.begin(now, out);
                }
                self.subscribe(now, backoff, out);
            }
            Timer::Authenticate { attempt, patience }
                if attempt == self.attempt && self.authenticatee.is_some() =>
            {
                warn!("Authentication timed out");
                self.authenticate(now, patience, out);
            }
            _ => debug!(?timer, "stale"),
        }
    }

    fn subscribe(&mut self, now: Time, backoff: Duration, out: &mut Effects<Callback>) {
        let Some(leader) = self.leader.clone() else { return };
        if self.status != Status::Running || self.connected {
            return;
        }
        debug!(master = %leader, "Sending SUBSCRIBE");
        let id = self.framework_id();
        let subscribe = call::Subscribe {
            framework_info: self.framework.clone(),
            suppressed_roles: self.suppressed.iter().cloned().collect(),
            offer_constraints: Some(self.constraints.clone()),
        };
        let call = Call {
            framework_id: id.clone(),
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(subscribe),
            ..Call::default()
        };
        let message = DriverCall { call, force: id.is_some() && self.failover };
        out.push(Effect::Link(leader.address));
        out.push(Effect::Send { from: self.config.pid.clone(), to: leader, message: message.into() });
        self.attempt += 1;
        self.subscribe_later(now, backoff, out);
    }

    fn subscribe_later(&mut self, now: Time, backoff: Duration, out: &mut Effects<Callback>) {
        let mut most = backoff.min(BACKOFF_MAX);
        let failover = self.framework.failover_timeout.filter(|timeout| *timeout > 0.0);
        if let Some(timeout) = failover.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            most = most.min(timeout / 10);
        }
        let timer = Timer::Subscribe { attempt: self.attempt, backoff: most * 2 };
        out.push(Effect::Wake { at: now + most.mul_f64(self.random.random()), timer });
    }
}
