//! Frameworks: their roles, their ids, and what may change of them.
//!
//! Source: `validation::framework`, master/validation.cpp 1.11.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::proto::FrameworkInfo;
use crate::proto::framework_info::capability::Type;
use crate::resources::roles;

use super::common;

pub fn validate(info: &FrameworkInfo) -> Result<(), String> {
    validate_roles(info)?;
    if let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) {
        common::id(&id.value)?;
    }
    for filters in info.offer_filters.values() {
        for quantities in filters.min_allocatable_resources.iter().flat_map(|min| &min.quantities) {
            if quantities.quantities.is_empty() {
                return Err("Resource quantities must contain at least one quantity".to_owned());
            }
            for (name, value) in &quantities.quantities {
                common::scalar(value.value)
                    .map_err(|why| format!("Invalid resource quantity for '{name}': {why}"))?;
            }
        }
    }
    Ok(())
}

#[expect(deprecated, reason = "frameworks of one role still name it so")]
fn validate_roles(info: &FrameworkInfo) -> Result<(), String> {
    let multi = info.capabilities.iter().any(|has| has.r#type == Some(Type::MultiRole as i32));
    if !multi {
        if !info.roles.is_empty() {
            return Err("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
                .to_owned());
        }
        return roles::validate(info.role())
            .map_err(|why| format!("'FrameworkInfo.role' is not a valid role: {why}"));
    }
    if info.role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned()
        );
    }
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> =
        info.roles.iter().map(String::as_str).filter(|role| !seen.insert(*role)).collect();
    if !twice.is_empty() {
        let twice: Vec<&str> = twice.into_iter().collect();
        return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {} }}", twice.join(", ")));
    }
    info.roles.iter().try_for_each(|role| {
        roles::validate(role).map_err(|why| format!("'FrameworkInfo.roles' contains invalid role: {why}"))
    })
}

/// What may not change when a framework subscribes again or updates itself.
pub fn update(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    if old.principal != new.principal {
        // Whose it is, is not for the asker to know.
        return Err("Changing framework's principal is not allowed.".to_owned());
    }
    if old.user != new.user {
        return Err(format!(
            "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '{}' to '{}'",
            old.user, new.user
        ));
    }
    if old.checkpoint() != new.checkpoint() {
        return Err(format!(
            "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '{}' to '{}'",
            old.checkpoint(),
            new.checkpoint()
        ));
    }
    Ok(())
}

/// On SUBSCRIBE, what may not change is kept instead of refused.
pub fn keep_immutable(old: &FrameworkInfo, new: &mut FrameworkInfo) {
    if old.user != new.user {
        tracing::warn!(framework = ?old.id, new = new.user, "the user of a framework cannot change");
        new.user.clone_from(&old.user);
    }
    if old.checkpoint() != new.checkpoint() {
        tracing::warn!(framework = ?old.id, "whether a framework checkpoints cannot change");
        new.checkpoint = old.checkpoint;
    }
}

/// How long a framework lives without its scheduler. Mesos also lets negative times through, and means zero.
pub fn failover_timeout(info: &FrameworkInfo) -> Result<Duration, String> {
    let secs = info.failover_timeout();
    // Mesos counts nanoseconds in an i64.
    let most = i64::MAX as f64 / 1e9;
    if !(0.0..=most).contains(&secs) {
        return Err(format!("The framework failover_timeout ({secs}) is invalid"));
    }
    Duration::try_from_secs_f64(secs).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::framework_info::Capability;

    fn multi(roles: &[&str]) -> FrameworkInfo {
        FrameworkInfo {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            capabilities: vec![Capability { r#type: Some(Type::MultiRole as i32) }],
            ..FrameworkInfo::default()
        }
    }

    #[test]
    #[expect(deprecated, reason = "frameworks of one role still name it so")]
    fn roles_go_by_the_capability() {
        assert_eq!(validate(&FrameworkInfo::default()), Ok(()));
        assert_eq!(validate(&multi(&["a", "b"])), Ok(()));
        assert_eq!(
            validate(&multi(&["a", "b", "a"])).unwrap_err(),
            "'FrameworkInfo.roles' contains duplicate items: { a }"
        );
        let role = |role: &str| FrameworkInfo { role: Some(role.to_owned()), ..FrameworkInfo::default() };
        assert!(
            validate(&role("a/../b")).unwrap_err().starts_with("'FrameworkInfo.role' is not a valid role")
        );
        assert!(validate(&FrameworkInfo { role: Some("a".into()), ..multi(&[]) }).is_err());
        let old_with_roles = FrameworkInfo { capabilities: vec![], ..multi(&["a"]) };
        assert!(validate(&old_with_roles).is_err());
    }

    #[test]
    fn timeouts_are_times() {
        let of = |secs| {
            failover_timeout(&FrameworkInfo { failover_timeout: Some(secs), ..FrameworkInfo::default() })
        };
        assert_eq!(of(1.5), Ok(Duration::from_millis(1500)));
        for secs in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert!(of(secs).is_err(), "{secs}");
        }
        assert_eq!(of(-1.0).unwrap_err(), "The framework failover_timeout (-1) is invalid");
        assert_eq!(failover_timeout(&FrameworkInfo::default()), Ok(Duration::ZERO));
    }

    #[test]
    fn user_and_checkpoint_stay() {
        let old = FrameworkInfo { user: "u".into(), checkpoint: Some(true), ..FrameworkInfo::default() };
        let mut new = FrameworkInfo { user: "v".into(), ..FrameworkInfo::default() };
        assert!(update(&old, &new).unwrap_err().contains("from 'u' to 'v'"));
        keep_immutable(&old, &mut new);
        assert_eq!(update(&old, &new), Ok(()));
        new.principal = Some("p".into());
        assert!(update(&old, &new).is_err());
    }
}
