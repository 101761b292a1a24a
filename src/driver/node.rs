//! What all drivers of a process share: threads, a port, and who lives behind it.
//!
//! Made by the first driver and never undone, as libprocess is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};
use tracing::{info, warn};

use super::flags::Flags;
use crate::flags::MESOS_VERSION;
use crate::http::route::Routes;
use crate::logging;
use crate::process;
use crate::process::server::{self, Limits, Processes};

/// The shared part.
pub struct Node {
    pub runtime: Handle,
    pub processes: Processes,
    /// Where others reach it.
    pub address: SocketAddr,
}

/// Threads for sockets. Callbacks have a thread for each driver beside these.
const THREADS: usize = 2;

static NODE: OnceLock<Result<Node, String>> = OnceLock::new();

/// The node of this process; flags count for the first driver only. The error says why there is none.
pub fn node(flags: &Flags, program: &str) -> Result<&'static Node, String> {
    NODE.get_or_init(|| start(flags, program)).as_ref().map_err(Clone::clone)
}

fn start(flags: &Flags, program: &str) -> Result<Node, String> {
    if flags.logs {
        // Whoever logs already goes on.
        match logging::init(program, &flags.logging) {
            Ok(_) | Err(logging::LogError::Twice) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    info!("Version: {MESOS_VERSION}");
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(THREADS).enable_all().thread_name("libmesos");
    let runtime = builder.build().map_err(|error| format!("Failed to start threads: {error}"))?;
    let handle = runtime.handle().clone();
    let listener = {
        let _entered = handle.enter();
        server::bind(flags.bind)
    };
    let failed = |error| format!("Failed to bind on {}: {error}", flags.bind);
    let listener = listener.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let address = flags.advertised(port);
    if address.ip().is_loopback() {
        warn!(
            %address,
            "the driver is bound to the loopback interface and cannot talk to masters on other machines; \
             LIBPROCESS_IP sets another address"
        );
    }
    let processes = Processes::default();
    let mut routes = Routes::new();
    process::version::bind(&mut routes);
    handle.spawn(server::serve(listener, processes.clone(), routes, Limits::default()));
    // It lives as long as the process.
    std::mem::forget(runtime);
    Ok(Node { runtime: handle, processes, address })
}

/// The environment as texts; what is none is nobody's flag.
pub fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
