//! Looks now and then at what containers do that nothing holds them back from: how much their sandboxes take, and
//! what ports they listen on.
//!
//! A thread for each of both; it looks at one container after the other, so that many cost time and not load.
//! Source: isolators/posix/disk.cpp and network/ports.cpp 1.11.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tracing::{info, warn};

use super::Shared;
use crate::agent::containerizer::isolators::{disk, limits, ports};
use crate::agent::containerizer::{Limitation, Report};
use crate::base::bytes;
use crate::posix::tree;
use crate::proto::ContainerId;
use crate::proto::task_status::Reason;
use crate::resources::Ranges;

/// Starts what the isolators need; it goes on as long as there are containers to look at, or an agent.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let settings = shared.settings.isolators.settings();
    if settings.names.has("disk/du") || settings.names.has("posix/disk") {
        every(settings.disk_interval, "disk-watch", Arc::downgrade(shared), disks)?;
    }
    if settings.names.has("network/ports") {
        let mut told = BTreeMap::new();
        let look = move |shared: &Shared| listeners(shared, &mut told);
        every(settings.ports_interval, "port-watch", Arc::downgrade(shared), look)?;
    }
    Ok(())
}

fn every(
    interval: Duration,
    name: &str,
    shared: Weak<Shared>,
    mut look: impl FnMut(&Shared) + Send + 'static,
) -> io::Result<()> {
    let work = move || {
        loop {
            std::thread::sleep(interval);
            let Some(shared) = shared.upgrade() else { return };
            look(&shared);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn disks(shared: &Shared) {
    let sandboxes: Vec<(ContainerId, PathBuf)> =
        shared.running().iter().map(|(id, running)| (id.clone(), running.directory.clone())).collect();
    let enforced = shared.settings.isolators.settings().disk_quota;
    for (container, directory) in sandboxes {
        let used = disk::used(&directory);
        let quota = {
            let mut all = shared.running();
            let Some(running) = all.get_mut(&container) else { continue };
            running.disk_used = Some(used);
            running.allowed.disk
        };
        if enforced && quota > 0 && used > quota {
            let message =
                format!("Disk usage ({}) exceeds quota ({})", bytes::format(used), bytes::format(quota));
            let resources = limits::in_megabytes("disk", quota);
            shared.limit(
                &container,
                Limitation { reason: Reason::ContainerLimitationDisk, message, resources },
            );
        }
    }
}

/// `told`: what was said already of a container that may go on.
fn listeners(shared: &Shared, told: &mut BTreeMap<ContainerId, Ranges>) {
    let settings = shared.settings.isolators.settings();
    let Ok(all) = tree::processes() else { return };
    let listening = ports::listening();
    let running: Vec<(ContainerId, i32, Ranges)> = {
        let running = shared.running();
        let with_pid = running.iter().filter_map(|(id, running)| Some((id, running.pid?, running)));
        with_pid.map(|(id, pid, running)| (id.clone(), pid, running.allowed.ports.clone())).collect()
    };
    told.retain(|container, _| running.iter().any(|(id, ..)| id == container));
    for (container, pid, given) in running {
        let open = ports::of(&tree::descendants(pid, &all), &listening);
        let wrong = ports::not_given(&open, &given, settings.ports_looked_at.as_ref());
        if wrong.is_empty() {
            told.remove(&container);
            continue;
        }
        let message = format!("Container {} is listening on unallocated port(s): {wrong}", container.value);
        if settings.ports_enforced {
            let (reason, resources) = (Reason::ContainerLimitation, vec![ports::resource(&wrong)]);
            shared.limit(&container, Limitation { reason, message, resources });
        } else if told.insert(container, wrong.clone()).as_ref() != Some(&wrong) {
            info!("{message}");
        }
    }
}

impl Shared {
    /// It went too far: it is destroyed for that.
    fn limit(&self, container: &ContainerId, limitation: Limitation) {
        let all = self.running();
        let Some(running) = all.get(container).filter(|running| !*running.destroy.borrow()) else { return };
        warn!(container = %container.value, message = limitation.message, "a container goes too far");
        self.report(Report::Limited { container: container.clone(), limitation });
        running.destroy.send_replace(true);
    }
}
