//! `mesos execute`: runs one command as a task and follows it to its end.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use super::execute_flags::{Flags, What, table};
use crate::coordination::url::Url;
use crate::coordination::{detect_once, member};
use crate::driver::execute::{Execute, Step, Work};
use crate::driver::session::{Session, SessionError};
use crate::flags::{Error, help, start};
use crate::http::content::ContentType;
use crate::proto::framework_info::{Capability, capability};
use crate::proto::json;
use crate::proto::{
    AgentId, CommandInfo, Environment, FrameworkInfo, Resource, Spelling, TaskGroupInfo, TaskId, TaskInfo,
    environment,
};

/// Between two attempts to reach the master.
const RETRY: Duration = Duration::from_secs(1);

/// How long one look for the leading master may take.
const DETECTION: Duration = Duration::from_secs(10);

pub fn run(program: &str, args: Vec<OsString>) -> ExitCode {
    // The command line only, as in Mesos: inside a task `MESOS_*` belongs to the executor.
    let flags = match start(&table(), program, args, Vec::new(), Flags::from_values) {
        Ok(flags) => flags,
        Err(status) => return status,
    };
    let execute = match execute(&flags) {
        Ok(execute) => execute,
        Err(error) => return help::refuse(program, &error),
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(Follow { flags, execute, kills: Vec::new() }.follow_to_the_end()),
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(text: &str) -> ExitCode {
    help::complain(&format!("{text}\n"));
    ExitCode::FAILURE
}

/// A framework with its connection to the master.
struct Follow {
    flags: Flags,
    execute: Execute,
    /// Tasks to be killed, and when.
    kills: Vec<(tokio::time::Instant, TaskId, AgentId)>,
}

impl Follow {
    async fn follow_to_the_end(mut self) -> ExitCode {
        let kind = if self.flags.json { ContentType::Json } else { ContentType::Protobuf };
        let mut complained = false;
        loop {
            let subscribe = self.execute.subscribe();
            let ended = match self.master().await {
                Ok(address) => match Session::subscribe(&address, kind, &subscribe).await {
                    Ok(mut session) => self.session(&mut session).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            match ended {
                Ok(status) => return status,
                Err(error) if !error.is_passing() => {
                    return complain(&format!("The master refused: {error}"));
                }
                Err(error) => {
                    if !complained {
                        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                        complain(&format!("{error}{}; trying again", cause.unwrap_or_default()));
                    }
                    complained = true;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Where to subscribe: at the master that was named, or that leads.
    async fn master(&self) -> Result<String, SessionError> {
        match &self.flags.master {
            Url::Master(server) => Ok(server.to_string()),
            url => {
                let found = detect_once(url, DETECTION).await;
                found.map(|info| member::authority_of(&info)).map_err(SessionError::NoLeader)
            }
        }
    }

    /// Follows one subscription, until the end of the task or of the connection.
    async fn session(&mut self, session: &mut Session) -> Result<ExitCode, SessionError> {
        loop {
            let kill = self.kills.iter().map(|(at, ..)| *at).min();
            let steps = tokio::select! {
                event = session.next() => match event? {
                    Some(event) => self.execute.handle(event),
                    None => return Err(SessionError::Broken("the master ended it".to_owned())),
                },
                () = until(kill) => self.kills_due(),
            };
            for step in steps {
                match step {
                    Step::Print(line) => print(&line),
                    Step::Call(call) => session.call(&call).await?,
                    Step::Running { task, agent } => {
                        let known = self.kills.iter().any(|(_, known, _)| *known == task);
                        if let Some(after) = self.flags.kill_after.filter(|_| !known) {
                            self.kills.push((tokio::time::Instant::now() + after, task, agent));
                        }
                    }
                    Step::Done { finished: true } => return Ok(ExitCode::SUCCESS),
                    Step::Done { finished: false } => return Ok(ExitCode::FAILURE),
                    Step::Refused(why) => return Ok(complain(&why)),
                }
            }
        }
    }

    fn kills_due(&mut self) -> Vec<Step> {
        let now = tokio::time::Instant::now();
        let (due, later) = std::mem::take(&mut self.kills).into_iter().partition(|(at, ..)| *at <= now);
        self.kills = later;
        let due: Vec<_> = due;
        due.into_iter().flat_map(|(_, task, agent)| self.execute.kill(task, agent)).collect()
    }
}

async fn until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// A reader that went away must not keep the task from being followed.
fn print(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn execute(flags: &Flags) -> Result<Execute, Error> {
    let work = work(&flags.what)?;
    let task = if matches!(work, Work::Task(_)) { "task" } else { "task_group" };
    let flag = if matches!(flags.what, What::Command { .. }) { "resources" } else { task };
    Execute::new(framework(flags)?, work).map_err(|why| Error::invalid(flag, why))
}

#[expect(deprecated, reason = "one role, in the field that is for one: offers then need no allocation roles")]
fn framework(flags: &Flags) -> Result<FrameworkInfo, Error> {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let user = user.ok_or_else(|| Error::Contradiction(format!("No username for uid {uid}")))?;
    use capability::Type;
    let always = [Type::ReservationRefinement, Type::TaskKillingState, Type::RevocableResources];
    let aware = flags.partition_aware.then_some(Type::PartitionAware);
    let gpus = flags.gpu_resources.then_some(Type::GpuResources);
    let all = always.into_iter().chain(aware).chain(gpus);
    Ok(FrameworkInfo {
        user: user.name,
        name: "mesos-execute instance".to_owned(),
        role: Some(flags.role.clone()),
        checkpoint: Some(flags.checkpoint),
        principal: flags.principal.clone(),
        capabilities: all.map(|kind| Capability { r#type: Some(kind as i32) }).collect(),
        ..FrameworkInfo::default()
    })
}

fn work(what: &What) -> Result<Work, Error> {
    match what {
        What::Command { name, command, shell, environment, resources, container } => {
            let variables = environment.iter().map(|(name, value)| environment::Variable {
                name: name.clone(),
                value: Some(value.clone()),
                ..environment::Variable::default()
            });
            let environment = Environment { variables: variables.collect() };
            let command = CommandInfo {
                shell: Some(*shell),
                value: Some(command.clone()),
                environment: (!environment.variables.is_empty()).then_some(environment),
                ..CommandInfo::default()
            };
            Ok(Work::Task(Box::new(TaskInfo {
                name: name.clone(),
                task_id: name.as_str().into(),
                resources: parsed(resources)?,
                command: Some(command),
                container: container.as_deref().cloned(),
                ..TaskInfo::default()
            })))
        }
        What::Task(json) => Ok(Work::Task(Box::new(message::<TaskInfo>("task", json)?))),
        What::TaskGroup(json) => Ok(Work::Group(message::<TaskGroupInfo>("task_group", json)?)),
    }
}

fn parsed(resources: &str) -> Result<Vec<Resource>, Error> {
    let parsed = crate::resources::parse::parse(resources, "*");
    parsed.map(|resources| resources.to_protos()).map_err(|why| Error::invalid("resources", why))
}

/// The agent is known only with an offer, so a task may come without one.
fn message<M>(flag: &str, json: &serde_json::Value) -> Result<M, Error>
where
    M: prost::Message + prost::Name + Default,
{
    let mut json = json.clone();
    let tasks: Vec<&mut serde_json::Value> = match json.get("tasks").is_some() {
        true => json.get_mut("tasks").and_then(|tasks| tasks.as_array_mut()).into_iter().flatten().collect(),
        false => vec![&mut json],
    };
    for task in tasks {
        if let Some(fields) = task.as_object_mut() {
            fields.entry("agent_id").or_insert_with(|| serde_json::json!({ "value": "" }));
        }
    }
    json::from_json(json.to_string().as_bytes(), Spelling::V1).map_err(|why| Error::invalid(flag, why))
}
