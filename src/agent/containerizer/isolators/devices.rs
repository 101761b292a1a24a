//! Devices that a container may use (`cgroups/devices`). Version 1 only: version 2 has no such controller.
//!
//! Source: isolators/cgroups/subsystems/devices.cpp 1.11.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::limits::Setting;
use crate::proto::DeviceWhitelist;
use crate::proto::json::from_json;
use crate::proto::table::Spelling;

/// Making any node, and using those that every program counts on: the terminals tty, console, tty0, tty1 and pseudo
/// ones, null, zero, full, random, urandom, and the ends of tunnels.
const USUAL: [&str; 14] = [
    "c *:* m",
    "b *:* m",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 4:0 rwm",
    "c 4:1 rwm",
    "c 1:9 rwm",
    "c 1:8 rwm",
    "c 136:* rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
];

/// What `--allowed_devices` adds, as the kernel writes it. Asks the disk what is behind a path.
pub fn parse(json: &serde_json::Value) -> Result<Vec<String>, String> {
    let list: DeviceWhitelist =
        from_json(json.to_string().as_bytes(), Spelling::V0).map_err(|why| why.to_string())?;
    list.allowed_devices
        .iter()
        .map(|allowed| {
            let Some(path) = &allowed.device.path else {
                return Err("a device has no path".to_owned());
            };
            let (kind, major, minor) = node(path)?;
            let access = &allowed.access;
            let may = [('r', access.read()), ('w', access.write()), ('m', access.mknod())];
            let may: String = may.iter().filter(|(_, may)| *may).map(|(letter, _)| *letter).collect();
            match may.is_empty() {
                true => Err(format!("'{path}' may be neither read nor written nor made")),
                false => Ok(format!("{kind} {major}:{minor} {may}")),
            }
        })
        .collect()
}

fn node(path: &str) -> Result<(char, u64, u64), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("'{path}': {error}"))?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        _ => return Err(format!("'{path}' is no device")),
    };
    let device = metadata.rdev();
    Ok((kind, libc::major(device).into(), libc::minor(device).into()))
}

/// All are denied first.
pub fn settings(allowed: &[String]) -> Vec<Setting> {
    let setting = |file, value: &str| Setting { controller: "devices", file, value: value.to_owned() };
    let lines = USUAL.into_iter().chain(allowed.iter().map(String::as_str));
    std::iter::once(setting("devices.deny", "a"))
        .chain(lines.map(|line| setting("devices.allow", line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn allowed(path: &str, access: &serde_json::Value) -> Result<Vec<String>, String> {
        parse(&json!({"allowed_devices": [{"device": {"path": path}, "access": access}]}))
    }

    #[test]
    fn devices_are_numbers() {
        let access = json!({"read": true, "mknod": true});
        assert_eq!(allowed("/dev/null", &access).unwrap(), ["c 1:3 rm"]);
        assert_eq!(allowed("/etc", &access).unwrap_err(), "'/etc' is no device");
        assert!(allowed("/no/such", &access).unwrap_err().starts_with("'/no/such': "));
        assert!(allowed("/dev/null", &json!({})).unwrap_err().contains("neither read nor written"));
        assert!(parse(&json!({"allowed_devices": [{"access": {"read": true}}]})).is_err());
        let all = settings(&allowed("/dev/null", &access).unwrap());
        assert_eq!((all[0].file, all[0].value.as_str()), ("devices.deny", "a"));
        assert_eq!(all.last().map(|last| last.value.as_str()), Some("c 1:3 rm"));
    }
}
