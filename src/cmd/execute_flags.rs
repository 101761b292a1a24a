//! The flags of `mesos execute`. Source: cli/execute.cpp 1.11.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::containerizer::isolators::capabilities;
use crate::coordination::url::Url;
use crate::flags::common::one_of;
use crate::flags::{Error, Flag, Kind, Table, Value, Values};
use crate::proto::json::from_json;
use crate::proto::{ContainerInfo, LinuxInfo, Spelling, container_info};

const EXECUTE: &[Flag] = &[
    Flag::unset(
        "master",
        Kind::Text,
        "The master, as host:port, zk://host1:port1,.../path,\n\
         etcd://host1:port1,.../path or file:///path of a file that holds one.",
    ),
    Flag::unset("name", Kind::Text, "Name of the task, also its id."),
    Flag::unset("command", Kind::Text, "Command to run."),
    Flag::with(
        "shell",
        Kind::Bool,
        "true",
        "Whether the command is a line for /bin/sh, or else the path of a program.",
    ),
    Flag::unset("env", Kind::Json, "Environment of the command, as a JSON object of texts.")
        .check(texts_only),
    Flag::with("resources", Kind::Text, "cpus:1;mem:128", "Resources of the task."),
    Flag::with("role", Kind::Text, "*", "Role to subscribe with."),
    Flag::unset("kill_after", Kind::Duration, "How long the task may run before it is killed."),
    Flag::with("content_type", Kind::Text, "protobuf", "How to talk to the master: protobuf or json.")
        .check(a_content_type),
    Flag::with("checkpoint", Kind::Bool, "false", "Whether the framework asks for checkpoints."),
    Flag::with("partition_aware", Kind::Bool, "true", "Whether the framework is partition-aware."),
    Flag::unset(
        "framework_capabilities",
        Kind::Text,
        "Comma-separated capabilities that the framework has besides: GPU_RESOURCES.",
    )
    .check(gpu_resources),
    Flag::unset("principal", Kind::Text, "Principal of the framework."),
    Flag::unset("task", Kind::Json, "The task, as TaskInfo in JSON, in place of --name and --command."),
    Flag::unset("task_group", Kind::Json, "Tasks that run together, as TaskGroupInfo in JSON."),
    Flag::with("containerizer", Kind::Text, "mesos", "What the container is made by.")
        .absent("the docker containerizer is not there yet"),
    Flag::unset("secret", Kind::Text, "Secret of the principal.")
        .secret()
        .absent("authentication is not there yet"),
    Flag::unset("docker_image", Kind::Text, "Docker image of the container.")
        .absent("container images are not there yet"),
    Flag::unset("appc_image", Kind::Text, "Appc image of the container.")
        .absent("container images are not there yet"),
    Flag::unset("volumes", Kind::Json, "Volumes of the container, as a JSON list of Volume."),
    Flag::unset("networks", Kind::Text, "Networks that the container joins.")
        .absent("networks of containers are not there yet"),
    Flag::unset(
        "effective_capabilities",
        Kind::Json,
        "Linux capabilities of the command, like {\"capabilities\": [\"NET_RAW\"]}.",
    )
    .check(capabilities),
    Flag::unset("bounding_capabilities", Kind::Json, "The most Linux capabilities of the command, in JSON.")
        .check(capabilities),
    Flag::unset(
        "rlimits",
        Kind::Json,
        "Limits of the command's processes, as RLimitInfo in JSON, like\n\
         {\"rlimits\": [{\"type\": \"RLMT_CPU\", \"soft\": 1, \"hard\": 1}]}.",
    ),
    Flag::with("tty", Kind::Bool, "false", "Whether the command has a terminal.")
        .absent("terminals of tasks are not there yet"),
    Flag::unset("package", Kind::Text, "Package to copy into HDFS and from there into the sandbox.")
        .absent("copying through hadoop is not there yet"),
    Flag::with("overwrite", Kind::Bool, "false", "Whether a package in HDFS is replaced.").harmless(PACKAGE),
    Flag::with("hadoop", Kind::Text, "hadoop", "The hadoop program.").harmless(PACKAGE),
    Flag::with("hdfs", Kind::Text, "localhost:9000", "The name node.").harmless(PACKAGE),
];

const PACKAGE: &str = "--package is refused";

pub fn table() -> Table {
    Table::of(&[EXECUTE, &[HELP, VERSION]]).about(
        "Runs one command as a task and follows it to its end. The exit status is 0 when the task finished.",
    )
}

const HELP: Flag = Flag::with("help", Kind::Bool, "false", "Prints this help message");
const VERSION: Flag = Flag::with("version", Kind::Bool, "false", "Prints the version and ends.");

/// What `mesos execute` runs with.
#[derive(Clone, Debug)]
pub struct Flags {
    pub master: Url,
    pub what: What,
    pub role: String,
    /// Killed when it has run so long.
    pub kill_after: Option<Duration>,
    /// Whether to talk JSON, or else protobuf.
    pub json: bool,
    pub checkpoint: bool,
    pub partition_aware: bool,
    pub gpu_resources: bool,
    pub principal: Option<String>,
    pub values: Values,
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Command {
        name: String,
        /// A line for the shell, or the path of a program.
        command: String,
        shell: bool,
        environment: BTreeMap<String, String>,
        /// As given; `resources` reads it.
        resources: String,
        container: Option<Box<ContainerInfo>>,
    },
    /// A TaskInfo, as JSON.
    Task(serde_json::Value),
    /// A TaskGroupInfo, as JSON.
    TaskGroup(serde_json::Value),
}

impl Flags {
    pub fn from_values(values: Values) -> Result<Flags, Error> {
        let Some(master) = values.text("master") else {
            return Err(Error::invalid("master", crate::agent::flags::NO_MASTER));
        };
        Ok(Flags {
            master: Url::parse(&master).map_err(|why| Error::invalid("master", why))?,
            what: What::from_values(&values)?,
            role: values.text("role").unwrap_or_else(|| "*".to_owned()),
            kill_after: values.maybe_duration("kill_after"),
            json: matches!(values.text("content_type").as_deref(), Some("json" | "application/json")),
            checkpoint: values.bool("checkpoint"),
            partition_aware: values.bool("partition_aware"),
            gpu_resources: !values.list("framework_capabilities").is_empty(),
            principal: values.text("principal"),
            values,
        })
    }
}

impl What {
    fn from_values(values: &Values) -> Result<What, Error> {
        let (task, group) = (values.maybe_json("task"), values.maybe_json("task_group"));
        let what = match (task, group) {
            (Some(_), Some(_)) => {
                let both = "Flags 'task' and 'task_group' are both set: expected one of them";
                return Err(Error::Contradiction(both.to_owned()));
            }
            (Some(task), None) => What::Task(task),
            (None, Some(group)) => What::TaskGroup(group),
            (None, None) => return What::command(values),
        };
        // The task says all that these would.
        if let Some(name) = ["name", "command", "env"].into_iter().find(|name| values.is_set(name)) {
            return Err(Error::invalid(name, "cannot be set together with 'task' or 'task_group'"));
        }
        Ok(what)
    }

    fn command(values: &Values) -> Result<What, Error> {
        let missing = |name: &str| Error::invalid(name, format!("has no value, expected --{name}=VALUE"));
        let environment = values.maybe_json("env").unwrap_or_default();
        let pairs = environment.as_object().into_iter().flatten();
        Ok(What::Command {
            name: values.text("name").ok_or_else(|| missing("name"))?,
            command: values.text("command").ok_or_else(|| missing("command"))?,
            shell: values.bool("shell"),
            environment: pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            resources: values.text("resources").unwrap_or_default(),
            container: container(values)?.map(Box::new),
        })
    }
}

/// What there is to say of the container besides. Source: `getContainerInfo`, cli/execute.cpp 1.11.
fn container(values: &Values) -> Result<Option<ContainerInfo>, Error> {
    let volumes = match values.maybe_json("volumes") {
        None => Vec::new(),
        Some(serde_json::Value::Array(list)) => {
            list.iter().map(|volume| read("volumes", volume)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(Error::invalid("volumes", "expected a JSON list")),
    };
    let said = |name| values.maybe_json(name).map(|json| read(name, &json)).transpose();
    let rlimit_info = values.maybe_json("rlimits").map(|json| read("rlimits", &json)).transpose()?;
    let linux = LinuxInfo {
        effective_capabilities: said("effective_capabilities")?,
        bounding_capabilities: said("bounding_capabilities")?,
        ..LinuxInfo::default()
    };
    let linux_info = (linux != LinuxInfo::default()).then_some(linux);
    if volumes.is_empty() && rlimit_info.is_none() && linux_info.is_none() {
        return Ok(None);
    }
    let r#type = container_info::Type::Mesos as i32;
    Ok(Some(ContainerInfo { r#type, volumes, rlimit_info, linux_info, ..ContainerInfo::default() }))
}

fn read<M>(flag: &str, json: &serde_json::Value) -> Result<M, Error>
where
    M: prost::Message + prost::Name + Default,
{
    from_json(json.to_string().as_bytes(), Spelling::V1).map_err(|why| Error::invalid(flag, why))
}

fn capabilities(value: &Value) -> Result<(), String> {
    match value {
        Value::Json(json) => capabilities::parse(json).map(drop),
        other => Err(format!("expected JSON, got '{other}'")),
    }
}

fn texts_only(value: &Value) -> Result<(), String> {
    match value {
        Value::Json(serde_json::Value::Object(map)) if map.values().all(serde_json::Value::is_string) => {
            Ok(())
        }
        _ => Err("expected a JSON object that holds only texts".to_owned()),
    }
}

fn a_content_type(value: &Value) -> Result<(), String> {
    one_of(value, &["protobuf", "json", "application/x-protobuf", "application/json"])
}

fn gpu_resources(value: &Value) -> Result<(), String> {
    one_of(value, &["GPU_RESOURCES", ""])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Loaded, load};

    fn execute(args: &[&str]) -> Result<Flags, Error> {
        match load(&table(), args.iter().map(Into::into).collect(), Vec::new())? {
            Loaded::Run(values) => Flags::from_values(values),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_command() {
        let args = ["--master=127.0.0.1:5050", "--name=n", "--command=echo a=b", "--env={\"A\": \"b\"}"];
        let flags = execute(&args).expect("flags");
        let What::Command { command, environment, shell: true, .. } = flags.what else { panic!("{flags:?}") };
        assert_eq!((command.as_str(), environment["A"].as_str()), ("echo a=b", "b"));
        assert!(flags.partition_aware && !flags.json);
    }

    #[test]
    fn a_container_is_described_where_it_has_to_be() {
        let of = |flag: &str| {
            let flags = execute(&["--master=h:1", "--name=n", "--command=c", flag])?;
            let What::Command { container, .. } = flags.what else { panic!("{:?}", flags.what) };
            Ok::<_, Error>(container)
        };
        assert_eq!(of("--role=a"), Ok(None));
        let described =
            of(r#"--volumes=[{"container_path": "a", "host_path": "/b", "mode": "RO"}]"#).unwrap();
        assert_eq!(described.unwrap().volumes[0].host_path(), "/b");
        let described =
            of(r#"--rlimits={"rlimits": [{"type": "RLMT_CPU", "soft": "1", "hard": "2"}]}"#).unwrap();
        assert_eq!(described.unwrap().rlimit_info.unwrap().rlimits[0].hard, Some(2));
        let described = of(r#"--effective_capabilities={"capabilities": ["CHOWN"]}"#).unwrap().unwrap();
        assert_eq!(described.linux_info.unwrap().effective_capabilities.unwrap().capabilities, [1000]);
        assert!(of(r#"--bounding_capabilities={"capabilities": ["FLY"]}"#).is_err());
        assert!(of("--volumes={}").is_err());
    }

    #[test]
    fn names_what_is_missing_or_contradicts() {
        for (args, start) in [
            (vec!["--name=n", "--command=c"], "Flag 'master': has no value"),
            (vec!["--master=h:1", "--command=c"], "Flag 'name': has no value"),
            (vec!["--master=h:1", "--name=n"], "Flag 'command': has no value"),
            (vec!["--master=h:1", "--task={}", "--task_group={}"], "Flags 'task' and 'task_group'"),
            (vec!["--master=h:1", "--task={}", "--name=n"], "Flag 'name': cannot be set together"),
            (vec!["--master=h:1", "--tty"], "Flag 'tty' cannot be set to 'true'"),
            (vec!["--master=h:1", "--secret=s3"], "Flag 'secret' cannot be set to '…'"),
            (vec!["--master=h:1", "--env={\"A\": 1}"], "Flag 'env': expected a JSON object"),
        ] {
            let error = execute(&args).expect_err(start).to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
