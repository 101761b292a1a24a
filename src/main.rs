//! The binary: which command, from argv[0] or from the first argument.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    mesos::cmd::main(std::env::args_os().collect())
}
