//! The seat of the leader, as this master knows it: whether it leads, and who does if not.
//!
//! `Seat` is what everything that serves looks at; `hold` waits for this master's turn and starts the core then, so
//! a master that does not lead has none. A master that led does not go on as a standby: its process ends, and what
//! it knew ends with it.
//!
//! Source: `Master::detected`, `lostCandidacy`, master.cpp; `Http::redirect`, http.cpp; 1.11.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::Uri;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

use super::run::Core;
use crate::coordination::{Report, Term, member};
use crate::http::error::HttpError;
use crate::proto::{DomainInfo, MasterInfo};

/// So many addresses of masters are remembered: more than anybody has, and few enough not to matter.
const REMEMBERED: usize = 256;

/// Who leads, and who would. Cheap to clone and to ask.
#[derive(Clone)]
pub struct Seat {
    inner: Arc<Inner>,
}

struct Inner {
    own: Arc<MasterInfo>,
    leads: AtomicBool,
    /// Another, while this one does not lead.
    leader: RwLock<Option<Arc<MasterInfo>>>,
    /// All who stand, the leader first; this one alone if nothing is elected.
    standing: watch::Sender<Arc<[MasterInfo]>>,
    /// `host:port` of every master that ever stood beside this one.
    remembered: RwLock<BTreeSet<String>>,
    /// Messages that came while it did not.
    dropped: AtomicU64,
}

impl Seat {
    /// Of a master that does not lead, and knows of none.
    pub fn empty(own: Arc<MasterInfo>) -> Seat {
        let (leads, leader, dropped) = (AtomicBool::new(false), RwLock::default(), AtomicU64::new(0));
        let standing = watch::Sender::new(Arc::from([MasterInfo::clone(&own)]));
        let remembered = RwLock::default();
        Seat { inner: Arc::new(Inner { own, leads, leader, standing, remembered, dropped }) }
    }

    /// All who stand for election, as they change.
    pub fn standing(&self) -> watch::Receiver<Arc<[MasterInfo]>> {
        self.inner.standing.subscribe()
    }

    /// Whether a master by this `host:port` stands, or once stood while this one did.
    pub fn remembers(&self, authority: &str) -> bool {
        let remembered = self.inner.remembered.read().unwrap_or_else(PoisonError::into_inner);
        remembered.contains(authority)
    }

    fn set_standing(&self, standing: Vec<MasterInfo>) {
        let mut remembered = self.inner.remembered.write().unwrap_or_else(PoisonError::into_inner);
        for authority in standing.iter().map(member::authority_of) {
            if remembered.len() < REMEMBERED {
                remembered.insert(authority);
            }
        }
        drop(remembered);
        self.inner.standing.send_replace(standing.into());
    }

    /// Whether this master leads.
    pub fn is_ours(&self) -> bool {
        self.inner.leads.load(Ordering::Acquire)
    }

    pub fn take(&self) {
        self.inner.leads.store(true, Ordering::Release);
    }

    fn leave(&self) {
        self.inner.leads.store(false, Ordering::Release);
        self.set_leader(None);
    }

    fn set_leader(&self, leader: Option<Arc<MasterInfo>>) {
        *self.inner.leader.write().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// Who leads: this master or another.
    pub fn leader(&self) -> Option<Arc<MasterInfo>> {
        if self.is_ours() {
            return Some(self.inner.own.clone());
        }
        self.inner.leader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a message that a master which does not lead does not take.
    pub fn drop_message(&self) {
        self.inner.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// `//host:port` of the leader, or 503. It names no scheme, so that the client keeps its own.
    pub fn base(&self) -> Result<String, HttpError> {
        match self.leader() {
            Some(leader) => Ok(format!("//{}", member::authority_of(&leader))),
            None => Err(HttpError::service_unavailable("No leader elected")),
        }
    }

    /// The same request at the leader; `rest` is what of the path its route does not have.
    pub fn elsewhere(&self, uri: &Uri, rest: &str) -> HttpError {
        let slash = if rest.is_empty() { "" } else { "/" };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        match self.base() {
            Ok(base) => HttpError::temporary_redirect(&format!("{base}{}{slash}{rest}{query}", uri.path())),
            Err(error) => error,
        }
    }
}

/// Waits until this master is elected and starts its core with `lead`. Comes back when the process has to end, and
/// says why.
pub async fn hold(
    mut reports: mpsc::UnboundedReceiver<Report>,
    seat: Seat,
    core: Core,
    lead: impl FnOnce(Term) -> std::io::Result<oneshot::Receiver<String>>,
) -> String {
    let mut ended = match elected(&mut reports, &seat).await {
        Ok(term) => match lead(term) {
            Ok(ended) => ended,
            Err(error) => return format!("starting the core: {error}"),
        },
        Err(why) => return why,
    };
    seat.take();
    loop {
        tokio::select! {
            why = &mut ended => {
                seat.leave();
                return why.unwrap_or_else(|_| "the core is gone".to_owned());
            }
            report = reports.recv() => match report {
                Some(Report::Lost(why)) => {
                    seat.leave();
                    let why = format!("this master leads no longer: {why}");
                    core.stop(&why);
                    return why;
                }
                Some(Report::Failed(why)) => {
                    seat.leave();
                    core.stop(&why);
                    return why;
                }
                Some(Report::Standing(standing)) => seat.set_standing(standing),
                Some(Report::Leader(_) | Report::Elected(_)) => {}
                None => return "the election's loop is gone".to_owned(),
            },
        }
    }
}

async fn elected(reports: &mut mpsc::UnboundedReceiver<Report>, seat: &Seat) -> Result<Term, String> {
    loop {
        match reports.recv().await {
            Some(Report::Elected(term)) => {
                info!("elected as the leading master");
                return Ok(term);
            }
            Some(Report::Leader(Some(leader))) => {
                info!(id = leader.id, pid = %member::pid_of(&leader), "another master leads");
                if let Some(why) = in_another_region(&seat.inner.own, &leader) {
                    return Err(why);
                }
                seat.set_leader(Some(Arc::new(*leader)));
            }
            Some(Report::Leader(None)) => {
                info!("no master leads");
                seat.set_leader(None);
            }
            Some(Report::Standing(standing)) => seat.set_standing(standing),
            Some(Report::Lost(why) | Report::Failed(why)) => return Err(why),
            None => {
                error!("the election's loop is gone");
                return Err("the election's loop is gone".to_owned());
            }
        }
    }
}

/// All masters of a cluster have to be in one region: agents elsewhere count as remote for all of them or for none.
fn in_another_region(own: &MasterInfo, leader: &MasterInfo) -> Option<String> {
    let region = |domain: &Option<DomainInfo>| {
        domain.as_ref().and_then(|domain| domain.fault_domain.as_ref()).map(|it| it.region.name.clone())
    };
    let (own, theirs) = (region(&own.domain)?, region(&leader.domain)?);
    (own != theirs).then(|| {
        format!(
            "this master is in region '{own}' and the leading one in '{theirs}': expected one region for all"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(port: u32) -> MasterInfo {
        MasterInfo { id: port.to_string(), hostname: Some("h".to_owned()), port, ..MasterInfo::default() }
    }

    #[test]
    fn a_standby_sends_clients_to_the_leader() {
        let seat = Seat::empty(Arc::new(info(1)));
        let uri: Uri = "/master/state?jsonp=x".parse().unwrap();
        let location = |error: HttpError| {
            let response = axum::response::Response::from(error);
            let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
            (response.status().as_u16(), location)
        };
        assert_eq!(location(seat.elsewhere(&uri, "")), (503, None));
        seat.set_leader(Some(Arc::new(info(2))));
        let there = Some("//h:2/master/state?jsonp=x".to_owned());
        assert_eq!(location(seat.elsewhere(&uri, "")), (307, there));
        let call: Uri = "/master/api/v1".parse().unwrap();
        let there = Some("//h:2/master/api/v1/operator".to_owned());
        assert_eq!(location(seat.elsewhere(&call, "operator")), (307, there));
        seat.take();
        assert_eq!(seat.base().unwrap(), "//h:1");
        seat.leave();
        assert!(seat.base().is_err());
    }

    #[test]
    fn who_stood_beside_it_is_remembered() {
        let seat = Seat::empty(Arc::new(info(1)));
        assert_eq!(seat.standing().borrow().len(), 1);
        seat.set_standing(vec![info(2), info(1)]);
        seat.set_standing(vec![info(1)]);
        assert_eq!(seat.standing().borrow()[..], [info(1)]);
        assert!(seat.remembers("h:1") && seat.remembers("h:2") && !seat.remembers("h:3"));
        seat.set_standing((0..1000).map(info).collect());
        assert!(!seat.remembers("h:999"));
    }

    #[test]
    fn one_region_for_all() {
        use crate::proto::domain_info::FaultDomain;
        use crate::proto::domain_info::fault_domain::{RegionInfo, ZoneInfo};
        let of = |name: &str| MasterInfo {
            domain: Some(DomainInfo {
                fault_domain: Some(FaultDomain {
                    region: RegionInfo { name: name.to_owned() },
                    zone: ZoneInfo { name: "z".to_owned() },
                }),
            }),
            ..info(1)
        };
        assert_eq!(in_another_region(&of("a"), &of("a")), None);
        assert_eq!(in_another_region(&of("a"), &info(2)), None);
        assert!(in_another_region(&of("a"), &of("b")).unwrap().contains("'b'"));
    }
}
