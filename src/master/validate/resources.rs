//! What a task or executor may ask for, beyond what makes each resource possible.
//!
//! Source: `validation::resource`, master/validation.cpp 1.11. Every check is one pass over sorted resources.

use std::collections::BTreeSet;

use crate::proto;
use crate::resources::{Entry, Resources, validate};

use super::common;

/// Reads the resources of a task or executor.
pub fn read(list: &[proto::Resource]) -> Result<Resources, String> {
    let resources = Resources::from_protos(list).map_err(|why| format!("Invalid resources: {why}"))?;
    validate::gpus(&resources).map_err(|why| format!("Invalid 'gpus' resource: {why}"))?;
    for entry in &resources {
        disk(entry).map_err(|why| format!("Invalid DiskInfo: {why}"))?;
        if entry.is_dynamically_reserved() && entry.is_revocable() {
            return Err(format!(
                "Invalid ReservationInfo: Dynamically reserved resource {entry} cannot be created from \
                 revocable resources"
            ));
        }
    }
    Ok(resources)
}

fn disk(entry: &Entry) -> Result<(), String> {
    let Some(disk) = entry.disk() else { return Ok(()) };
    let why = match &disk.persistence {
        Some(_) if entry.is_revocable() => "Persistent volumes cannot be created from revocable resources",
        Some(_) if !entry.is_reserved() => "Persistent volumes cannot be created from unreserved resources",
        Some(persistence) => match &disk.volume {
            None => "Expecting 'volume' to be set for persistent volume",
            Some(volume) if volume.host_path.is_some() => {
                "Expecting 'host_path' to be unset for persistent volume"
            }
            Some(_) => {
                return common::id(&persistence.id)
                    .map_err(|why| format!("Invalid persistence ID for persistent volume: {why}"));
            }
        },
        None if disk.volume.is_some() => "Non-persistent volume not supported",
        None if disk.source.is_none() => "DiskInfo is set but empty",
        None => return Ok(()),
    };
    Err(why.to_owned())
}

pub fn unique_persistence(resources: &Resources) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for entry in resources {
        let persistence = entry.disk().and_then(|disk| disk.persistence.as_ref());
        if let Some(persistence) = persistence
            && !seen.insert((entry.reservation_role(), &persistence.id))
        {
            return Err(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    Ok(())
}

pub fn one_role(resources: &Resources) -> Result<(), String> {
    let mut role: Option<&str> = None;
    for entry in resources {
        let Some(own) = entry.allocation() else {
            return Err("The resources are not allocated to a role".to_owned());
        };
        match role {
            Some(role) if role != &**own => {
                return Err(format!(
                    "The resources have multiple allocation roles ('{own}' and '{role}') but only one \
                     allocation role is allowed"
                ));
            }
            _ => role = Some(own),
        }
    }
    Ok(())
}

pub fn revocable_or_not(resources: &Resources) -> Result<(), String> {
    // Entries of one name stand together.
    let mut last: Option<&Entry> = None;
    for entry in resources {
        if let Some(last) = last
            && last.name() == entry.name()
            && last.is_revocable() != entry.is_revocable()
        {
            return Err(format!(
                "Cannot use both revocable and non-revocable '{}' at the same time",
                entry.name()
            ));
        }
        last = Some(entry);
    }
    Ok(())
}

/// Whether two of these share a port or an item of a set, which `total`, their sum, would count once.
pub fn overlap(parts: &[&Resources], total: &Resources) -> bool {
    let pieces = |resources: &Resources| -> u128 {
        resources
            .iter()
            .map(|entry| match entry.value() {
                crate::resources::Value::Scalar(_) => 0,
                crate::resources::Value::Ranges(ranges) => {
                    ranges.iter().map(|(begin, end)| u128::from(end - begin) + 1).sum()
                }
                crate::resources::Value::Set(set) => set.len() as u128,
            })
            .sum()
    };
    parts.iter().map(|part| pieces(part)).sum::<u128>() != pieces(total)
}
