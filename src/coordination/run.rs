//! The loop around an `Election`: keeps a session with an ensemble, and tells what comes of it.

#![expect(clippy::disallowed_methods, reason = "a shell: it starts the loop")]

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::election::{Effect, Election, Event};
use super::lease::{Lease, now};
use super::member::{self, Member};
use super::standing::Standing;
use super::url::Url;
use super::{etcd, zookeeper};
use crate::proto::MasterInfo;

/// Before an ensemble that cannot be reached is tried again; doubles up to the second.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// How long taking back a candidacy may take.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// What is told to who takes part or looks on.
pub enum Report {
    /// Another leads, or nobody that is known.
    Leader(Option<Box<MasterInfo>>),
    /// All who stand, the leader first. Told only to those who stand themselves.
    Standing(Vec<MasterInfo>),
    /// We lead, and may act while the lease holds.
    Elected(Term),
    /// We led. Nothing more is told.
    Lost(String),
    /// The ensemble will not have us. Nothing more is told.
    Failed(String),
}

/// A leadership, by what proves it: a write that is made only while the node is there is made by the leader alone.
#[derive(Clone)]
pub enum Term {
    /// The leader's node, ephemeral, of this client's session.
    ZooKeeper { client: zookeeper_client::Client, node: String },
    /// The leader's key, under a lease, and the revision that created it.
    Etcd { client: Box<etcd_client::Client>, key: String, create_revision: i64 },
}

/// A session that did not begin.
#[derive(Debug)]
pub struct OpenError {
    /// Trying again cannot help.
    pub refused: bool,
    pub why: String,
}

/// One who stands for election. Dropped, it lets its session go.
pub struct Candidate {
    pub reports: mpsc::UnboundedReceiver<Report>,
    /// Holds while we lead.
    pub lease: Lease,
    pub withdrawal: Withdrawal,
}

/// The way out of an election.
pub struct Withdrawal(oneshot::Sender<oneshot::Sender<()>>);

impl Withdrawal {
    /// Takes the candidacy back, so that the next one need not wait for the session's end. Waits a second at most.
    pub async fn withdraw(self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(done).is_ok() {
            // Late or not, the process ends.
            let _ = tokio::time::timeout(WITHDRAWAL, is_done).await;
        }
    }
}

/// Stands for election with this description. Must be called inside a tokio runtime.
pub fn stand(url: &Url, session_timeout: Duration, info: &MasterInfo) -> Candidate {
    let (sender, reports) = mpsc::unbounded_channel();
    let (withdraw, withdrawn) = oneshot::channel();
    let lease = Lease::lapsed();
    let task = Loop {
        url: url.clone(),
        timeout: session_timeout,
        data: Some(member::written(info)),
        election: Election::new(true),
        standing: Standing::default(),
        own: None,
        reports: sender,
        lease: lease.clone(),
    };
    tokio::spawn(task.run(withdrawn));
    Candidate { reports, lease, withdrawal: Withdrawal(withdraw) }
}

/// Looks on: tells of leaders until the receiver is dropped. Must be called inside a tokio runtime.
pub fn detect(url: &Url, session_timeout: Duration) -> mpsc::UnboundedReceiver<Report> {
    let (sender, reports) = mpsc::unbounded_channel();
    let task = Loop {
        url: url.clone(),
        timeout: session_timeout,
        data: None,
        election: Election::new(false),
        standing: Standing::default(),
        own: None,
        reports: sender,
        lease: Lease::lapsed(),
    };
    tokio::spawn(async move {
        let (stay, withdrawn) = oneshot::channel();
        task.run(withdrawn).await;
        drop(stay);
    });
    reports
}

/// Who leads now; the error says why that is not known in time.
pub async fn detect_once(url: &Url, patience: Duration) -> Result<MasterInfo, String> {
    let mut reports = detect(url, patience);
    let looked = async {
        loop {
            match reports.recv().await {
                Some(Report::Leader(Some(info))) => return Ok(*info),
                Some(Report::Failed(why)) => return Err(why),
                Some(_) => {}
                None => return Err("the look-up ended".to_owned()),
            }
        }
    };
    tokio::time::timeout(patience, looked)
        .await
        .unwrap_or_else(|_| Err(format!("none was found at {url} within {patience:?}")))
}

enum Session {
    ZooKeeper(Box<zookeeper::Session>),
    Etcd(Box<etcd::Session>),
}

impl Session {
    fn read(&mut self, member: Member) {
        match self {
            Session::ZooKeeper(session) => session.read(member),
            Session::Etcd(session) => session.read(member),
        }
    }
}

struct Loop {
    url: Url,
    timeout: Duration,
    /// What our node holds, if we stand.
    data: Option<Vec<u8>>,
    election: Election,
    standing: Standing,
    own: Option<Member>,
    reports: mpsc::UnboundedSender<Report>,
    lease: Lease,
}

/// What becomes of a session after an event.
#[derive(PartialEq)]
enum Next {
    GoOn,
    Reopen,
    End,
}

impl Loop {
    async fn run(mut self, mut withdrawn: oneshot::Receiver<oneshot::Sender<()>>) {
        let mut wait = AGAIN;
        loop {
            let (events, mut heard) = mpsc::unbounded_channel();
            let opened = tokio::select! {
                opened = self.open(events) => opened,
                _ = &mut withdrawn => return,
                () = self.reports.closed() => return,
            };
            match opened {
                Ok(mut session) => {
                    wait = AGAIN;
                    if self.session(&mut session, &mut heard, &mut withdrawn).await == Next::End {
                        return;
                    }
                }
                Err(error) if error.refused => {
                    let why = format!("{} does not let us in: {}", self.url, error.why);
                    let _ = self.reports.send(Report::Failed(why));
                    return;
                }
                Err(error) => {
                    tracing::warn!(ensemble = %self.url, why = error.why, "cannot be reached; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = &mut withdrawn => return,
                        () = self.reports.closed() => return,
                    }
                    wait = (wait * 2).min(AGAIN_AT_MOST);
                }
            }
        }
    }

    async fn open(&self, events: mpsc::UnboundedSender<Event>) -> Result<Session, OpenError> {
        let candidate = self.data.is_some();
        match &self.url {
            Url::ZooKeeper(place) => zookeeper::Session::open(place, self.timeout, candidate, events)
                .await
                .map(|session| Session::ZooKeeper(Box::new(session))),
            Url::Etcd(place, tls) => {
                let opened = etcd::Session::open(place, tls.as_ref(), self.timeout, candidate, events);
                opened.await.map(|session| Session::Etcd(Box::new(session)))
            }
            Url::Master(_) => Err(OpenError { refused: true, why: "one master is no ensemble".to_owned() }),
        }
    }

    /// Until the session is over, or nobody wants to know.
    async fn session(
        &mut self,
        session: &mut Session,
        heard: &mut mpsc::UnboundedReceiver<Event>,
        withdrawn: &mut oneshot::Receiver<oneshot::Sender<()>>,
    ) -> Next {
        loop {
            let deadline = self.election.deadline();
            let event = tokio::select! {
                event = heard.recv() => event.unwrap_or_else(|| Event::Closed("its session is gone".to_owned())),
                () = until(deadline) => Event::Woken,
                done = &mut *withdrawn => {
                    self.withdraw(session).await;
                    // Who asked may not wait.
                    drop(done.map(|done| done.send(())));
                    return Next::End;
                }
                () = self.reports.closed() => return Next::End,
            };
            if let Event::Joined(member) = &event {
                tracing::info!(node = member.name, "stands for election");
                self.own = Some(member.clone());
            }
            self.hear_of_others(session, &event);
            for effect in self.election.handle(now(), event) {
                match self.perform(session, effect) {
                    Next::GoOn => {}
                    next => return next,
                }
            }
        }
    }

    /// Who stands beside us is not what an election is decided by, but what web pages fall back on.
    fn hear_of_others(&mut self, session: &mut Session, event: &Event) {
        if self.data.is_none() {
            return;
        }
        let told = match event {
            Event::Opened { .. } => {
                self.standing = Standing::default();
                None
            }
            Event::Members(members) => {
                let unread = self.standing.members(members);
                unread.into_iter().for_each(|member| session.read(member));
                self.standing.changed()
            }
            Event::Data(member, data) => {
                self.standing.data(member, data.as_deref());
                self.standing.changed()
            }
            _ => None,
        };
        if let Some(infos) = told {
            // Who does not listen any more is found out by the loop.
            let _ = self.reports.send(Report::Standing(infos));
        }
    }

    fn perform(&mut self, session: &mut Session, effect: Effect) -> Next {
        let report = match effect {
            Effect::Join => {
                let data = self.data.clone().unwrap_or_default();
                match session {
                    Session::ZooKeeper(session) => session.join(data),
                    Session::Etcd(session) => session.join(data),
                }
                return Next::GoOn;
            }
            Effect::Read(member) => {
                session.read(member);
                return Next::GoOn;
            }
            Effect::Hold(time) => {
                self.lease.hold_until(time);
                return Next::GoOn;
            }
            Effect::Reopen => {
                tracing::warn!(ensemble = %self.url, "the session is over; beginning a new one");
                return Next::Reopen;
            }
            Effect::Leader(info) => Report::Leader(info),
            Effect::Elected(member) => Report::Elected(term(session, &member)),
            Effect::Lost(why) => Report::Lost(why),
            Effect::Failed(why) => Report::Failed(why),
        };
        let last = matches!(report, Report::Lost(_) | Report::Failed(_));
        if last {
            self.lease.hold_until(now());
        }
        if self.reports.send(report).is_err() || last { Next::End } else { Next::GoOn }
    }

    async fn withdraw(&mut self, session: &mut Session) {
        self.lease.hold_until(now());
        match session {
            Session::ZooKeeper(session) => {
                if let Some(own) = self.own.take() {
                    session.withdraw(&own).await;
                }
            }
            Session::Etcd(session) => session.withdraw().await,
        }
    }
}

fn term(session: &Session, member: &Member) -> Term {
    match session {
        Session::ZooKeeper(session) => {
            Term::ZooKeeper { client: session.client().clone(), node: session.node(member) }
        }
        Session::Etcd(session) => Term::Etcd {
            client: Box::new(session.client().clone()),
            key: session.key(member),
            create_revision: i64::try_from(member.number).unwrap_or(i64::MAX),
        },
    }
}

/// By the lease's clock; may come late where the machine slept, which `Lease::holds` does not.
async fn until(time: Option<crate::base::time::Time>) {
    match time {
        Some(time) => tokio::time::sleep(time.since(now())).await,
        None => std::future::pending().await,
    }
}
