//! etcd: one lease that holds a candidate's key, and a watch of those below the path.
//!
//! The layout is ZooKeeper's: `PATH/json.info_0000000012`. Whose key was created first leads, by etcd's revision. A
//! watch that is cancelled (compaction, a member without a leader) or breaks begins anew with a list, so nothing is
//! missed; members of the cluster that come and go are the balancing channel's business.

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, Identity, PutOptions,
    SortOrder, SortTarget, TlsOptions, Txn, TxnOp, WatchOptions,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::election::Event;
use super::lease::now;
use super::member::{LABEL, Member};
use super::run::OpenError;
use super::url::{Place, Tls};

const AGAIN: Duration = Duration::from_millis(200);

/// Of a lease, in how many parts a leader makes itself heard; a request may take as long as one.
const BEATS: u32 = 5;

/// What may go wrong before etcd is asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("reading {path}")]
    File { path: String, source: std::io::Error },
    #[error("{0}")]
    Etcd(#[from] Error),
    #[error("no answer in time")]
    Silence,
}

/// A client of a cluster. It balances over the servers; with credentials the first request is made here.
pub async fn connect(place: &Place, tls: Option<&Tls>, patience: Duration) -> Result<Client, ConnectError> {
    let mut options = ConnectOptions::new()
        .with_require_leader(true)
        .with_connect_timeout(patience / BEATS)
        .with_keep_alive(patience / BEATS, patience / BEATS);
    if let Some(credentials) = &place.credentials {
        options = options.with_user(&credentials.user, &credentials.password).with_auto_token_refresh(true);
    }
    if let Some(tls) = tls {
        options = options.with_tls(tls_options(tls).await?);
    }
    let servers: Vec<String> = place.servers.iter().map(ToString::to_string).collect();
    let connecting = Client::connect(servers, Some(options));
    Ok(timeout(patience, connecting).await.map_err(|_| ConnectError::Silence)??)
}

async fn tls_options(tls: &Tls) -> Result<TlsOptions, ConnectError> {
    async fn file(path: &str) -> Result<Vec<u8>, ConnectError> {
        tokio::fs::read(path).await.map_err(|source| ConnectError::File { path: path.to_owned(), source })
    }
    let mut options = TlsOptions::new();
    options = match &tls.ca {
        Some(ca) => options.ca_certificate(Certificate::from_pem(file(ca).await?)),
        None => options.with_native_roots(),
    };
    if let Some((cert, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(file(cert).await?, file(key).await?));
    }
    Ok(options)
}

/// Whether trying again cannot help. Source: codes of google.rpc.Code, and the texts of etcd's rpctypes/error.go,
/// which has InvalidArgument for wrong credentials.
pub fn is_refusal(error: &Error) -> bool {
    const INVALID_ARGUMENT: i32 = 3;
    const PERMISSION_DENIED: i32 = 7;
    match error {
        Error::GRpcStatus(status) => match status.code() as i32 {
            PERMISSION_DENIED => true,
            INVALID_ARGUMENT => {
                let text = status.message();
                text.contains("authentication failed") || text.contains("user name is empty")
            }
            _ => false,
        },
        Error::InvalidArgs(_) | Error::InvalidUri(_) => true,
        _ => false,
    }
}

/// What etcd said, without the wrapping.
fn text_of(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}

pub(super) struct Session {
    client: Client,
    place: Place,
    /// Of a candidate.
    lease: Option<i64>,
    patience: Duration,
    events: UnboundedSender<Event>,
    tasks: JoinSet<()>,
}

impl Session {
    pub async fn open(
        place: &Place,
        tls: Option<&Tls>,
        session_timeout: Duration,
        candidate: bool,
        events: UnboundedSender<Event>,
    ) -> Result<Session, OpenError> {
        let failed = |error: &Error| OpenError { refused: is_refusal(error), why: text_of(error) };
        let mut client = match connect(place, tls, session_timeout).await {
            Ok(client) => client,
            Err(ConnectError::Etcd(error)) => return Err(failed(&error)),
            Err(error @ ConnectError::File { .. }) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                return Err(OpenError {
                    refused: true,
                    why: format!("{error}{}", cause.unwrap_or_default()),
                });
            }
            Err(error @ ConnectError::Silence) => {
                return Err(OpenError { refused: false, why: error.to_string() });
            }
        };
        let asked = now();
        let (mut lease, mut ttl) = (None, session_timeout);
        if candidate {
            let seconds =
                i64::try_from(session_timeout.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
            let granted = timeout(session_timeout, client.lease_grant(seconds, None)).await;
            let granted =
                granted.map_err(|_| OpenError { refused: false, why: "no answer in time".to_owned() })?;
            let granted = granted.map_err(|error| failed(&error))?;
            lease = Some(granted.id());
            ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
            tracing::info!(lease = granted.id(), ?ttl, cluster = %place, "etcd granted a lease");
        }
        let _ = events.send(Event::Opened { asked, timeout: ttl });
        let patience = ttl / BEATS;
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(client.clone(), place.path.clone(), patience, events.clone()));
        if let Some(lease) = lease {
            tasks.spawn(beats(client.clone(), lease, patience, events.clone()));
        }
        Ok(Session { client, place: place.clone(), lease, patience, events, tasks })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn key(&self, member: &Member) -> String {
        format!("{}/{}", self.place.path, member.name)
    }

    pub fn join(&mut self, data: Vec<u8>) {
        let Some(lease) = self.lease else { return };
        let (mut client, place) = (self.client.clone(), self.place.clone());
        let (patience, events) = (self.patience, self.events.clone());
        self.tasks.spawn(async move {
            let event = loop {
                match timeout(patience, join(&mut client, &place.path, lease, &data)).await {
                    Ok(Ok(Some(member))) => break Event::Joined(member),
                    // Somebody has that name.
                    Ok(Ok(None)) => continue,
                    Ok(Err(error)) if is_refusal(&error) => {
                        break Event::Refused(format!("making a key in etcd://{place}: {}", text_of(&error)));
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "making a key; trying again"),
                    Err(_) => tracing::debug!("making a key took too long; trying again"),
                }
                tokio::time::sleep(AGAIN).await;
            };
            let _ = events.send(event);
        });
    }

    pub fn read(&mut self, member: Member) {
        let (mut client, key) = (self.client.clone(), self.key(&member));
        let (patience, events) = (self.patience, self.events.clone());
        self.tasks.spawn(async move {
            let event = loop {
                match timeout(patience, client.get(key.as_str(), None)).await {
                    Ok(Ok(found)) => {
                        let data = found.kvs().first().map(|found| found.value().to_vec());
                        break Event::Data(member, data);
                    }
                    Ok(Err(error)) if is_refusal(&error) => {
                        break Event::Refused(format!("reading {key}: {}", text_of(&error)));
                    }
                    Ok(Err(error)) => tracing::debug!(%error, key, "reading a key; trying again"),
                    Err(_) => tracing::debug!(key, "reading a key took too long; trying again"),
                }
                tokio::time::sleep(AGAIN).await;
            };
            let _ = events.send(event);
        });
    }

    /// Gives the lease back, and the key with it.
    pub async fn withdraw(&mut self) {
        if let Some(lease) = self.lease
            && let Err(error) = self.client.lease_revoke(lease).await
        {
            tracing::debug!(%error, "giving the lease back");
        }
    }
}

/// Who stands, the oldest key first, and the revision at which it was so; with the lease of each.
async fn list(client: &mut Client, path: &str) -> Result<(Vec<(Member, i64)>, i64), Error> {
    let prefix = format!("{path}/");
    let options =
        GetOptions::new().with_prefix().with_keys_only().with_sort(SortTarget::Create, SortOrder::Ascend);
    let found = client.get(prefix.as_str(), Some(options)).await?;
    let revision = found.header().map(|header| header.revision()).unwrap_or_default();
    let members = found.kvs().iter().filter_map(|found| {
        let name = std::str::from_utf8(found.key()).ok()?.strip_prefix(&prefix)?;
        let named = Member::of_name(name).filter(|_| !name.contains('/'))?;
        let number = u64::try_from(found.create_revision()).unwrap_or_default();
        Some((Member { number, ..named }, found.lease()))
    });
    Ok((members.collect(), revision))
}

/// The key that this lease has already, or a new one; none if its name was taken meanwhile.
async fn join(client: &mut Client, path: &str, lease: i64, data: &[u8]) -> Result<Option<Member>, Error> {
    let (members, revision) = list(client, path).await?;
    if let Some((member, _)) = members.into_iter().find(|(_, of)| *of == lease) {
        return Ok(Some(member));
    }
    let name = format!("{LABEL}{revision:010}");
    let key = format!("{path}/{name}");
    let put = TxnOp::put(key.as_str(), data, Some(PutOptions::new().with_lease(lease)));
    let free = Compare::create_revision(key.as_str(), CompareOp::Equal, 0);
    let done = client.txn(Txn::new().when([free]).and_then([put])).await?;
    if !done.succeeded() {
        return Ok(None);
    }
    let revision = done.header().map(|header| header.revision()).unwrap_or_default();
    Ok(Some(Member { number: u64::try_from(revision).unwrap_or_default(), name }))
}

/// Tells who stands, now and whenever it changes.
async fn follow(mut client: Client, path: String, patience: Duration, events: UnboundedSender<Event>) {
    loop {
        let error = match timeout(patience, list(&mut client, &path)).await {
            Ok(Ok((members, revision))) => {
                let members = members.into_iter().map(|(member, _)| member).collect();
                let told = events.send(Event::Connected).and_then(|()| events.send(Event::Members(members)));
                if told.is_err() {
                    return;
                }
                match changed(&mut client, &path, revision + 1, patience).await {
                    Ok(()) => continue,
                    Err(error) => error,
                }
            }
            Ok(Err(error)) if is_refusal(&error) => {
                let _ = events.send(Event::Refused(format!("listing {path}: {}", text_of(&error))));
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => Error::WatchError("no answer in time".to_owned()),
        };
        tracing::debug!(%error, path, "listing keys; trying again");
        if events.send(Event::Disconnected).is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits for a change from this revision on, or for the end of the watch.
async fn changed(client: &mut Client, path: &str, from: i64, patience: Duration) -> Result<(), Error> {
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let watching = timeout(patience, client.watch(format!("{path}/"), Some(options))).await;
    let mut watch = watching.map_err(|_| Error::WatchError("no answer in time".to_owned()))??;
    loop {
        match watch.message().await? {
            Some(message) if message.canceled() => {
                tracing::debug!(why = message.cancel_reason(), "a watch was cancelled; listing anew");
                return Ok(());
            }
            Some(message) if !message.events().is_empty() => return Ok(()),
            Some(_) => {}
            None => return Err(Error::WatchError("the watch ended".to_owned())),
        }
    }
}

/// Keeps the lease, and tells that it is kept.
async fn beats(mut client: Client, lease: i64, every: Duration, events: UnboundedSender<Event>) {
    loop {
        let error = match keep(&mut client, lease, every, &events).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if matches!(&error, Error::LeaseKeepAliveError(why) if why == GONE) {
            let _ = events.send(Event::Closed("its lease expired".to_owned()));
            return;
        }
        tracing::debug!(%error, "keeping the lease; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the library says of a lease that is over when a stream begins, and we when it ends later.
const GONE: &str = "lease not found";

/// One stream of requests and answers. Ends without an error when nobody listens.
async fn keep(
    client: &mut Client,
    lease: i64,
    every: Duration,
    events: &UnboundedSender<Event>,
) -> Result<(), Error> {
    let silence = || Error::WatchError("no answer in time".to_owned());
    let mut asked = now();
    let opened = timeout(every, client.lease_keep_alive(lease)).await;
    let (mut keeper, mut answers) = opened.map_err(|_| silence())??;
    loop {
        if events.send(Event::Heard { asked }).is_err() {
            return Ok(());
        }
        tokio::time::sleep(every.saturating_sub(now().since(asked))).await;
        asked = now();
        keeper.keep_alive().await?;
        match timeout(every, answers.message()).await.map_err(|_| silence())?? {
            Some(answer) if answer.ttl() > 0 => {}
            Some(_) => return Err(Error::LeaseKeepAliveError(GONE.to_owned())),
            None => return Err(silence()),
        }
    }
}
