//! What operators settled, as the registry keeps it: when machines are maintained, which roles have a quota.
//!
//! It is read here. Changing it is still to come (`absent.rs`), so it holds what a registry brought that was moved
//! here (`mesos registry`), and nothing otherwise.
//!
//! Source: `Master::Http::maintenanceSchedule`, `maintenanceStatus`, quota_handler.cpp `status`; 1.11.

use axum::extract::State;
use axum::response::Response;
use http::{Method, Uri};
use prost::{Message, Name};

use super::{Site, ended};
use crate::files::handlers::blocking;
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::Endpoint;
use crate::proto::json::to_json;
use crate::proto::machine_info::Mode;
use crate::proto::maintenance::{ClusterStatus, Schedule, cluster_status::DrainingMachine};
use crate::proto::quota::QuotaStatus;
use crate::proto::{MachineId, Spelling};
use crate::registry::Registry;

const SETTLED: Endpoint = Endpoint { authentication: true, ..Endpoint::DEFAULT };

pub const SCHEDULE: Endpoint = Endpoint {
    path: "/maintenance/schedule",
    methods: &["GET", "POST"],
    tldr: "Returns the cluster's maintenance schedule.",
    description: &["Changing it (POST) is not there yet: answers 501 Not Implemented, and why."],
    ..SETTLED
};

pub const STATUS: Endpoint = Endpoint {
    path: "/maintenance/status",
    methods: &["GET"],
    tldr: "Retrieves the maintenance status of the cluster.",
    description: &["Shows the machines that are drained for maintenance, and those that are down for it."],
    ..SETTLED
};

pub const QUOTA: Endpoint = Endpoint {
    path: "/quota",
    methods: &["GET", "POST", "DELETE"],
    tldr: "Gets the quota of roles.",
    description: &["Changing it (POST, DELETE) is not there yet: answers 501 Not Implemented, and why."],
    ..SETTLED
};

/// The first one: there is never another. Source: `Master::Http::_updateMaintenanceSchedule`, 1.11.
pub fn schedule_of(registry: &Registry) -> Schedule {
    registry.schedules.first().cloned().unwrap_or_default()
}

pub fn status_of(registry: &Registry) -> ClusterStatus {
    let of = |mode: Mode| -> Vec<MachineId> {
        let machines = registry.machines.values().filter(|machine| machine.mode() == mode);
        machines.map(|machine| machine.id.clone()).collect()
    };
    let draining = of(Mode::Draining).into_iter();
    ClusterStatus {
        draining_machines: draining.map(|id| DrainingMachine { id, statuses: Vec::new() }).collect(),
        down_machines: of(Mode::Down),
    }
}

#[expect(deprecated, reason = "quotas of Mesos before 1.9 are told as they were made")]
pub fn quota_of(registry: &Registry) -> QuotaStatus {
    QuotaStatus {
        infos: registry.old_quotas.values().cloned().collect(),
        configs: registry.quotas.values().cloned().collect(),
    }
}

pub async fn schedule(State(site): State<Site>, method: Method, uri: Uri) -> Result<Response, HttpError> {
    site.settled(&method, &uri, "maintenance is", schedule_of).await
}

pub async fn status(State(site): State<Site>, method: Method, uri: Uri) -> Result<Response, HttpError> {
    site.settled(&method, &uri, "maintenance is", status_of).await
}

pub async fn quota(State(site): State<Site>, method: Method, uri: Uri) -> Result<Response, HttpError> {
    site.settled(&method, &uri, "quota is", quota_of).await
}

impl Site {
    async fn settled<T: Message + Name + 'static>(
        &self,
        method: &Method,
        uri: &Uri,
        subject: &str,
        read: fn(&Registry) -> T,
    ) -> Result<Response, HttpError> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let path = uri.path().trim_end_matches('/');
            return Err(HttpError::not_implemented(format!(
                "{method} {path} is not here: {subject} still to come"
            )));
        }
        let registry = self.inner.core.registry().await.map_err(ended)?;
        let text = blocking(move || Ok(to_json(&read(&registry), Spelling::V0))).await?;
        json::text_answer(text.into(), Query::of(uri).get("jsonp"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::MachineInfo;
    use crate::proto::quota::QuotaConfig;

    #[test]
    fn what_a_registry_holds_is_shown() {
        let mut registry = Registry::default();
        let shown = |registry: &Registry| {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            [
                text(to_json(&schedule_of(registry), Spelling::V0)),
                text(to_json(&status_of(registry), Spelling::V0)),
                text(to_json(&quota_of(registry), Spelling::V0)),
            ]
        };
        assert_eq!(shown(&registry), ["{}", "{}", "{}"]);
        for (name, mode) in [("a", Mode::Draining), ("b", Mode::Down), ("c", Mode::Up)] {
            let id = MachineId { hostname: Some(name.to_owned()), ip: None };
            let machine = MachineInfo { id, mode: Some(mode as i32), unavailability: None };
            registry.machines.insert(name.to_owned(), machine);
        }
        registry.schedules.push(Schedule::default());
        registry.quotas.insert("r".to_owned(), QuotaConfig { role: "r".to_owned(), ..Default::default() });
        assert_eq!(
            shown(&registry),
            [
                "{}",
                r#"{"draining_machines":[{"id":{"hostname":"a"}}],"down_machines":[{"hostname":"b"}]}"#,
                r#"{"configs":[{"role":"r"}]}"#
            ]
        );
    }
}
