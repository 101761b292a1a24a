//! ZooKeeper: one session that looks on and, for a candidate, holds its node.
//!
//! Nodes are as Apache Mesos makes them: with credentials everybody reads and only who made them changes them,
//! else they are open. Requests go to the library, which reconnects by itself for as long as the session lives.
//!
//! Source: `GroupProcess`, src/zookeeper/group.cpp; authentication.cpp; 1.11.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission, SessionState};

use super::election::Event;
use super::lease::now;
use super::member::{LABEL, Member};
use super::run::OpenError;
use super::url::Place;

/// Before what failed for a passing reason is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Of a session that a leader holds, in how many parts it makes itself heard.
const BEATS: u32 = 5;

const OPEN: &[Acl] = &[Acl::new_const(Permission::ALL, "world", "anyone")];

/// Connects, and waits at most as long as a session lasts. Clones of the client share the session; it ends with the
/// last of them.
pub async fn connect(place: &Place, session_timeout: Duration) -> Result<Client, Error> {
    let mut connector = Client::connector().with_session_timeout(session_timeout).with_fail_eagerly();
    if let Some(credentials) = &place.credentials {
        connector = connector.with_auth("digest", credentials.digest().as_bytes());
    }
    connector.connect(&place.authority()).await
}

/// Who may do what with nodes that we make.
pub fn acls(place: &Place) -> Vec<Acl> {
    match place.credentials {
        Some(_) => {
            vec![Acl::new(Permission::READ, AuthId::anyone()), Acl::new(Permission::ALL, AuthId::authed())]
        }
        None => OPEN.to_vec(),
    }
}

/// Makes a node and those above it, unless it is there.
pub async fn make_path(client: &Client, place: &Place, path: &str) -> Result<(), Error> {
    if client.check_stat(path).await?.is_some() {
        return Ok(());
    }
    let acls = acls(place);
    client.mkdir(path, &CreateMode::Persistent.with_acls(Acls::new(&acls))).await
}

/// Whether trying again cannot help.
pub fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::NoAuth | Error::AuthFailed | Error::InvalidAcl | Error::BadArguments(_))
}

fn is_over(error: &Error) -> bool {
    matches!(error, Error::SessionExpired | Error::ClientClosed | Error::SessionMoved)
}

/// One session. Its tasks end with it.
pub(super) struct Session {
    client: Client,
    place: Place,
    events: UnboundedSender<Event>,
    tasks: JoinSet<()>,
}

impl Session {
    /// Begins a session and tells of it. `candidate` if its end must be known in time.
    pub async fn open(
        place: &Place,
        timeout: Duration,
        candidate: bool,
        events: UnboundedSender<Event>,
    ) -> Result<Session, OpenError> {
        let asked = now();
        let client = connect(place, timeout)
            .await
            .map_err(|error| OpenError { refused: is_refusal(&error), why: error.to_string() })?;
        let timeout = client.session_timeout();
        tracing::info!(session = %client.session_id(), ?timeout, ensemble = %place, "connected to ZooKeeper");
        // Nobody listens any more: the session is about to be dropped.
        let _ = events.send(Event::Opened { asked, timeout });
        let mut tasks = JoinSet::new();
        tasks.spawn(states(client.clone(), events.clone()));
        tasks.spawn(follow(client.clone(), place.path.clone(), events.clone()));
        if candidate {
            tasks.spawn(beats(client.clone(), place.path.clone(), timeout / BEATS, events.clone()));
        }
        Ok(Session { client, place: place.clone(), events, tasks })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The full path of a member's node.
    pub fn node(&self, member: &Member) -> String {
        format!("{}/{}", self.place.path, member.name)
    }

    pub fn join(&mut self, data: Vec<u8>) {
        let (client, place, events) = (self.client.clone(), self.place.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let event = loop {
                match join(&client, &place, &data).await {
                    Ok(member) => break Event::Joined(member),
                    Err(error) if is_refusal(&error) => {
                        break Event::Refused(format!("making a node in zk://{place}: {error}"));
                    }
                    Err(error) if is_over(&error) => break Event::Closed(error.to_string()),
                    Err(error) => tracing::debug!(%error, "making a node; trying again"),
                }
                tokio::time::sleep(AGAIN).await;
            };
            let _ = events.send(event);
        });
    }

    pub fn read(&mut self, member: Member) {
        let (client, node, events) = (self.client.clone(), self.node(&member), self.events.clone());
        self.tasks.spawn(async move {
            let event = loop {
                match client.get_data(&node).await {
                    Ok((data, _)) => break Event::Data(member, Some(data)),
                    Err(Error::NoNode) => break Event::Data(member, None),
                    Err(error) if is_refusal(&error) => {
                        break Event::Refused(format!("reading {node}: {error}"));
                    }
                    Err(error) if is_over(&error) => break Event::Closed(error.to_string()),
                    Err(error) => tracing::debug!(%error, node, "reading a node; trying again"),
                }
                tokio::time::sleep(AGAIN).await;
            };
            let _ = events.send(event);
        });
    }

    /// Takes our node away, so that another need not wait for the session's end.
    pub async fn withdraw(&self, member: &Member) {
        if let Err(error) = self.client.delete(&self.node(member), None).await {
            tracing::debug!(%error, "taking our node away");
        }
    }
}

/// The node that this session made before, though it did not hear so, or a new one.
async fn join(client: &Client, place: &Place, data: &[u8]) -> Result<Member, Error> {
    make_path(client, place, &place.path).await?;
    for name in client.list_children(&place.path).await? {
        let Some(member) = Member::of_name(&name) else { continue };
        let stat = client.check_stat(&format!("{}/{name}", place.path)).await?;
        if stat.is_some_and(|stat| stat.ephemeral_owner == client.session_id().0) {
            return Ok(member);
        }
    }
    let acls = acls(place);
    let options = CreateMode::EphemeralSequential.with_acls(Acls::new(&acls));
    let (_, number) = client.create(&format!("{}/{LABEL}", place.path), data, &options).await?;
    let name = format!("{LABEL}{number}");
    Member::of_name(&name).ok_or_else(|| Error::UnexpectedError(format!("made a node {name}")))
}

/// Tells of the connection and of the session's end.
async fn states(client: Client, events: UnboundedSender<Event>) {
    let mut watcher = client.state_watcher();
    loop {
        let state = watcher.changed().await;
        let event = match state {
            SessionState::Disconnected => Event::Disconnected,
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => Event::Connected,
            SessionState::Expired => Event::Closed("its session expired".to_owned()),
            SessionState::Closed => Event::Closed("its session was closed".to_owned()),
            SessionState::AuthFailed => Event::Refused("ZooKeeper refuses the credentials".to_owned()),
        };
        if events.send(event).is_err() || state.is_terminated() {
            return;
        }
    }
}

/// Tells who stands, now and whenever it changes.
async fn follow(client: Client, path: String, events: UnboundedSender<Event>) {
    loop {
        let error = match client.list_and_watch_children(&path).await {
            Ok((names, watcher)) => {
                let members = names.iter().filter_map(|name| Member::of_name(name)).collect();
                if events.send(Event::Members(members)).is_err() {
                    return;
                }
                watcher.changed().await;
                continue;
            }
            Err(Error::NoNode) => match client.check_and_watch_stat(&path).await {
                Ok((None, watcher)) => {
                    if events.send(Event::Members(Vec::new())).is_err() {
                        return;
                    }
                    watcher.changed().await;
                    continue;
                }
                Ok((Some(_), _)) => continue,
                Err(error) => error,
            },
            Err(error) => error,
        };
        if is_refusal(&error) {
            let _ = events.send(Event::Refused(format!("listing {path}: {error}")));
            return;
        }
        if is_over(&error) {
            // `states` tells.
            return;
        }
        tracing::debug!(%error, path, "listing nodes; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Makes the session heard at the ensemble's leader, which ends sessions: a server that lost touch with it would
/// answer a read.
async fn beats(client: Client, path: String, every: Duration, events: UnboundedSender<Event>) {
    loop {
        let asked = now();
        match client.sync(&path).await {
            Ok(()) => {
                if events.send(Event::Heard { asked }).is_err() {
                    return;
                }
                tokio::time::sleep(every.saturating_sub(now().since(asked))).await;
            }
            Err(error) if is_over(&error) => return,
            Err(error) => {
                tracing::debug!(%error, "making our session heard; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
