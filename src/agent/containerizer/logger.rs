//! `--container_logger`: what becomes of the output of containers. Pure.
//!
//! `sandbox` leaves it in the sandbox's `stdout` and `stderr`, `logrotate` bounds these and keeps some older
//! ones beside them. Both are also known by the names of Mesos' modules, and the sizes by those of their
//! parameters; an executor may say its own, as there, by variables of its environment.
//!
//! Source: slave/container_loggers/lib_logrotate.hpp 1.11. `rotate` is logrotate's word for how many are kept.

use crate::base::bytes;
use crate::posix::rotate::{Limits, Rotation};
use crate::proto::CommandInfo;

/// Before the name of a parameter, in upper case, in an executor's environment.
const PREFIX: &str = "CONTAINER_LOGGER_";

/// The least that a file may hold. Source: a page, which Mesos' logger wants.
const LEAST: u64 = 4096;

/// Sizes are Mesos' defaults; logrotate keeps none unless told to.
const DEFAULT: Limits = Limits { bytes: 10 << 20, files: 5 };

/// The most older files that are kept.
const FILES_MOST: u32 = 1000;

/// What the flag's text asks for; `None`: files that grow.
pub fn parse(text: &str) -> Result<Option<Rotation>, String> {
    let mut words = text.split(',').map(str::trim);
    let rotates = match words.next().unwrap_or_default() {
        "sandbox" | "org_apache_mesos_SandboxContainerLogger" => false,
        "logrotate" | "org_apache_mesos_LogrotateContainerLogger" => true,
        other => return Err(format!("expected sandbox or logrotate, got '{other}'")),
    };
    let mut rotation = Rotation { stdout: DEFAULT, stderr: DEFAULT };
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("expected NAME=VALUE behind a comma, got '{word}'"))?;
        if !rotates {
            return Err(format!("'{name}' is a parameter of logrotate"));
        }
        set(&mut rotation, name, value)?;
    }
    Ok(rotates.then_some(rotation))
}

/// With what an executor wants otherwise; what makes no sense is left as it is.
pub fn of_container(rotation: Rotation, command: &CommandInfo) -> Rotation {
    let mut own = rotation;
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        if let Some(name) = variable.name.strip_prefix(PREFIX) {
            let _ = set(&mut own, &name.to_ascii_lowercase(), variable.value());
        }
    }
    own
}

fn set(rotation: &mut Rotation, name: &str, value: &str) -> Result<(), String> {
    let size = || match bytes::parse(value) {
        Ok(size) if size >= LEAST => Ok(size),
        Ok(_) => Err(format!("expected '{name}' to be at least {LEAST}B, got '{value}'")),
        Err(error) => Err(format!("'{name}': {error}")),
    };
    match name {
        "max_stdout_size" => rotation.stdout.bytes = size()?,
        "max_stderr_size" => rotation.stderr.bytes = size()?,
        "rotate" => {
            let files = value.parse().ok().filter(|files| *files <= FILES_MOST);
            let files = files
                .ok_or_else(|| format!("expected 'rotate' to be at most {FILES_MOST}, got '{value}'"))?;
            rotation.stdout.files = files;
            rotation.stderr.files = files;
        }
        other => {
            return Err(format!("expected max_stdout_size, max_stderr_size or rotate, got '{other}'"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Environment, environment};

    #[test]
    fn texts_mean_something() {
        assert_eq!(parse("sandbox"), Ok(None));
        assert_eq!(parse("org_apache_mesos_SandboxContainerLogger"), Ok(None));
        assert_eq!(parse("logrotate"), Ok(Some(Rotation { stdout: DEFAULT, stderr: DEFAULT })));
        let rotation = parse("logrotate, max_stdout_size=2MB,max_stderr_size=4KB,rotate=1").unwrap().unwrap();
        assert_eq!(rotation.stdout, Limits { bytes: 2 << 20, files: 1 });
        assert_eq!(rotation.stderr, Limits { bytes: 4096, files: 1 });
        for wrong in [
            "",
            "journald",
            "sandbox,rotate=1",
            "logrotate,rotate",
            "logrotate,rotate=1001",
            "logrotate,max_stdout_size=1KB",
            "logrotate,max_stdout_size=x",
            "logrotate,compress=yes",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn executors_may_say_their_own() {
        let variable = |name: &str, value: &str| environment::Variable {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            ..Default::default()
        };
        let variables = vec![
            variable("CONTAINER_LOGGER_MAX_STDOUT_SIZE", "8KB"),
            variable("CONTAINER_LOGGER_MAX_STDERR_SIZE", "nonsense"),
            variable("OTHER", "1"),
        ];
        let command = CommandInfo { environment: Some(Environment { variables }), ..Default::default() };
        let own = of_container(Rotation { stdout: DEFAULT, stderr: DEFAULT }, &command);
        assert_eq!((own.stdout.bytes, own.stderr.bytes), (8192, DEFAULT.bytes));
    }
}
