//! What the one who runs a bench says, and what the process needs for it.

/// A number from the environment.
pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, got '{text}'"))
    })
}

/// Thousands of connections, here and in what is started.
pub fn open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        eprintln!("the limit of open files stays as it is ({error}): what is large may not fit");
    }
}
