//! A client with a credential is heard to the end and refused, as by Mesos without credentials.

use std::sync::Arc;
use std::time::Duration;

use super::super::testing::{Bench, pid};
use super::super::*;
use crate::proto::internal::{AuthenticateMessage, AuthenticationStartMessage, AuthenticationStepMessage};
use crate::proto::message::Message;

fn asked(bench: &mut Bench) -> Upid {
    let client = pid("crammd5-authenticatee(1)", 5051);
    bench.message(&client, AuthenticateMessage { pid: "slave(1)@127.0.0.1:5051".to_owned() });
    client
}

fn to(bench: &mut Bench, client: &Upid, number: u64, message: impl Into<Message>) {
    let session = format!("crammd5-authenticator-session({number})");
    bench.message_from(client, client.address, &session, message);
}

fn start(mechanism: &str) -> AuthenticationStartMessage {
    AuthenticationStartMessage { mechanism: mechanism.to_owned(), data: None }
}

fn step() -> AuthenticationStepMessage {
    AuthenticationStepMessage { data: "somebody 0123456789abcdef0123456789abcdef".into() }
}

/// What was sent since the last look, with the session that sent it.
fn said(bench: &mut Bench) -> Vec<(Arc<str>, Message)> {
    let sent = bench.take().into_iter().filter_map(|effect| match effect {
        Effect::Send { from, message, .. } => Some((from, *message)),
        _ => None,
    });
    sent.collect()
}

fn error_of(bench: &mut Bench) -> String {
    match &said(bench)[..] {
        [(_, Message::AuthenticationError(message))] => message.error().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn mechanisms_then_a_challenge_then_no() {
    let mut bench = Bench::new();
    bench.take();
    let client = asked(&mut bench);
    let sent = said(&mut bench);
    let [(session, Message::AuthenticationMechanisms(mechanisms))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(&**session, "crammd5-authenticator-session(1)");
    assert_eq!(mechanisms.mechanisms, ["CRAM-MD5"]);
    to(&mut bench, &client, 1, start("CRAM-MD5"));
    let sent = said(&mut bench);
    let [(_, Message::AuthenticationStep(challenge))] = &sent[..] else { panic!("{sent:?}") };
    assert!(challenge.data.starts_with(b"<") && challenge.data.ends_with(b">"), "{challenge:?}");
    to(&mut bench, &client, 1, step());
    let sent = said(&mut bench);
    assert!(matches!(&sent[..], [(_, Message::AuthenticationFailed(_))]), "{sent:?}");
    to(&mut bench, &client, 1, step());
    assert!(said(&mut bench).is_empty(), "the session is over");
}

#[test]
fn what_is_out_of_order_ends_the_session() {
    let mut bench = Bench::new();
    bench.take();
    for (number, first, second, error) in [
        (1, None, Message::from(step()), "Unexpected authentication 'step' received"),
        (2, Some(start("CRAM-MD5")), start("CRAM-MD5").into(), "Unexpected authentication 'start' received"),
        (3, None, start("PLAIN").into(), "SASL(-4): no mechanism available: Couldn't find mech PLAIN"),
    ] {
        let client = asked(&mut bench);
        if let Some(first) = first {
            to(&mut bench, &client, number, first);
        }
        bench.take();
        to(&mut bench, &client, number, second);
        assert_eq!(error_of(&mut bench), error);
        to(&mut bench, &client, number, start("CRAM-MD5"));
        assert!(said(&mut bench).is_empty(), "the session is over");
    }
}

#[test]
fn a_session_is_its_clients_own_and_not_for_ever() {
    let mut bench = Bench::new();
    bench.take();
    let client = asked(&mut bench);
    bench.take();
    to(&mut bench, &pid("crammd5-authenticatee(1)", 5052), 1, start("CRAM-MD5"));
    to(&mut bench, &client, 7, start("CRAM-MD5"));
    bench.message_from(&client, client.address, "crammd5-authenticator-session(x", start("CRAM-MD5"));
    assert!(said(&mut bench).is_empty());
    // It starts anew, and the earlier session is over.
    asked(&mut bench);
    said(&mut bench);
    to(&mut bench, &client, 1, start("CRAM-MD5"));
    assert!(said(&mut bench).is_empty());
    to(&mut bench, &client, 2, start("CRAM-MD5"));
    assert_eq!(said(&mut bench).len(), 1);
    asked(&mut bench);
    bench.pass(Duration::from_secs(16));
    said(&mut bench);
    to(&mut bench, &client, 3, start("CRAM-MD5"));
    assert!(said(&mut bench).is_empty(), "it took too long");
}
