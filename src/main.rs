//! The binary: which command, from argv[0] or from the first argument.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Memory that was freed goes back to the system after a second, not ten, and without waiting for the next request: what
/// 10,000 agents send when they come back to a new leader is as much again as what is kept of it.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> std::process::ExitCode {
    mesos::cmd::main(std::env::args_os().collect())
}
