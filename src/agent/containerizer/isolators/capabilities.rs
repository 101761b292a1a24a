//! What root's powers a container keeps. Pure.
//!
//! Source: isolators/linux/capabilities.cpp 1.11.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::proto::{CapabilityInfo, LinuxInfo, capability_info};

/// By their Linux numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What it has; `None`: what its user has.
    pub effective: Option<BTreeSet<u8>>,
    /// What it can ever get.
    pub bounding: BTreeSet<u8>,
}

/// What operator and framework say together; `None` if nobody says anything.
#[expect(deprecated, reason = "old frameworks say `capability_info`")]
pub fn of(settings: &Settings, linux: &LinuxInfo) -> Result<Option<Capabilities>, String> {
    if linux.capability_info.is_some() && linux.effective_capabilities.is_some() {
        return Err("Only one of 'capability_info' or 'effective_capabilities' is allowed".to_owned());
    }
    let asked = linux.capability_info.as_ref().or(linux.effective_capabilities.as_ref());
    let effective = asked.map(numbers).or_else(|| settings.effective_capabilities.clone());
    let allowed = settings.bounding_capabilities.clone();
    let bounding = linux.bounding_capabilities.as_ref().map(numbers);
    if let (Some(asked), Some(allowed)) = (&bounding, &allowed)
        && !asked.is_subset(allowed)
    {
        return Err(format!(
            "Bounding capabilities '{}', but only '{}' are allowed",
            shown(asked),
            shown(allowed)
        ));
    }
    let Some(bounding) = bounding.or(allowed).or_else(|| effective.clone()) else { return Ok(None) };
    match &effective {
        Some(asked) if !asked.is_subset(&bounding) => Err(format!(
            "Requested capabilities '{}', but only '{}' are allowed",
            shown(asked),
            shown(&bounding)
        )),
        _ => Ok(Some(Capabilities { effective, bounding })),
    }
}

/// As flags have them: `{"capabilities": ["NET_RAW"]}`.
pub fn parse(json: &serde_json::Value) -> Result<BTreeSet<u8>, String> {
    let wrong = || r#"expected JSON like {"capabilities": ["NET_RAW", "SYSLOG"]}"#.to_owned();
    let object = json.as_object().ok_or_else(wrong)?;
    if object.keys().any(|key| key != "capabilities") {
        return Err(wrong());
    }
    let Some(list) = object.get("capabilities") else { return Ok(BTreeSet::new()) };
    let number = |name: &serde_json::Value| {
        let name = name.as_str().ok_or_else(wrong)?;
        let known = capability_info::Capability::from_str_name(name);
        let number = known.and_then(|known| u8::try_from(known as i32 - 1000).ok());
        number.ok_or_else(|| format!("there is no capability '{name}'"))
    };
    list.as_array().ok_or_else(wrong)?.iter().map(number).collect()
}

/// Mesos' numbers are Linux' and a thousand.
pub fn numbers(info: &CapabilityInfo) -> BTreeSet<u8> {
    info.capabilities.iter().filter_map(|number| u8::try_from(number - 1000).ok()).collect()
}

/// As `CAP_…` without its beginning.
pub fn name(number: u8) -> String {
    match capability_info::Capability::try_from(i32::from(number) + 1000) {
        Ok(known) => known.as_str_name().to_owned(),
        Err(_) => number.to_string(),
    }
}

fn shown(numbers: &BTreeSet<u8>) -> String {
    let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
    format!("{{{}}}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(numbers: &[u8]) -> Option<CapabilityInfo> {
        Some(CapabilityInfo {
            capabilities: numbers.iter().map(|number| i32::from(*number) + 1000).collect(),
        })
    }

    fn set(numbers: &[u8]) -> Option<BTreeSet<u8>> {
        Some(numbers.iter().copied().collect())
    }

    #[test]
    fn frameworks_choose_within_what_operators_allow() {
        let settings = Settings {
            effective_capabilities: set(&[0, 1]),
            bounding_capabilities: set(&[0, 1, 12]),
            ..Settings::default()
        };
        let nothing = LinuxInfo::default();
        let given = of(&settings, &nothing).unwrap().unwrap();
        assert_eq!((given.effective, given.bounding), (set(&[0, 1]), set(&[0, 1, 12]).unwrap()));
        let more = LinuxInfo { effective_capabilities: info(&[12]), ..nothing.clone() };
        assert_eq!(of(&settings, &more).unwrap().unwrap().effective, set(&[12]));
        let most = LinuxInfo { effective_capabilities: info(&[21]), ..nothing.clone() };
        let why = of(&settings, &most).unwrap_err();
        assert_eq!(
            why,
            "Requested capabilities '{SYS_ADMIN}', but only '{CHOWN, DAC_OVERRIDE, NET_ADMIN}' are allowed"
        );
        let wide = LinuxInfo { bounding_capabilities: info(&[21]), ..nothing.clone() };
        assert!(of(&settings, &wide).unwrap_err().starts_with("Bounding capabilities '{SYS_ADMIN}'"));
        assert_eq!(of(&Settings::default(), &nothing), Ok(None));
    }

    #[test]
    fn flags_name_capabilities() {
        let read = |text: &str| parse(&serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"capabilities": ["CHOWN", "SYS_ADMIN"]}"#).ok(), set(&[0, 21]));
        assert_eq!(read("{}").ok(), set(&[]));
        assert_eq!(read(r#"{"capabilities": ["FLY"]}"#).unwrap_err(), "there is no capability 'FLY'");
        assert_eq!(read(r#"{"capabilities": ["UNKNOWN"]}"#).unwrap_err(), "there is no capability 'UNKNOWN'");
        assert!(
            ["[]", r#"{"caps": []}"#, r#"{"capabilities": "CHOWN"}"#].iter().all(|text| read(text).is_err())
        );
    }
}
