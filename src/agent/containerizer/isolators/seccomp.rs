//! What system calls a container may make, by profiles as Docker has them (`--seccomp_config_dir`).
//!
//! A filter knows two answers; a profile with more becomes several filters, of whose answers the kernel takes the
//! strictest. System calls of other architectures than the machine's own kill, also where a profile lists them.
//!
//! Source: linux/seccomp/seccomp_parser.cpp, isolators/linux/seccomp.cpp 1.11.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use serde::{Deserialize, Serialize};
use syscalls::Sysno;

use super::Settings;
use super::capabilities::{self, Capabilities};
use crate::proto::SeccompInfo;

/// A program for the kernel: code, where to go on if that is so and if not, operand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter(pub Vec<(u16, u8, u8, u32)>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Action,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    syscalls: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    names: Vec<String>,
    action: Action,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    caps: Option<Vec<String>>,
    /// Like `4.8`. Mesos' profiles have none, those of Docker do since.
    #[serde(default)]
    min_kernel: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    Kill,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Operation {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// The filters of a container.
pub fn of(
    settings: &Settings,
    info: Option<&SeccompInfo>,
    capabilities: Option<&Capabilities>,
) -> Result<Vec<Filter>, String> {
    let name = match info {
        None => settings.seccomp_profile.as_ref(),
        Some(info) => match (&info.profile_name, info.unconfined()) {
            (Some(_), true) => {
                return Err("Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' \
                            Seccomp setting is enabled"
                    .to_owned());
            }
            (None, true) => None,
            (None, false) => return Err("Missing Seccomp profile name".to_owned()),
            (Some(name), false) => Some(name),
        },
    };
    let bounding = capabilities.map(|capabilities| &capabilities.bounding);
    name.map_or(Ok(Vec::new()), |name| profile(settings, name, bounding))
}

/// What `--seccomp_profile_name` comes to, if there is one and the isolator is named.
pub fn usual(settings: &Settings) -> Result<Vec<Filter>, String> {
    let named = settings.seccomp_profile.as_ref().filter(|_| settings.names.has("linux/seccomp"));
    named.map_or(Ok(Vec::new()), |name| profile(settings, name, None))
}

fn profile(settings: &Settings, name: &str, bounding: Option<&BTreeSet<u8>>) -> Result<Vec<Filter>, String> {
    let Some(folder) = &settings.seccomp_profiles else {
        return Err("Missing required `--seccomp_config_dir` flag".to_owned());
    };
    if !crate::agent::paths::is_name(name) {
        return Err(format!("'{name}' is no name of a seccomp profile"));
    }
    let path = folder.join(name);
    let read = |error| format!("Failed to read the seccomp profile '{}': {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(read)?;
    compile(&text, bounding)
        .map_err(|why| format!("The seccomp profile '{}' is invalid: {why}", path.display()))
}

/// What a profile comes to for a container that can get these capabilities; `None`: all.
pub fn compile(text: &str, bounding: Option<&BTreeSet<u8>>) -> Result<Vec<Filter>, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut rules: BTreeMap<(Action, u32), BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    let default = (profile.default_action, profile.default_errno_ret.unwrap_or(1));
    for entry in &profile.syscalls {
        if entry.names.is_empty() {
            return Err("an entry names no system call".to_owned());
        }
        if !entry.applies(bounding) {
            continue;
        }
        let errno = if entry.action == Action::Errno { entry.errno_ret.unwrap_or(1) } else { 1 };
        let answers = rules.entry((entry.action, errno)).or_default();
        let conditions = entry.rules()?;
        for name in &entry.names {
            // One that this kernel's architecture does not have cannot be made either.
            let Ok(number) = Sysno::from_str(name) else { continue };
            let known = answers.entry(i64::from(number.id()));
            match known {
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(conditions.clone());
                }
                std::collections::btree_map::Entry::Occupied(mut known) => {
                    // No condition is the weakest.
                    match conditions.is_empty() {
                        true => known.get_mut().clear(),
                        false if known.get().is_empty() => {}
                        false => known.get_mut().extend(conditions.clone()),
                    }
                }
            }
        }
    }
    let mut filters = Vec::new();
    if default.0 != Action::Allow {
        let mut through: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for ((action, _), rules) in &rules {
            if *action > default.0 {
                through.extend(rules.clone());
            }
        }
        filters.push(filter(through, default, (Action::Allow, 0))?);
    }
    for (action, rules) in rules {
        if action.0 != Action::Allow && action != default {
            filters.push(filter(rules, (Action::Allow, 0), action)?);
        }
    }
    Ok(filters)
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: (Action, u32),
    then: (Action, u32),
) -> Result<Filter, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, otherwise.0.of(otherwise.1), then.0.of(then.1), arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    Ok(Filter(program.iter().map(|step| (step.code, step.jt, step.jf, step.k)).collect()))
}

impl Action {
    fn of(self, errno: u32) -> SeccompAction {
        match self {
            Action::KillProcess => SeccompAction::KillProcess,
            Action::Kill => SeccompAction::KillThread,
            Action::Trap => SeccompAction::Trap,
            Action::Errno => SeccompAction::Errno(errno),
            Action::Trace => SeccompAction::Trace(0),
            Action::Log => SeccompAction::Log,
            Action::Allow => SeccompAction::Allow,
        }
    }
}

impl Entry {
    fn applies(&self, bounding: Option<&BTreeSet<u8>>) -> bool {
        let own = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let of_arch = |arches: &Vec<String>| arches.iter().any(|arch| arch == own);
        let has = |cap: &String| match bounding {
            None => true,
            Some(bounding) => bounding
                .iter()
                .any(|number| cap.strip_prefix("CAP_").is_some_and(|cap| cap == capabilities::name(*number))),
        };
        let (includes, excludes) = (&self.includes, &self.excludes);
        includes.arches.as_ref().is_none_or(of_arch)
            && includes.min_kernel.as_ref().is_none_or(|least| kernel() >= version(least))
            && includes.caps.as_ref().is_none_or(|caps| caps.iter().all(has))
            && !excludes.arches.as_ref().is_some_and(of_arch)
            && !excludes.caps.as_ref().is_some_and(|caps| caps.iter().any(has))
    }

    /// None: whatever its arguments are. Several about one argument are alternatives.
    fn rules(&self) -> Result<Vec<SeccompRule>, String> {
        let arguments = self.args.as_deref().unwrap_or_default();
        let conditions = arguments.iter().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() {
            return Ok(Vec::new());
        }
        let distinct: BTreeSet<u8> = arguments.iter().map(|argument| argument.index).collect();
        let rule = |conditions| SeccompRule::new(conditions).map_err(|error| error.to_string());
        match distinct.len() == arguments.len() {
            true => Ok(vec![rule(conditions)?]),
            false => conditions.into_iter().map(|condition| rule(vec![condition])).collect(),
        }
    }
}

/// Of this machine.
fn kernel() -> (u32, u32) {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or((0, 0), |release| version(&release))
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Argument {
    fn condition(&self) -> Result<SeccompCondition, String> {
        let (operation, value) = match self.op {
            Operation::Ne => (SeccompCmpOp::Ne, self.value),
            Operation::Lt => (SeccompCmpOp::Lt, self.value),
            Operation::Le => (SeccompCmpOp::Le, self.value),
            Operation::Eq => (SeccompCmpOp::Eq, self.value),
            Operation::Ge => (SeccompCmpOp::Ge, self.value),
            Operation::Gt => (SeccompCmpOp::Gt, self.value),
            Operation::MaskedEq => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
        };
        SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, operation, value)
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(default: &str, entries: &str) -> String {
        format!(r#"{{"defaultAction": "{default}", "archMap": [], "syscalls": [{entries}]}}"#)
    }

    fn length(text: &str, bounding: Option<&BTreeSet<u8>>) -> usize {
        compile(text, bounding).unwrap()[0].0.len()
    }

    #[test]
    fn a_profile_has_a_filter_for_each_answer() {
        let allow = r#"{"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}}"#;
        let kill = r#"{"names": ["ptrace"], "action": "SCMP_ACT_KILL"}"#;
        assert_eq!(compile(&profile("SCMP_ACT_ERRNO", allow), None).unwrap().len(), 1);
        assert_eq!(compile(&profile("SCMP_ACT_ERRNO", &format!("{allow},{kill}")), None).unwrap().len(), 2);
        assert_eq!(compile(&profile("SCMP_ACT_ALLOW", kill), None).unwrap().len(), 1);
        assert!(compile(&profile("SCMP_ACT_ALLOW", allow), None).unwrap().is_empty());
        assert!(compile(&profile("SCMP_ACT_NONE", allow), None).is_err());
    }

    #[test]
    fn entries_depend_on_capabilities_and_architectures() {
        let of = |rest: &str| {
            profile(
                "SCMP_ACT_ERRNO",
                &format!(r#"{{"names": ["mount"], "action": "SCMP_ACT_ALLOW", {rest}}}"#),
            )
        };
        let none = BTreeSet::new();
        let all = length(&of(r#""args": []"#), None);
        let admin = of(r#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#);
        assert_eq!(length(&admin, None), all);
        assert_eq!(length(&admin, Some(&BTreeSet::from([21]))), all);
        assert!(length(&admin, Some(&none)) < all);
        let unless = of(r#""excludes": {"caps": ["CAP_SYS_ADMIN"]}"#);
        assert!(length(&unless, None) < all && length(&unless, Some(&none)) == all);
        assert!(length(&of(r#""includes": {"arches": ["s390x"]}"#), None) < all);
        assert!(length(&of(r#""includes": {"minKernel": "999.0"}"#), None) < all);
        assert_eq!(length(&of(r#""includes": {"minKernel": "4.8"}"#), None), all);
        assert!(version("6.18.44-a") > version("6.2") && version("10") > version("9.9"));
    }

    #[test]
    fn arguments_are_compared() {
        let clone = r#"{"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}"#;
        let either = r#"{"names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                     {"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}"#;
        let text = profile("SCMP_ACT_ERRNO", &format!("{clone},{either}"));
        assert!(length(&text, None) > length(&profile("SCMP_ACT_ERRNO", clone), None));
    }
}
