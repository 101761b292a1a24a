//! One file per subject: ask, and write what was found.

mod agents;
mod cluster;
mod events;
mod files;
mod frameworks;
mod logging;
mod metrics;
mod ps;
mod roles;
mod screen;
mod tasks;
mod top;

use super::Ctl;
use super::args::{Command, Logging};
use super::error::Error;

/// Does what one command says; `Execute` is the caller's.
pub fn run(ctl: &Ctl, command: Command) -> Result<(), Error> {
    match command {
        Command::State => cluster::state(ctl),
        Command::Version { target } => cluster::version(ctl, &target),
        Command::Health { target } => cluster::health(ctl, &target),
        Command::Frameworks { all } => frameworks::list(ctl, all),
        Command::Offers => frameworks::offers(ctl),
        Command::Teardown { framework } => frameworks::teardown(ctl, &framework),
        Command::Agents => agents::list(ctl),
        Command::Tasks { all, framework, agent, state } => {
            tasks::list(ctl, &tasks::Filter { all, framework, agent, state })
        }
        Command::Kill { which, wait } => tasks::kill(ctl, &which, wait),
        Command::Roles => roles::list(ctl),
        Command::Ps => ps::list(ctl),
        Command::Top { once, by, every } => top::run(ctl, once, by, every),
        Command::Metrics { pattern, target } => metrics::metrics(ctl, pattern.as_deref(), &target),
        Command::Flags { pattern, target } => metrics::flags(ctl, pattern.as_deref(), &target),
        Command::Events { since, types, framework, agent, task } => {
            events::follow(ctl, events::Choice { since, types, framework, agent, task })
        }
        Command::Logs { which, file, span } => files::logs(ctl, &which, &file, span),
        Command::Log { target, span } => files::log(ctl, &target, span),
        Command::Files(what) => files::run(ctl, what),
        Command::Logging(Logging::Toggle { level, duration, target }) => {
            logging::toggle(ctl, level, duration, &target)
        }
        Command::Logging(Logging::Level { target }) => logging::level(ctl, &target),
        Command::Execute { .. } => Ok(()),
    }
}
