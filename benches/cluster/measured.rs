//! A master under measure: what it has used so far, as the kernel counts it.

use std::time::{Duration, Instant};

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// User and system time of all its threads, in seconds.
    pub cpu: f64,
    /// Resident, in KiB.
    pub memory: f64,
}

pub fn used(pid: u32) -> Used {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the master is alive");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // SAFETY: sysconf(3) only reads.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the master is alive");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    Used { cpu: ticks / per_second, memory }
}

/// Waits until the master has done what it was asked for: it uses under a fifth of a core for a second.
pub async fn settle(pid: u32) {
    let end = Instant::now() + Duration::from_secs(120);
    let mut last = used(pid).cpu;
    let mut quiet = 0;
    while quiet < 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = used(pid).cpu;
        quiet = if now - last < 0.1 { quiet + 1 } else { 0 };
        last = now;
    }
}
