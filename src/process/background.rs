//! Work that is much and may wait: a runtime in a thread of its own, which gives way to all other threads when
//! the processors are busy and has them to itself when they are not.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tracing::warn;

/// The runtime; it ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    _ends: oneshot::Sender<()>,
}

impl Background {
    /// Starts a thread of this name and niceness (0 to 19). Its tasks wait for sockets of the runtime that made
    /// them.
    pub fn start(name: &str, niceness: i32) -> io::Result<Background> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            give_way(niceness);
            // Nothing is ever sent.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Background { handle, _ends: ends })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Lets other threads go before the calling one, the more the larger (up to 19). There is no way back.
pub fn give_way(niceness: i32) {
    // Linux counts it by thread.
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        warn!(%error, "a thread of less urgency runs as any other");
    }
}
