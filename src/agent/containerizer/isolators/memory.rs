//! Hears of it when the kernel has killed something in a container for its memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::cgroups::{Group, Version};

/// Between two looks where the kernel does not tell by itself.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ends when that has happened; never, if nothing bounds the memory.
pub async fn exceeded(group: &Group) {
    match group.version("memory") {
        None => std::future::pending().await,
        Some(Version::One) => {
            if told(group).await.is_err() {
                looked(group).await;
            }
        }
        Some(Version::Two) => looked(group).await,
    }
}

async fn looked(group: &Group) {
    while group.out_of_memory_kills() == 0 {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The kernel counts up a file of ours, as it also does when the group is removed.
async fn told(group: &Group) -> io::Result<()> {
    let path = |file| group.path("memory", file).ok_or(io::ErrorKind::NotFound);
    let watched = File::open(path("memory.oom_control")?)?;
    // SAFETY: makes a descriptor, touches no memory.
    let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and nobody else has it.
    let event = unsafe { OwnedFd::from_raw_fd(event) };
    let registration = format!("{} {}", event.as_raw_fd(), watched.as_raw_fd());
    fs::write(path("cgroup.event_control")?, registration)?;
    // SAFETY: what is registered owns the descriptor, and closes it only after it has been taken off again.
    let event = unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) }?;
    let _ready = event.readable().await?;
    Ok(())
}
