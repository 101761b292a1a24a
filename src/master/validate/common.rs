//! Parts that several messages have: ids, environments, commands, containers, checks.
//!
//! Source: common/validation.cpp 1.11.

use crate::proto::volume::source::Type as SourceType;
use crate::proto::{
    CheckInfo, CommandInfo, ContainerInfo, DurationInfo, Environment, HealthCheck, Secret, Volume,
    check_info, container_info, environment, health_check, secret,
};

/// The longest id: it names a directory.
const NAME_MAX: usize = 255;

/// Ids are names of directories in sandboxes and in the agent's `meta`.
pub fn id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("ID must not be empty".to_owned());
    }
    if id.len() > NAME_MAX {
        return Err(format!("ID must not be greater than {NAME_MAX} characters"));
    }
    if id == "." || id == ".." {
        return Err(format!("'{id}' is disallowed"));
    }
    if id.bytes().any(|byte| byte.is_ascii_control() || byte == b'/' || byte == b'\\') {
        return Err(format!("'{}' contains invalid characters", id.escape_debug()));
    }
    Ok(())
}

/// Amounts outside of resources. Source: `validateInputScalarValue`.
pub fn scalar(value: f64) -> Result<(), String> {
    let why = match value.classify() {
        std::num::FpCategory::Infinite => "Infinite values not supported",
        std::num::FpCategory::Nan => "NaN not supported",
        std::num::FpCategory::Subnormal => "Subnormal values not supported",
        std::num::FpCategory::Normal if value < 0.0 => "Negative values not supported",
        std::num::FpCategory::Zero | std::num::FpCategory::Normal => return Ok(()),
    };
    Err(why.to_owned())
}

pub fn is_negative(duration: Option<&DurationInfo>) -> bool {
    duration.is_some_and(|duration| duration.nanoseconds < 0)
}

fn secret(secret: &Secret) -> Result<(), String> {
    let why = match secret.r#type() {
        secret::Type::Reference => match (&secret.reference, &secret.value) {
            (None, _) => "Secret of type REFERENCE must have the 'reference' field set".to_owned(),
            (Some(reference), Some(_)) => {
                format!("Secret '{}' of type REFERENCE must not have the 'value' field set", reference.name)
            }
            (Some(_), None) => return Ok(()),
        },
        secret::Type::Value => match (&secret.value, &secret.reference) {
            (None, _) => "Secret of type VALUE must have the 'value' field set".to_owned(),
            (Some(_), Some(_)) => "Secret of type VALUE must not have the 'reference' field set".to_owned(),
            (Some(_), None) => return Ok(()),
        },
        secret::Type::Unknown => return Ok(()),
    };
    Err(why)
}

/// Names and values also must not have what no environment can hold.
pub fn environment(environment: &Environment) -> Result<(), String> {
    for variable in &environment.variables {
        let name = variable.name.escape_debug();
        let is = |why: &str| Err(format!("Environment variable '{name}' {why}"));
        if variable.name.contains(['\0', '=']) {
            return is("has a name that no environment can hold");
        }
        match variable.r#type() {
            environment::variable::Type::Secret => {
                let Some(own) = &variable.secret else {
                    return is("of type 'SECRET' must have a secret set");
                };
                if variable.value.is_some() {
                    return is("of type 'SECRET' must not have a value set");
                }
                if let Err(why) = secret(own) {
                    return is(&format!("specifies an invalid secret: {why}"));
                }
                if own.value.as_ref().is_some_and(|value| value.data.contains(&0)) {
                    return is(
                        "specifies a secret containing null bytes, which is not allowed in the environment",
                    );
                }
            }
            environment::variable::Type::Value => {
                if variable.secret.is_some() {
                    return is("of type 'VALUE' must not have a secret set");
                }
                match &variable.value {
                    None => return is("of type 'VALUE' must have a value set"),
                    Some(value) if value.contains('\0') => {
                        return is(
                            "has a value containing null bytes, which is not allowed in the environment",
                        );
                    }
                    Some(_) => {}
                }
            }
            environment::variable::Type::Unknown => {
                return Err("Environment variable of type 'UNKNOWN' is not allowed".to_owned());
            }
        }
    }
    Ok(())
}

pub fn command(command: &CommandInfo) -> Result<(), String> {
    command.environment.as_ref().map_or(Ok(()), environment)
}

fn volume(volume: &Volume) -> Result<(), String> {
    let ways = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
    if ways.iter().filter(|set| **set).count() != 1 {
        return Err("Only one of them should be set: 'host_path', 'image' and 'source'".to_owned());
    }
    let Some(source) = &volume.source else { return Ok(()) };
    let why = match source.r#type() {
        SourceType::DockerVolume if source.docker_volume.is_none() => {
            "'source.docker_volume' is not set for DOCKER_VOLUME volume"
        }
        SourceType::HostPath if source.host_path.is_none() => {
            "'source.host_path' is not set for HOST_PATH volume"
        }
        SourceType::SandboxPath if source.sandbox_path.is_none() => {
            "'source.sandbox_path' is not set for SANDBOX_PATH volume"
        }
        SourceType::Secret if source.secret.is_none() => "'source.secret' is not set for SECRET volume",
        SourceType::CsiVolume => match &source.csi_volume {
            None => "'source.csi_volume' is not set for CSI volume",
            Some(volume) if volume.static_provisioning.is_none() => {
                "'source.csi_volume.static_provisioning' is not set for CSI volume"
            }
            Some(_) => return Ok(()),
        },
        SourceType::Unknown => "'source.type' is unknown",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

pub fn container(container: &ContainerInfo) -> Result<(), String> {
    for own in &container.volumes {
        volume(own).map_err(|why| format!("Invalid volume: {why}"))?;
    }
    if container.r#type() != container_info::Type::Docker {
        return Ok(());
    }
    let Some(docker) = &container.docker else {
        return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
    };
    if docker.parameters.iter().any(|parameter| parameter.key == "name") {
        return Err("Parameter in DockerInfo must not be 'name'".to_owned());
    }
    Ok(())
}

fn check_command(kind: &str, command: &CommandInfo) -> Result<(), String> {
    if command.value.is_none() {
        let what = if command.shell() { "'shell command'" } else { "'executable path'" };
        return Err(format!("{kind} must contain {what}"));
    }
    Ok(())
}

fn non_negative(times: &[(&str, Option<f64>)]) -> Result<(), String> {
    match times.iter().find(|(_, time)| time.is_some_and(|time| time < 0.0 || time.is_nan())) {
        Some((name, _)) => Err(format!("Expecting '{name}' to be non-negative")),
        None => Ok(()),
    }
}

pub fn health_check(check: &HealthCheck) -> Result<(), String> {
    if check.r#type.is_none() {
        return Err("HealthCheck must specify 'type'".to_owned());
    }
    match check.r#type() {
        health_check::Type::Command => {
            let Some(own) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND health check".to_owned());
            };
            check_command("Command health check", own)?;
            command(own).map_err(|why| format!("Health check's `CommandInfo` is invalid: {why}"))?;
        }
        health_check::Type::Http => {
            let Some(http) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP health check".to_owned());
            };
            if let Some(scheme) =
                http.scheme.as_ref().filter(|scheme| *scheme != "http" && *scheme != "https")
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            if let Some(path) = http.path.as_ref().filter(|path| !path.starts_with('/')) {
                return Err(format!("The path '{path}' of HTTP health check must start with '/'"));
            }
        }
        health_check::Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP health check".to_owned());
        }
        health_check::Type::Tcp => {}
        health_check::Type::Unknown => {
            return Err("'UNKNOWN' is not a valid health check type".to_owned());
        }
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

pub fn check(check: &CheckInfo) -> Result<(), String> {
    if check.r#type.is_none() {
        return Err("CheckInfo must specify 'type'".to_owned());
    }
    match check.r#type() {
        check_info::Type::Command => {
            let Some(own) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND check".to_owned());
            };
            check_command("Command check", &own.command)?;
            command(&own.command).map_err(|why| format!("Check's `CommandInfo` is invalid: {why}"))?;
        }
        check_info::Type::Http => {
            let Some(http) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP check".to_owned());
            };
            if let Some(path) = http.path.as_ref().filter(|path| !path.starts_with('/')) {
                return Err(format!("The path '{path}' of HTTP check must start with '/'"));
            }
        }
        check_info::Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP check".to_owned());
        }
        check_info::Type::Tcp => {}
        check_info::Type::Unknown => return Err("'UNKNOWN' is not a valid check type".to_owned()),
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_directories() {
        for good in ["a", "a.b", "...", "é", "a b", &"x".repeat(255)] {
            assert_eq!(id(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", "\u{7f}", &"x".repeat(256)] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
        assert_eq!(id("a/b").unwrap_err(), "'a/b' contains invalid characters");
    }

    #[test]
    fn a_volume_has_one_source() {
        let none = Volume { container_path: "/a".to_owned(), ..Volume::default() };
        assert!(volume(&none).is_err());
        assert_eq!(volume(&Volume { host_path: Some("/b".to_owned()), ..none }), Ok(()));
    }

    #[test]
    fn health_checks_need_their_part() {
        let tcp = HealthCheck { r#type: Some(health_check::Type::Tcp as i32), ..HealthCheck::default() };
        assert_eq!(health_check(&tcp).unwrap_err(), "Expecting 'tcp' to be set for TCP health check");
        let tcp = HealthCheck { tcp: Some(health_check::TcpCheckInfo::default()), ..tcp };
        assert_eq!(health_check(&tcp), Ok(()));
        let late = HealthCheck { delay_seconds: Some(-1.0), ..tcp };
        assert_eq!(health_check(&late).unwrap_err(), "Expecting 'delay_seconds' to be non-negative");
    }
}
