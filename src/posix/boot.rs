//! Which boot of the machine this is.

/// Differs after each start of the machine; none where /proc does not tell. Source: `os::bootId`, stout 1.11.
pub fn id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}
