//! The master that always leads, by its name.
//!
//! Source: `StandaloneMasterDetector`, 1.11.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::warn;

use super::url::Server;
use crate::base::upid::Upid;
use crate::process::host;

/// How long until a name that did not resolve is tried again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// Where this master listens for messages; asks until its name resolves.
pub async fn resolved(master: &Server) -> Upid {
    loop {
        let name = master.host.clone();
        // The resolver may take its time.
        if let Ok(Some(ip)) = tokio::task::spawn_blocking(move || host::resolve(&name)).await {
            return Upid::new("master", SocketAddr::from((ip, master.port)));
        }
        warn!(master = %master, "the master's name does not resolve");
        tokio::time::sleep(RESOLVE_AGAIN).await;
    }
}
