//! Looks at tasks for their checks: runs a command, asks for a page, opens a connection.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::core::Event;
use super::core::checks::{Finding, Kind, Probe, Target, timed_out};
use crate::base::end::End;
use crate::posix::start::{self, Tie};
use crate::posix::tree::Doomed;
use crate::posix::user::Identity;
use crate::proto::TaskId;

/// How many redirections are followed. Source: curl's `--max-redirs`, by which Mesos looks.
const REDIRECTIONS: u32 = 50;

/// Where the commands of a task's checks run, if that has a sandbox of its own.
#[derive(Clone, Debug)]
pub struct Place {
    pub sandbox: PathBuf,
    pub identity: Option<Identity>,
}

/// The looks that are under way.
pub struct Probes {
    running: HashMap<(TaskId, Kind), AbortHandle>,
    events: mpsc::UnboundedSender<Event>,
}

impl Probes {
    pub fn new(events: mpsc::UnboundedSender<Event>) -> Probes {
        Probes { running: HashMap::new(), events }
    }

    /// `Probed` follows, unless it is stopped first. Must be called by the thread that tasks are tied to.
    pub fn start(&mut self, probe: Probe, place: Option<Place>) {
        let Probe { attempt, target, timeout } = probe;
        let key = (attempt.task.clone(), attempt.kind);
        let events = self.events.clone();
        let look = tokio::spawn(async move {
            let finding = match target {
                Target::Command { command, environment } => {
                    let program = start::program(&command).map(|mut program| {
                        program.env_clear().envs(&environment);
                        program
                    });
                    run(program, place, timeout).await
                }
                Target::Http(url) => ask(url, timeout).await,
                Target::Tcp(address) => {
                    let connected = within(timeout, TcpStream::connect(address)).await;
                    connected
                        .map(|connected| Finding::Connected(connected.is_ok()))
                        .ok_or_else(|| timed_out("TCP connection", timeout))
                }
            };
            // The loop that listened has ended, and with it the process.
            let _ = events.send(Event::Probed { attempt, finding });
        });
        self.running.insert(key, look.abort_handle());
    }

    /// What a stopped look has started is killed.
    pub fn stop(&mut self, task: &TaskId) {
        for kind in [Kind::Check, Kind::Health] {
            if let Some(look) = self.running.remove(&(task.clone(), kind)) {
                look.abort();
            }
        }
    }
}

/// `None` if it takes longer.
async fn within<T>(timeout: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, future).await.ok(),
        None => Some(future.await),
    }
}

/// What the command writes goes to our standard error, where the log of the executor is.
async fn run(
    program: Option<std::process::Command>,
    place: Option<Place>,
    timeout: Option<Duration>,
) -> Result<Finding, String> {
    let mut program = program.ok_or("the command has no value")?;
    program.stdin(Stdio::null()).stdout(io::stderr()).stderr(Stdio::inherit());
    let identity = place.and_then(|place| {
        program.env("MESOS_SANDBOX", &place.sandbox).current_dir(&place.sandbox);
        place.identity
    });
    start::detach(&mut program, identity, Tie::DiesWithParent);
    let failed = |error| format!("Failed to create subprocess: {error}");
    let mut child = Command::from(program).spawn().map_err(failed)?;
    let doomed = Doomed::of(child.id());
    let status = within(timeout, child.wait()).await.ok_or_else(|| timed_out("Command", timeout))?;
    doomed.spare();
    match status.map(End::from) {
        Ok(End::Code(code)) => Ok(Finding::Exited(code)),
        Ok(end) => Err(format!("Command {end}")),
        Err(error) => Err(format!("Failed to reap the command process: {error}")),
    }
}

/// In a thread of its own: the client blocks, and nothing but its timeout stops it.
async fn ask(url: String, timeout: Option<Duration>) -> Result<Finding, String> {
    let asked = tokio::task::spawn_blocking(move || get(&url, timeout));
    asked.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The status of a page, once all of that has been read; who serves it is not asked for a certificate.
///
/// Source: `httpCheckCommand`, checker_process.cpp 1.11: `curl -s -S -L -k -w %{http_code} -o /dev/null -g`.
fn get(url: &str, timeout: Option<Duration>) -> Result<Finding, String> {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let client = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(timeout)
        .max_redirects(REDIRECTIONS)
        .proxy(None)
        .tls_config(tls)
        .user_agent("mesos-checker")
        .build()
        .new_agent();
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => timed_out("HTTP request", timeout),
        error => error.to_string(),
    };
    let response = client.get(url).call().map_err(failed)?;
    let status = response.status().as_u16();
    let read = io::copy(&mut response.into_body().into_reader(), &mut io::sink());
    read.map_err(|error| format!("reading the answer of status {status}: {error}"))?;
    Ok(Finding::Status(status))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers each request with the next of these.
    fn serve(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/path")
    }

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn pages_have_a_status() {
        let url = serve(&["HTTP/1.1 503 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"]);
        assert_eq!(get(&url, LONG), Ok(Finding::Status(503)));
        let moved =
            "HTTP/1.1 302 There\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let there = "HTTP/1.1 204 Here\r\nConnection: close\r\n\r\n";
        let both: &'static [&'static str] = Box::leak(Box::new([moved, there]));
        assert_eq!(get(&serve(both), LONG), Ok(Finding::Status(204)));
        let short = serve(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nshort"]);
        assert!(get(&short, LONG).unwrap_err().starts_with("reading the answer"));
        assert!(get("http://127.0.0.1:1/", LONG).is_err());
    }

    #[test]
    fn a_page_that_does_not_come_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let error = get(&url, Some(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error, "HTTP request timed out after 50ms");
    }
}
