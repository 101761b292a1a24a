//! Whether a restarted agent may go by its old id: `--reconfiguration_policy`.
//!
//! Source: `equal` and `additive`, slave/compatibility.cpp 1.11.

use super::state::ReconfigurationPolicy;
use crate::proto::{AgentInfo, Attribute, DomainInfo};
use crate::resources::Resources;

/// What changed that must not, as a sentence. `current` has the old id.
pub fn compare(
    policy: ReconfigurationPolicy,
    previous: &AgentInfo,
    current: &AgentInfo,
) -> Result<(), String> {
    let refused =
        |what: String| Err(format!("Configuration change not permitted under '{policy}' policy: {what}"));
    let equal = policy == ReconfigurationPolicy::Equal;
    if previous.hostname != current.hostname {
        return refused(format!("Hostname changed from {} to {}", previous.hostname, current.hostname));
    }
    if previous.port() != current.port() {
        return refused(format!("Port changed from {} to {}", previous.port(), current.port()));
    }
    if previous.domain != current.domain && (equal || previous.domain.is_some()) {
        let (before, now) = (domain(previous.domain.as_ref()), domain(current.domain.as_ref()));
        return refused(format!("Domain changed from {before} to {now}"));
    }
    let resources = |info: &AgentInfo| Resources::from_protos(&info.resources).unwrap_or_default();
    let (before, now) = (resources(previous), resources(current));
    if !now.contains(&before) {
        return refused(format!("Resources changed from {before} to {now}, which lacks some of them"));
    }
    if equal && before != now {
        return refused(format!("Resources changed from {before} to {now}"));
    }
    let lacks = |of: &AgentInfo, attribute: &&Attribute| !of.attributes.contains(attribute);
    if let Some(gone) = previous.attributes.iter().find(|attribute| lacks(current, attribute)) {
        return refused(format!("Attribute '{}' changed or is gone", gone.name));
    }
    if equal && let Some(new) = current.attributes.iter().find(|attribute| lacks(previous, attribute)) {
        return refused(format!("Attribute '{}' is new", new.name));
    }
    Ok(())
}

fn domain(domain: Option<&DomainInfo>) -> String {
    let fault = domain.and_then(|domain| domain.fault_domain.as_ref());
    fault.map_or("none".to_owned(), |fault| format!("{}/{}", fault.region.name, fault.zone.name))
}

impl std::fmt::Display for ReconfigurationPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReconfigurationPolicy::Equal => "equal",
            ReconfigurationPolicy::Additive => "additive",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{attributes, parse};

    fn info(resources: &str, attributes: &str) -> AgentInfo {
        AgentInfo {
            hostname: "h".to_owned(),
            port: Some(5051),
            resources: parse::parse(resources, "*").unwrap().to_protos(),
            attributes: attributes::parse(attributes).unwrap(),
            ..AgentInfo::default()
        }
    }

    #[test]
    fn policies() {
        use ReconfigurationPolicy::{Additive, Equal};
        let before = info("cpus:4;mem:100;ports:[1-5]", "rack:a");
        let same = info("mem:100;ports:[1-3,4-5];cpus:4", "rack:a");
        assert_eq!(compare(Equal, &before, &same), Ok(()));
        let more = info("cpus:5;mem:100;ports:[1-9];gpus:1", "rack:a;size:3");
        assert!(compare(Equal, &before, &more).unwrap_err().contains("'equal' policy: Resources changed"));
        assert_eq!(compare(Additive, &before, &more), Ok(()));
        for (less, why) in [
            (info("cpus:3;mem:100;ports:[1-5]", "rack:a"), "lacks"),
            (info("cpus:4;mem:100;ports:[1-5]", "rack:b"), "Attribute 'rack' changed"),
            (AgentInfo { hostname: "i".to_owned(), ..before.clone() }, "Hostname changed from h to i"),
            (AgentInfo { port: Some(1), ..before.clone() }, "Port changed from 5051 to 1"),
        ] {
            for policy in [Equal, Additive] {
                assert!(compare(policy, &before, &less).unwrap_err().contains(why), "{why}");
            }
        }
        let with_attribute = info("cpus:4;mem:100;ports:[1-5]", "rack:a;size:3");
        assert!(compare(Equal, &before, &with_attribute).unwrap_err().contains("Attribute 'size' is new"));
    }
}
