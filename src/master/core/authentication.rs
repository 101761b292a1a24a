//! CRAM-MD5 with a master that has no credentials: played to its end, and refused, for nobody is known.
//!
//! A client without a credential does not come here; the master takes it as it is. One with a credential hears
//! AuthenticationFailedMessage and stays outside, as its user wanted it.
//!
//! Absent until `--credentials` is there: knowing somebody.
//!
//! Source: `Master::authenticate`, master.cpp; `CRAMMD5AuthenticatorSessionProcess`, 1.11.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::base::time::Time;
use crate::base::upid::Upid;
use crate::proto::internal::{
    AuthenticationErrorMessage, AuthenticationFailedMessage, AuthenticationMechanismsMessage,
    AuthenticationStartMessage, AuthenticationStepMessage,
};
use crate::proto::message::Message;

use super::agents::is_believed;
use super::books::State;
use super::{Effect, Effects, SESSION, Timer};

/// How long a client may take. Source: the default of `--authentication_v0_timeout`, 1.11.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sessions at a time: more than any cluster starts at once, and no more memory than a flood deserves.
const MOST_SESSIONS: usize = 100_000;

const MECHANISM: &str = "CRAM-MD5";

/// Authentications under way, by N of the receiver `crammd5-authenticator-session(N)`; one for each client.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_number: BTreeMap<u64, Session>,
    by_client: BTreeMap<Upid, u64>,
    last: u64,
}

#[derive(Debug)]
struct Session {
    client: Upid,
    /// The client has been sent its challenge.
    challenged: bool,
}

impl Sessions {
    /// A client that starts anew leaves its earlier session.
    fn open(&mut self, client: &Upid) -> Option<u64> {
        if self.by_number.len() >= MOST_SESSIONS && !self.by_client.contains_key(client) {
            return None;
        }
        self.last += 1;
        self.by_number.insert(self.last, Session { client: client.clone(), challenged: false });
        if let Some(earlier) = self.by_client.insert(client.clone(), self.last) {
            self.by_number.remove(&earlier);
        }
        Some(self.last)
    }

    fn close(&mut self, number: u64) {
        if let Some(session) = self.by_number.remove(&number) {
            self.by_client.remove(&session.client);
        }
    }
}

impl State {
    /// AuthenticateMessage: the client is told which mechanisms there are, by a session of its own.
    pub(super) fn authenticate(&mut self, from: &Upid, now: Time, out: &mut Effects) {
        self.count("messages_authenticate");
        let Some(number) = self.authentications.open(from) else {
            let error = Some("Too many authentications at a time".to_owned());
            return self.send(from, AuthenticationErrorMessage { error }, out);
        };
        tracing::info!(client = %from, session = number, "authenticating");
        let mechanisms = vec![MECHANISM.to_owned()];
        reply(number, from, AuthenticationMechanismsMessage { mechanisms }, out);
        out.push(Effect::Wake { at: now + PATIENCE, timer: Timer::Authentication(number) });
    }

    /// A message to `crammd5-authenticator-session(N)`, from the client that the session is for.
    pub(super) fn authentication(
        &mut self,
        from: &Upid,
        peer: SocketAddr,
        to: &str,
        message: &Message,
        now: Time,
        out: &mut Effects,
    ) {
        let number = to.strip_prefix(SESSION).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        let session = self.authentications.by_number.get_mut(&number);
        let Some(session) = session.filter(|session| session.client == *from && is_believed(from, peer))
        else {
            return self.drop_message(from, message.name(), "it belongs to no authentication under way");
        };
        let error = match message {
            Message::AuthenticationStart(_) if session.challenged => {
                "Unexpected authentication 'start' received".to_owned()
            }
            Message::AuthenticationStart(start) => match check_start(start) {
                Err(error) => error,
                Ok(()) => {
                    session.challenged = true;
                    let challenge = format!("<{number}.{}@{}>", now.0, self.cluster.info.hostname());
                    let data = Bytes::from(challenge);
                    return reply(number, from, AuthenticationStepMessage { data }, out);
                }
            },
            Message::AuthenticationStep(_) if !session.challenged => {
                "Unexpected authentication 'step' received".to_owned()
            }
            Message::AuthenticationStep(_) => {
                tracing::warn!(client = %from, "authentication failed: this master has no credentials");
                self.authentications.close(number);
                return reply(number, from, AuthenticationFailedMessage {}, out);
            }
            other => return self.drop_message(from, other.name(), "it is no part of an authentication"),
        };
        tracing::warn!(client = %from, error, "authentication ended");
        self.authentications.close(number);
        reply(number, from, AuthenticationErrorMessage { error: Some(error) }, out);
    }

    /// The client said nothing for too long; it will start anew if it still wants to.
    pub(super) fn authentication_late(&mut self, number: u64) {
        self.authentications.close(number);
    }
}

/// The texts are Cyrus SASL's, which Mesos passes on.
fn check_start(start: &AuthenticationStartMessage) -> Result<(), String> {
    if start.mechanism != MECHANISM {
        let asked: String = start.mechanism.chars().take(64).collect();
        return Err(format!("SASL(-4): no mechanism available: Couldn't find mech {asked}"));
    }
    if start.data.as_ref().is_some_and(|data| !data.is_empty()) {
        return Err("SASL(-5): bad protocol / cancel: CRAM-MD5 does not accept inital data".to_owned());
    }
    Ok(())
}

fn reply(session: u64, to: &Upid, message: impl Into<Message>, out: &mut Effects) {
    let from = format!("{SESSION}({session})").into();
    out.push(Effect::Send { from, to: to.clone(), message: Box::new(message.into()) });
}
