//! What the web pages live from: the cluster as rows, what changes of it, offers, who leads.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::unfold;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, VARY};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at};

use super::reads::Read;
use super::{Site, ended};
use crate::base::build;
use crate::coordination::member;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::master::events::{place, reset};
use crate::master::feed::Follower;
use crate::master::view;
use crate::process::connection::Connection;
use crate::proto::MasterInfo;

/// A comment this often shows that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The whole as it was rendered last, with the number of the change that it shows.
pub type Whole = tokio::sync::Mutex<Option<(u64, Bytes)>>;

/// `/overview`.
pub async fn overview(State(site): State<Site>) -> Result<Response, HttpError> {
    let life = &site.inner.info.id;
    let shown = site.inner.feed.now().await.map_err(ended)?;
    // Those that come together share one rendering.
    let mut whole = site.inner.whole.lock().await;
    let text = match whole.as_ref().filter(|(number, _)| *number >= shown.number) {
        Some((_, text)) => text.clone(),
        None => {
            let (flags, at) = (site.inner.flags.clone(), format!("{life}:{}", shown.number));
            let render = move || Ok(Bytes::from(view::overview(&shown.cluster, &flags, &at)));
            let text = crate::files::handlers::blocking(render).await?;
            *whole = Some((shown.number, text.clone()));
            text
        }
    };
    drop(whole);
    let mut response = json::text_answer(text, None)?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `/overview/offers`.
pub async fn offers(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, HttpError> {
    site.show(Read::Offers, &Query::of(&uri), &headers).await
}

/// `/overview/task`.
pub async fn task(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, HttpError> {
    let query = Query::of(&uri);
    let value = |name: &str| {
        let missing = || HttpError::bad_request(format!("Expecting '{name}=value' in query"));
        query.filled(name).ok_or_else(missing)
    };
    let read = Read::Task(value("framework_id")?.into(), value("task_id")?.into());
    site.show(read, &query, &headers).await
}

/// `/overview/changes`: those after the one that `Last-Event-ID` (or `after`) names.
pub async fn changes(
    State(site): State<Site>,
    connection: Option<Extension<Connection>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let (feed, life) = (&site.inner.feed, &site.inner.info.id);
    let most = usize::try_from(site.inner.flags.max_operator_event_stream_subscribers).unwrap_or(usize::MAX);
    let Some(follower) = feed.follow(most) else {
        let text = format!("{most} pages follow already (--max_operator_event_stream_subscribers)");
        return Err(HttpError::service_unavailable(text));
    };
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let query = Query::of(&uri);
    let after = header.as_deref().or(query.filled("after"));
    let number = after.and_then(|id| super::events::resumed(id, life)).filter(|id| feed.after(*id).is_some());
    let stream = Stream {
        life: life.clone(),
        first: match number {
            Some(number) => Some(place(life, number)),
            None => Some(lost(life, feed.number())),
        },
        number,
        follower,
        standing: site.inner.seat.standing(),
        beat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        connection: connection.map(|Extension(connection)| connection),
    };
    let next = async |mut stream: Stream| Some((Ok::<_, std::io::Error>(stream.next().await?), stream));
    let mut response = Response::new(Body::from_stream(unfold(stream, next)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn lost(life: &str, number: u64) -> Bytes {
    reset(life, number, "what changed since is not known: read /overview anew")
}

struct Stream {
    life: String,
    first: Option<Bytes>,
    /// The last change told; none once the page has to begin anew.
    number: Option<u64>,
    follower: Follower,
    /// All masters, for the day when this one is gone.
    standing: watch::Receiver<Arc<[MasterInfo]>>,
    beat: Interval,
    connection: Option<Connection>,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some([first, self.masters()].concat().into());
        }
        let number = self.number?;
        let gone = async {
            match self.connection.clone() {
                Some(connection) => connection.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = gone => return None,
            more = self.follower.beyond(number) => if !more { return None },
            Ok(()) = self.standing.changed() => return Some(self.masters()),
            _ = self.beat.tick() => return Some(place(&self.life, number)),
        }
        let Some(changes) = self.follower.feed().after(number) else {
            self.number = None;
            return Some(lost(&self.life, self.follower.feed().number()));
        };
        let mut out = Vec::new();
        for (number, change) in changes {
            self.number = Some(number);
            out.extend_from_slice(format!("id: {}:{number}\nevent: change\ndata: ", self.life).as_bytes());
            out.extend_from_slice(&change);
            out.extend_from_slice(b"\n\n");
        }
        Some(out.into())
    }

    /// The event that names all masters, which has no place among the changes.
    fn masters(&mut self) -> Bytes {
        let authorities: Vec<_> =
            self.standing.borrow_and_update().iter().map(member::authority_of).collect();
        format!("event: masters\ndata: {}\n\n", json!(authorities)).into()
    }
}

/// `/leader`: of any master, who leads as far as it knows, and who else would.
///
/// Pages of other masters may read it: the one that served them may be gone. Pages of other sites may not.
pub async fn leader(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, HttpError> {
    let (own, seat) = (&site.inner.info, &site.inner.seat);
    let about = |info: &MasterInfo| {
        json!({
            "id": info.id,
            "hostname": info.hostname(),
            "port": info.port,
            "authority": member::authority_of(info),
        })
    };
    let standing = seat.standing().borrow().clone();
    let answer = json!({
        "id": own.id,
        "hostname": own.hostname(),
        "port": own.port,
        "version": build::VERSION,
        "cluster": site.inner.flags.cluster,
        "leads": seat.is_ours(),
        "leader": seat.leader().map(|leader| about(&leader)),
        "masters": standing.iter().map(about).collect::<Vec<_>>(),
    });
    let mut response = json::answer(&answer, Query::of(&uri).get("jsonp"))?;
    let is_master = |origin: &&HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
        authority.is_some_and(|authority| seat.remembers(authority))
    };
    if let Some(origin) = headers.get(ORIGIN).filter(is_master) {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    Ok(response)
}
