//! Decoding with the checks that proto2 asks for and prost leaves out: required fields, at every depth.
//!
//! Works on the wire bytes, in one pass, before anything is allocated. A message that is sent in two halves to be
//! merged (which the wire format allows and nothing writes) must have its required fields in each half.

use std::fmt::Write as _;

use super::table::{self, Field, Kind, Label, Spelling};
use super::wire::{Malformed, Reader, Value};

/// Nesting that prost accepts as well; real messages stay below 20.
const MAX_DEPTH: usize = 100;

/// What decoding may take: this much, and so many times the bytes that came, and never more than `MOST`. Two bytes
/// are an empty `Offer.Operation`, which takes 7 kB; a small task of 100 bytes takes 5 kB.
const ALLOWANCE: usize = 64 << 20;
const ALLOWANCE_PER_BYTE: usize = 64;
const MOST: usize = 512 << 20;

/// How many missing fields an error lists.
const MAX_LISTED: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a {message}: {reason}")]
    Malformed { message: &'static str, reason: String },
    /// Paths in protobuf's manner: `tasks[0].task_id.value`.
    #[error("Missing required fields: {}", .0.join(", "))]
    Missing(Vec<String>),
}

/// Decodes a message whose required fields are all there. Paths in errors have their v0 names.
pub fn decode<M: prost::Message + prost::Name + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    decode_as(bytes, Spelling::V0)
}

/// `decode`, with the names of errors in either spelling.
pub fn decode_as<M>(bytes: &[u8], spelling: Spelling) -> Result<M, DecodeError>
where
    M: prost::Message + prost::Name + Default,
{
    let table = table::of::<M>();
    let malformed = |reason: String| DecodeError::Malformed { message: table.name, reason };
    let missing = missing(table, bytes, spelling).map_err(|error| malformed(error.to_string()))?;
    if !missing.is_empty() {
        return Err(DecodeError::Missing(missing));
    }
    M::decode(bytes).map_err(|error| malformed(error.to_string()))
}

/// The required fields that are not there, the first few of them.
pub fn missing(table: &table::Message, bytes: &[u8], spelling: Spelling) -> Result<Vec<String>, Malformed> {
    let allowance = ALLOWANCE.saturating_add(ALLOWANCE_PER_BYTE.saturating_mul(bytes.len())).min(MOST);
    let mut walk = Walk { spelling, missing: Vec::new(), allowance };
    walk.message(table, bytes, None, 0)?;
    walk.missing.truncate(MAX_LISTED);
    Ok(walk.missing)
}

struct Walk {
    spelling: Spelling,
    missing: Vec<String>,
    /// Bytes of memory that may still be asked for.
    allowance: usize,
}

/// Where a message is, spelled out only if something is missing there.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    field: &'a Field,
    index: usize,
}

impl Walk {
    fn message(
        &mut self,
        table: &table::Message,
        bytes: &[u8],
        path: Option<&Path<'_>>,
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed("nested too deeply"));
        }
        let own = self.missing.len();
        let mut seen = 0_u64;
        let mut hint = 0;
        // The last repeated field and how many of its elements were seen: names elements in errors.
        let mut run = (usize::MAX, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            let Some(index) = table.index_of(number, hint) else { continue };
            hint = index;
            let field = &table.fields[index];
            if matches!(field.label, Label::Repeated | Label::Map) {
                self.spend(field.kind, &value)?;
            }
            match (field.kind, value) {
                (Kind::Message(inner), Value::Bytes(bytes)) => {
                    seen |= 1 << index;
                    run = if run.0 == index { (index, run.1 + 1) } else { (index, 0) };
                    let path = Path { parent: path, field, index: run.1 };
                    self.message(inner, bytes, Some(&path), depth + 1)?;
                    if self.missing.len() >= MAX_LISTED {
                        return Ok(());
                    }
                }
                // Proto2 takes an unknown enum number for an unset field.
                (Kind::Enum(of), Value::Varint(number)) if field.label == Label::Required => {
                    seen |= u64::from(of.contains(number as i32)) << index;
                }
                _ => seen |= 1 << index,
            }
        }
        // Protobuf lists a message's own fields before those of the messages in it.
        let mut at = own;
        for (index, field) in table.fields.iter().enumerate() {
            if field.label == Label::Required && seen & 1 << index == 0 {
                let text = self.spell(path, field);
                self.missing.insert(at, text);
                at += 1;
            }
        }
        Ok(())
    }

    /// Counts one element of a repeated field, or a run of packed ones.
    fn spend(&mut self, kind: Kind, value: &Value<'_>) -> Result<(), Malformed> {
        let size = match (kind, value) {
            (Kind::Message(inner), _) => inner.size,
            (Kind::String | Kind::Bytes, _) => size_of::<String>().max(size_of::<bytes::Bytes>()),
            (_, Value::Bytes(packed)) => packed.len().saturating_mul(size_of::<u64>()),
            _ => size_of::<u64>(),
        };
        let rest = self.allowance.checked_sub(size);
        self.allowance = rest.ok_or(Malformed("it holds more than fits in memory"))?;
        Ok(())
    }

    fn spell(&self, path: Option<&Path<'_>>, field: &Field) -> String {
        let mut steps = Vec::new();
        let mut next = path;
        while let Some(step) = next {
            steps.push(step);
            next = step.parent;
        }
        let mut text = String::new();
        for step in steps.iter().rev() {
            text.push_str(self.name(step.field));
            if matches!(step.field.label, Label::Repeated | Label::Map) {
                let _ = write!(text, "[{}]", step.index);
            }
            text.push('.');
        }
        text.push_str(self.name(field));
        text
    }

    fn name(&self, field: &Field) -> &'static str {
        match field.names[self.spelling as usize] {
            "" => field.names[0],
            name => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{self, internal};

    #[test]
    fn every_table_fits_the_mask() {
        for table in crate::proto::tables::ALL {
            assert!(table.fields.len() <= 64, "{}", table.name);
        }
    }

    #[test]
    fn missing_fields_are_named_at_every_depth() {
        // tasks { } tasks { name "" executor { } }, with neither framework_id nor filters: eight and more.
        let bytes = [0x1a, 0x00, 0x1a, 0x04, 0x0a, 0x00, 0x2a, 0x00];
        let error = decode::<internal::LaunchTasksMessage>(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Missing required fields: framework_id, filters, tasks[0].name, tasks[0].task_id, \
             tasks[0].slave_id, tasks[1].task_id, tasks[1].slave_id, tasks[1].executor.executor_id"
        );
        let error = decode_as::<proto::TaskInfo>(&[], Spelling::V1).unwrap_err();
        assert_eq!(error, DecodeError::Missing(vec!["name".into(), "task_id".into(), "agent_id".into()]));
        let whole =
            internal::LaunchTasksMessage { tasks: vec![proto::TaskInfo::default()], ..Default::default() };
        assert_eq!(decode::<internal::LaunchTasksMessage>(&whole.encode_to_vec()), Ok(whole));
    }

    #[test]
    fn an_unknown_number_of_a_required_enum_is_missing() {
        // TaskStatus { task_id { value "t" }, state 99 }
        let bytes = [0x0a, 0x03, 0x0a, 0x01, b't', 0x10, 99];
        let error = decode::<proto::TaskStatus>(&bytes).unwrap_err();
        assert_eq!(error, DecodeError::Missing(vec!["state".into()]));
    }

    #[test]
    fn what_swells_in_memory_is_refused() {
        use crate::proto::scheduler::call;
        // Empty operations, two bytes each: 7 GB once decoded.
        let bytes = [0x12, 0x00].repeat(1_000_000);
        let error = decode::<call::Accept>(&bytes).unwrap_err();
        assert!(error.to_string().contains("more than fits in memory"), "{error}");
        assert!(decode::<call::Accept>(&bytes[..10_000]).is_ok());
        // Real tasks pass, however many.
        let task = proto::TaskInfo {
            name: "t".into(),
            task_id: "task-1".into(),
            agent_id: "f7c1b0e6-5b1e-4b39-9d0b-7a3f8e3f4a51-S0".into(),
            resources: vec![proto::Resource { name: "cpus".into(), ..Default::default() }; 2],
            ..Default::default()
        };
        let many = internal::LaunchTasksMessage { tasks: vec![task; 20_000], ..Default::default() };
        assert!(decode::<internal::LaunchTasksMessage>(&many.encode_to_vec()).is_ok());
    }

    #[test]
    fn garbage_and_depth_are_errors() {
        assert!(decode::<proto::TaskStatus>(b"\xff\xff").is_err());
        assert!(decode::<proto::TaskStatus>(b"hello, world").is_err());
        // A ContainerID inside a ContainerID, two bytes of length each time.
        let mut bytes = vec![0x0a, 0x01, b'x'];
        for _ in 0..3_000 {
            let mut outer = vec![0x0a, 0x01, b'x', 0x12];
            crate::proto::wire::put_varint(&mut outer, bytes.len() as u64);
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        assert!(decode::<proto::ContainerId>(&bytes).unwrap_err().to_string().contains("too deeply"));
    }
}
