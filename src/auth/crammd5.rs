//! CRAM-MD5 as masters ask for it: a challenge is answered with a keyed digest, so the secret stays here.
//!
//! 1. AuthenticateMessage names who wants in; AuthenticationMechanismsMessage comes back.
//! 2. AuthenticationStartMessage chooses a mechanism; an AuthenticationStepMessage has the challenge.
//! 3. AuthenticationStepMessage has the answer; Completed, Failed or Error is the end.
//!
//! Source: `CRAMMD5AuthenticateeProcess`, authentication/cram_md5/authenticatee.cpp 1.11; RFC 2195.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::base::upid::Upid;
use crate::proto::internal::{AuthenticateMessage, AuthenticationStartMessage, AuthenticationStepMessage};
use crate::proto::{Credential, Message};

const MECHANISM: &str = "CRAM-MD5";

/// One attempt to be let in.
#[derive(Clone, Debug)]
pub struct Authenticatee {
    credential: Credential,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Stepping,
    Over,
}

/// What follows from a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// To whoever sent it.
    Reply(Message),
    /// We are in.
    Completed,
    /// The secret is wrong, or the name is.
    Refused,
    /// It did not come to a decision; another attempt may.
    Failed(String),
    /// It is no part of an authentication.
    Ignored,
}

impl Authenticatee {
    /// Begins an attempt for the process `client`; the message goes to the master.
    pub fn new(credential: Credential, client: &Upid) -> (Authenticatee, Message) {
        let message = AuthenticateMessage { pid: client.to_string() };
        (Authenticatee { credential, stage: Stage::Starting }, message.into())
    }

    pub fn handle(&mut self, message: &Message) -> Step {
        let step = match (message, self.stage) {
            (Message::AuthenticationMechanisms(offered), Stage::Starting) => {
                if !offered.mechanisms.iter().any(|name| name == MECHANISM) {
                    return self.fail(format!("no mechanism of {:?} is known here", offered.mechanisms));
                }
                self.stage = Stage::Stepping;
                let start = AuthenticationStartMessage {
                    mechanism: MECHANISM.to_owned(),
                    data: Some(Default::default()),
                };
                return Step::Reply(start.into());
            }
            (Message::AuthenticationStep(challenge), Stage::Stepping) => {
                let data = answer(&self.credential, &challenge.data).into();
                return Step::Reply(AuthenticationStepMessage { data }.into());
            }
            (Message::AuthenticationCompleted(_), Stage::Stepping) => Step::Completed,
            (Message::AuthenticationFailed(_), Stage::Starting | Stage::Stepping) => Step::Refused,
            (Message::AuthenticationError(error), Stage::Starting | Stage::Stepping) => {
                Step::Failed(format!("Authentication error: {}", error.error()))
            }
            (
                Message::AuthenticationMechanisms(_)
                | Message::AuthenticationStep(_)
                | Message::AuthenticationCompleted(_),
                Stage::Starting | Stage::Stepping,
            ) => Step::Failed(format!("Unexpected {} received", message.name())),
            _ => return Step::Ignored,
        };
        self.stage = Stage::Over;
        step
    }

    fn fail(&mut self, why: String) -> Step {
        self.stage = Stage::Over;
        Step::Failed(why)
    }
}

/// `principal digest`, the digest in hex.
fn answer(credential: &Credential, challenge: &[u8]) -> String {
    let mut digest =
        Hmac::<Md5>::new_from_slice(credential.secret().as_bytes()).expect("a key of any length will do");
    digest.update(challenge);
    let digest = digest.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {hex}", credential.principal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::internal::{
        AuthenticationCompletedMessage, AuthenticationErrorMessage, AuthenticationFailedMessage,
        AuthenticationMechanismsMessage,
    };

    fn begun() -> Authenticatee {
        let credential = Credential { principal: "tim".into(), secret: Some("tanstaaftanstaaf".into()) };
        let (authenticatee, first) =
            Authenticatee::new(credential, &Upid::new("scheduler", ([127, 0, 0, 1], 1).into()));
        let Message::Authenticate(first) = first else { panic!("{first:?}") };
        assert_eq!(first.pid, "scheduler@127.0.0.1:1");
        authenticatee
    }

    fn mechanisms(names: &[&str]) -> Message {
        let mechanisms = names.iter().map(|name| (*name).to_owned()).collect();
        AuthenticationMechanismsMessage { mechanisms }.into()
    }

    fn challenge() -> Message {
        let data = "<1896.697170952@postoffice.reston.mci.net>".into();
        AuthenticationStepMessage { data }.into()
    }

    /// The example of RFC 2195.
    #[test]
    fn a_challenge_is_answered() {
        let mut authenticatee = begun();
        let Step::Reply(Message::AuthenticationStart(start)) =
            authenticatee.handle(&mechanisms(&["PLAIN", "CRAM-MD5"]))
        else {
            panic!()
        };
        assert_eq!((start.mechanism.as_str(), start.data()), ("CRAM-MD5", &b""[..]));
        let Step::Reply(Message::AuthenticationStep(step)) = authenticatee.handle(&challenge()) else {
            panic!()
        };
        assert_eq!(step.data, "tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(authenticatee.handle(&AuthenticationCompletedMessage {}.into()), Step::Completed);
        assert_eq!(authenticatee.handle(&AuthenticationFailedMessage {}.into()), Step::Ignored);
    }

    #[test]
    fn an_attempt_can_end_early() {
        let failed = |message: Message| begun().handle(&message);
        assert_eq!(failed(AuthenticationFailedMessage {}.into()), Step::Refused);
        let error = AuthenticationErrorMessage { error: Some("busy".into()) };
        assert_eq!(failed(error.into()), Step::Failed("Authentication error: busy".into()));
        for early in [challenge(), AuthenticationCompletedMessage {}.into(), mechanisms(&["PLAIN"])] {
            assert!(matches!(failed(early.clone()), Step::Failed(_)), "{early:?}");
        }
    }
}
