//! Which bytes Mesos takes for a uuid.

/// Whether these are the 16 bytes of a uuid of a known version, as everything of Mesos wants of an update's:
/// an update under other bytes would never be acknowledged. Source: `id::UUID::fromBytes`, stout 1.11.
pub fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 16 && (1..=5).contains(&(bytes[6] >> 4))
}

/// A uuid for tests, told by its first byte.
#[cfg(test)]
pub fn numbered(byte: u8) -> prost::bytes::Bytes {
    let mut bytes = vec![byte; 16];
    bytes[6] = 0x40;
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_one_to_five_of_sixteen_bytes() {
        assert!(is_uuid(&numbered(1)));
        assert!(is_uuid(uuid::Uuid::from_u64_pair(0x1000, 0).as_bytes()));
        for bad in [&[0; 16][..], &[0xff; 16], &[0x44; 15], &[0x44; 17], &[]] {
            assert!(!is_uuid(bad), "{bad:?}");
        }
    }
}
