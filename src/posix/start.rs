//! Starting a process in a clean state.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::user::Identity;

/// Where programs are looked for when nobody says. Source: `os::host_default_path`, stout 1.11.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that only their process shall see.
pub const SECRET_VARIABLES: [&str; 1] = ["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"];

/// The program and its arguments as `CommandInfo` means them: a line for the shell, or a program and its
/// `argv` from `argv[0]` on. `None` if there is no value.
pub fn program(command: &crate::proto::CommandInfo) -> Option<Command> {
    let value = command.value.as_deref()?;
    if command.shell() {
        let mut shell = Command::new("/bin/sh");
        shell.arg0("sh").arg("-c").arg(value);
        return Some(shell);
    }
    let mut program = Command::new(value);
    if let Some((name, rest)) = command.arguments.split_first() {
        program.arg0(name).args(rest);
    }
    Some(program)
}

/// Of our environment, what one needs who fetches something as another user, and nothing that is ours to know:
/// where programs, networks and certificates are.
pub fn for_fetchers() -> impl Iterator<Item = (OsString, OsString)> {
    let is_needed = |name: &str| {
        let name = name.to_ascii_lowercase();
        let start = ["hadoop_", "krb5"].iter().any(|start| name.starts_with(start));
        let whole = ["path", "java_home", "tz", "ssl_cert_file", "ssl_cert_dir"].contains(&name.as_str());
        start || whole || name.ends_with("_proxy")
    };
    let usual = (OsString::from("PATH"), OsString::from(DEFAULT_PATH));
    std::iter::once(usual)
        .chain(std::env::vars_os().filter(move |(name, _)| is_needed(&name.to_string_lossy())))
}

/// What the process and its parent have in common besides the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    None,
    /// The process is killed if the thread that starts it ends.
    DiesWithParent,
    /// It is told to end (SIGTERM) then.
    EndsWithParent,
}

/// Makes the process a leader of its own session and group, run by `identity`, with default signal
/// handlers, no signal blocked, and no file of ours open but the standard streams.
pub fn detach(command: &mut Command, identity: Option<Identity>, tie: Tie) {
    let prepare = move || {
        nix::unistd::setsid()?;
        default_signals();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        close_on_exec();
        if let Some(identity) = &identity {
            nix::unistd::setgroups(&identity.groups)?;
            nix::unistd::setgid(identity.gid)?;
            nix::unistd::setuid(identity.uid)?;
        }
        // After the change of user, which would undo it.
        match tie {
            Tie::None => (),
            Tie::DiesWithParent => set_pdeathsig(Signal::SIGKILL)?,
            Tie::EndsWithParent => set_pdeathsig(Signal::SIGTERM)?,
        }
        Ok::<(), io::Error>(())
    };
    // SAFETY: between fork and exec `prepare` makes system calls only: it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Ignored signals outlive exec; a task that `nohup` started the agent of must still get its SIGHUP.
fn default_signals() {
    for signal in 1..=31 {
        // SAFETY: setting a signal to its default is sound; SIGKILL and SIGSTOP just refuse.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Files that somebody handed to us open stay ours. Kernels before 5.11 do not know the call; all files
/// that we open ourselves close on exec anyway.
fn close_on_exec() {
    // SAFETY: marks descriptors, touches no memory.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::CommandInfo;

    fn shown(command: &CommandInfo) -> String {
        format!("{:?}", program(command).unwrap())
    }

    #[test]
    fn commands_are_lines_or_programs() {
        let line = CommandInfo { value: Some("echo $HOME".to_owned()), ..Default::default() };
        assert!(shown(&line).ends_with(r#""-c" "echo $HOME""#), "{}", shown(&line));
        let arguments = ["ls", "-l"].map(str::to_owned).to_vec();
        let program =
            CommandInfo { shell: Some(false), value: Some("/bin/ls".to_owned()), arguments, ..line };
        assert!(shown(&program).ends_with(r#""ls" "-l""#), "{}", shown(&program));
        assert!(super::program(&CommandInfo::default()).is_none());
    }

    #[test]
    fn starts_a_session() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cut -d' ' -f1,5,6 /proc/$$/stat"]);
        detach(&mut command, None, Tie::None);
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let numbers: Vec<&str> = output.split_whitespace().collect();
        assert!(numbers.len() == 3 && numbers.iter().all(|number| *number == numbers[0]), "{output}");
    }
}
