//! A master under measure: what it has used so far, as the kernel counts it.

use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;

/// SCHED_OTHER.
const NORMAL: u32 = 0;

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// User and system time of all its threads, in seconds.
    pub cpu: f64,
    /// Resident, in KiB.
    pub memory: f64,
}

pub fn used(pid: u32) -> Used {
    let pid = i32::try_from(pid).expect("a pid is positive");
    let stat = Process::new(pid).and_then(|process| process.stat()).expect("the master is alive");
    // To the nanosecond; `stat` counts hundredths of seconds, a tenth of what the smallest lines take.
    let clock = clock_getcpuclockid(Pid::from_raw(pid)).and_then(clock_gettime).expect("the master is alive");
    Used {
        cpu: Duration::from(clock).as_secs_f64(),
        memory: (stat.rss * procfs::page_size()) as f64 / 1024.0,
    }
}

/// Processor time of the threads that do not give way to others, in seconds.
pub fn urgent(pid: u32) -> f64 {
    let process = Process::new(i32::try_from(pid).expect("a pid is positive")).expect("the master is alive");
    let threads = process.tasks().expect("its threads").flatten().filter_map(|thread| thread.stat().ok());
    let ticks: u64 = threads
        .filter(|thread| thread.nice <= 0 && thread.policy == Some(NORMAL))
        .map(|thread| thread.utime + thread.stime)
        .sum();
    ticks as f64 / procfs::ticks_per_second() as f64
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
