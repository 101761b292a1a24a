//! Resources as strangers send them: is each of them possible at all?
//!
//! What a task may have is not asked here. All checks are at most O(n log n): in Apache Mesos 20,000 port ranges
//! cost 25 s. Sentences are those of `Resources::validate`, common/resources.cpp 1.11.

use std::fmt::Write as _;

use super::{Invalid, Ranges, Set, Value, roles, scalar};
use crate::proto::Resource;
use crate::proto::resource::disk_info::source::Type as SourceType;
use crate::proto::resource::{ReservationInfo, reservation_info};
use crate::proto::value::Type;

/// Checks all; the error names the resource that is wrong.
pub fn all(resources: &[Resource]) -> Result<(), Invalid> {
    resources.iter().try_for_each(|resource| match self::resource(resource) {
        Ok(_) => Ok(()),
        Err(error) => Err(naming(resource, &error)),
    })
}

/// Checks one and gives its amount, which may be none at all (`cpus:0`).
pub fn resource(resource: &Resource) -> Result<Value, Invalid> {
    if resource.name.is_empty() {
        return Invalid::new("Empty resource name");
    }
    let value = amount(resource)?;
    disk(resource)?;
    if resource.reservations.is_empty() {
        old_reservation(resource)?;
    } else {
        reservations(resource)?;
    }
    if resource.shared.is_some() {
        if resource.name != "disk" {
            return Invalid::new(format!("Resource {} cannot be shared", resource.name));
        }
        if resource.disk.as_ref().is_none_or(|disk| disk.persistence.is_none()) {
            return Invalid::new("Only persistent volumes can be shared");
        }
    }
    Ok(value)
}

/// GPUs are handed out whole.
pub fn gpus(resources: &super::Resources) -> Result<(), Invalid> {
    if resources.gpus() % 1000 != 0 {
        return Invalid::new("The 'gpus' resource must be an unsigned integer");
    }
    Ok(())
}

/// The error of `resource`, with the resource.
pub fn naming(resource: &Resource, error: &Invalid) -> Invalid {
    Invalid(format!("Resource '{}' is invalid: {error}", describe(resource)))
}

fn amount(resource: &Resource) -> Result<Value, Invalid> {
    let set = (resource.scalar.is_some(), resource.ranges.is_some(), resource.set.is_some());
    match Type::try_from(resource.r#type) {
        Err(_) => Invalid::new("Invalid resource type"),
        Ok(Type::Scalar) => {
            let Some(value) = resource.scalar.as_ref().filter(|_| set == (true, false, false)) else {
                return Invalid::new("Invalid scalar resource");
            };
            if value.value < 0.0 {
                return Invalid::new("Invalid scalar resource: value <= 0");
            }
            let amount = scalar::thousandths(value.value)
                .map_err(|error| Invalid(format!("Invalid scalar resource: {error}")))?;
            // Too little to be told from nothing.
            if amount == 0 && value.value != 0.0 {
                return Invalid::new("Invalid scalar resource: value <= 0");
            }
            Ok(Value::Scalar(amount))
        }
        Ok(Type::Ranges) => match resource.ranges.as_ref().filter(|_| set == (false, true, false)) {
            Some(ranges) => Ranges::from_proto(ranges).map(Value::Ranges),
            None => Invalid::new("Invalid ranges resource"),
        },
        Ok(Type::Set) => match resource.set.as_ref().filter(|_| set == (false, false, true)) {
            Some(set) => Set::from_proto(set).map(Value::Set),
            None => Invalid::new("Invalid set resource"),
        },
        Ok(Type::Text) => Invalid::new("Unsupported resource type"),
    }
}

fn disk(resource: &Resource) -> Result<(), Invalid> {
    let Some(disk) = &resource.disk else { return Ok(()) };
    if resource.name != "disk" {
        return Invalid::new(format!("DiskInfo should not be set for {} resource", resource.name));
    }
    let Some(source) = &disk.source else { return Ok(()) };
    match source.r#type() {
        SourceType::Path | SourceType::Mount => Ok(()),
        kind @ (SourceType::Block | SourceType::Raw) => {
            let kind = kind.as_str_name();
            if source.mount.is_some() {
                return Invalid::new(format!("Mount should not be set for {kind} disk source"));
            }
            if source.path.is_some() {
                return Invalid::new(format!("Path should not be set for {kind} disk source"));
            }
            Ok(())
        }
        SourceType::Unknown => Invalid::new("Unsupported 'DiskInfo.Source.Type'"),
    }
}

/// `role` and `reservation`, as before Mesos 1.4.
fn old_reservation(resource: &Resource) -> Result<(), Invalid> {
    let role = resource.role.as_deref().unwrap_or(roles::STAR);
    roles::validate(role)?;
    let Some(reservation) = &resource.reservation else { return Ok(()) };
    if reservation.r#type.is_some() {
        return Invalid::new(
            "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field",
        );
    }
    if reservation.role.is_some() {
        return Invalid::new(
            "'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field",
        );
    }
    if role == roles::STAR {
        return Invalid::new("Invalid reservation: role \"*\" cannot be dynamically reserved");
    }
    Ok(())
}

/// The stack in `reservations`: each below the one before, and the old fields absent or in agreement.
fn reservations(resource: &Resource) -> Result<(), Invalid> {
    let mut ancestor: Option<&str> = None;
    for reservation in &resource.reservations {
        if reservation.r#type.is_none() {
            return Invalid::new("Invalid reservation: 'Resource.ReservationInfo.type' field must be set.");
        }
        if reservation.r#type() == reservation_info::Type::Unknown {
            return Invalid::new("Unsupported 'Resource.ReservationInfo.Type'");
        }
        let Some(role) = reservation.role.as_deref() else {
            return Invalid::new("Invalid reservation: 'Resource.ReservationInfo.role' field must be set.");
        };
        roles::validate(role)?;
        if role == roles::STAR {
            return Invalid::new("Invalid reservation: role \"*\" cannot be reserved");
        }
        if let Some(ancestor) = ancestor {
            if reservation.r#type() == reservation_info::Type::Static {
                return Invalid::new("Invalid refined reservation: A refined reservation cannot be STATIC");
            }
            if !roles::is_strict_subrole(role, ancestor) {
                return Invalid::new(format!(
                    "Invalid refined reservation: role '{role}' is not a refinement of '{ancestor}'"
                ));
            }
        }
        ancestor = Some(role);
    }
    match &resource.reservations[..] {
        [single] => single_agrees(resource, single),
        _ if resource.role.is_some() || resource.reservation.is_some() => {
            let field = if resource.role.is_some() { "role" } else { "reservation" };
            Invalid::new(format!(
                "Invalid resource format: 'Resource.{field}' must not be set if there is more than one \
                 reservation in 'Resource.reservations'"
            ))
        }
        _ => Ok(()),
    }
}

fn single_agrees(resource: &Resource, single: &ReservationInfo) -> Result<(), Invalid> {
    if let Some(role) = &resource.role
        && role != single.role()
    {
        return Invalid::new(format!(
            "Invalid resource format: 'Resource.role' field with '{role}' does not match the role '{}' in \
             'Resource.reservations'",
            single.role()
        ));
    }
    if single.r#type() == reservation_info::Type::Static {
        if resource.reservation.is_some() {
            return Invalid::new(
                "Invalid resource format: 'Resource.reservation' must not be set if the single reservation in \
                 'Resource.reservations' is STATIC",
            );
        }
        return Ok(());
    }
    if resource.role.is_some() != resource.reservation.is_some() {
        return Invalid::new(
            "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be both set or both \
             not set if the single reservation in 'Resource.reservations' is DYNAMIC",
        );
    }
    let Some(old) = &resource.reservation else { return Ok(()) };
    if old.principal() != single.principal() || old.labels != single.labels {
        return Invalid::new(
            "Invalid resource format: 'Resource.reservation' does not match the reservation in \
             'Resource.reservations'",
        );
    }
    Ok(())
}

/// A few words for a resource that may be anything; 20,000 ranges of it are not repeated.
fn describe(resource: &Resource) -> String {
    const SHOWN: usize = 4;
    let mut text: String = resource.name.chars().take(100).flat_map(char::escape_debug).collect();
    let role = resource.reservations.last().map(ReservationInfo::role).or(resource.role.as_deref());
    if let Some(role) = role.filter(|role| *role != roles::STAR) {
        let role: String = role.chars().take(100).flat_map(char::escape_debug).collect();
        let _ = write!(text, "({role})");
    }
    text.push(':');
    if let Some(scalar) = &resource.scalar {
        let _ = write!(text, "{}", scalar.value);
    } else if let Some(ranges) = &resource.ranges {
        let shown = ranges.range.iter().take(SHOWN).map(|range| format!("{}-{}", range.begin, range.end));
        let more = if ranges.range.len() > SHOWN { ", ..." } else { "" };
        let _ = write!(text, "[{}{more}]", shown.collect::<Vec<_>>().join(", "));
    } else if let Some(set) = &resource.set {
        let shown = set.item.iter().take(SHOWN).map(|item| item.chars().take(40).collect::<String>());
        let more = if set.item.len() > SHOWN { ", ..." } else { "" };
        let _ = write!(text, "{{{}{more}}}", shown.collect::<Vec<_>>().join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Spelling;
    use crate::proto::json::from_json;

    fn error(json: &str) -> String {
        let resource: Resource = from_json(json.as_bytes(), Spelling::V1).unwrap();
        match all(&[resource]) {
            Ok(()) => String::new(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn amounts() {
        for (value, expected) in [
            ("1", ""),
            ("0", ""),
            ("-1", "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"),
            ("0.0001", "Resource 'cpus:0.0001' is invalid: Invalid scalar resource: value <= 0"),
            (
                "\"Infinity\"",
                "Resource 'cpus:inf' is invalid: Invalid scalar resource: Infinite values not supported",
            ),
            ("\"-Infinity\"", "Resource 'cpus:-inf' is invalid: Invalid scalar resource: value <= 0"),
        ] {
            let json = format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{value}}}}}"#);
            assert_eq!(error(&json), expected);
        }
        let nan = Resource {
            name: "cpus".into(),
            scalar: Some(crate::proto::value::Scalar { value: f64::NAN }),
            ..Resource::default()
        };
        assert!(all(&[nan]).unwrap_err().0.ends_with("NaN not supported"));
        for (json, expected) in [
            (r#"{"name":"","type":"SCALAR"}"#, "Resource ':' is invalid: Empty resource name"),
            (r#"{"name":"a","type":"SCALAR"}"#, "Resource 'a:' is invalid: Invalid scalar resource"),
            (r#"{"name":"a","type":"TEXT"}"#, "Resource 'a:' is invalid: Unsupported resource type"),
            (
                r#"{"name":"a","type":"SET","set":{"item":["x","x"]}}"#,
                "Resource 'a:{x, x}' is invalid: Invalid set resource: duplicated elements",
            ),
            (
                r#"{"name":"p","type":"RANGES","ranges":{"range":[{"begin":2,"end":1}]}}"#,
                "Resource 'p:[2-1]' is invalid: Invalid ranges resource: begin > end",
            ),
        ] {
            assert_eq!(error(json), expected);
        }
        let unknown = Resource { name: "a".into(), r#type: 9, ..Resource::default() };
        assert!(all(&[unknown]).unwrap_err().0.ends_with("Invalid resource type"));
    }

    #[test]
    fn reservations() {
        for (rest, part) in [
            (r#""role":"web""#, ""),
            (r#""role":"web","reservation":{"principal":"p"}"#, ""),
            (r#""role":"*","reservation":{}"#, "cannot be dynamically reserved"),
            (r#""role":"-web""#, "starts with a dash"),
            (r#""reservations":[{"type":"STATIC","role":"web"}]"#, ""),
            (r#""reservations":[{"role":"web"}]"#, "'Resource.ReservationInfo.type' field must be set."),
            (r#""reservations":[{"type":"STATIC","role":"*"}]"#, "role \"*\" cannot be reserved"),
            (r#""role":"a","reservations":[{"type":"STATIC","role":"b"}]"#, "does not match the role 'b'"),
            (r#""reservations":[{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"a/b"}]"#, ""),
            (
                r#""reservations":[{"type":"STATIC","role":"a"},{"type":"STATIC","role":"a/b"}]"#,
                "A refined reservation cannot be STATIC",
            ),
            (
                r#""reservations":[{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"b"}]"#,
                "role 'b' is not a refinement of 'a'",
            ),
            (r#""shared":{}"#, "Resource cpus cannot be shared"),
            (r#""disk":{}"#, "DiskInfo should not be set for cpus resource"),
        ] {
            let json = format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":1}},{rest}}}"#);
            let error = error(&json);
            assert!(error.contains(part) && error.is_empty() == part.is_empty(), "{rest}: {error}");
        }
    }
}
