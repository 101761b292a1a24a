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
    /// Starts a thread of this name, for tasks that wait for sockets of the runtime that made them. `humbly` is called
    /// in it, and in those of the handle's `spawn_blocking`.
    pub fn start(name: &str, humbly: fn()) -> io::Result<Background> {
        let runtime =
            Builder::new_current_thread().enable_time().thread_name(name).on_thread_start(humbly).build()?;
        let handle = runtime.handle().clone();
        let (ends, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            humbly();
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

/// Gives the calling thread what processor time nobody else wants, and next to nothing while others want it. A
/// niceness of 19 would not do: whoever wakes up has to wait for such a thread, and finds no processor idle that it
/// is at. Source: sched(7), SCHED_IDLE.
pub fn run_when_idle() {
    // SAFETY: a plain number, of which all zeros is the only value that this policy takes.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: concerns the calling thread alone, and only reads what it is given.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0 {
        give_way(19);
    }
}
