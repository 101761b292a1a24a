//! Messages written piece by piece, in protobuf or in JSON, by one and the same code.
//!
//! What is written is borrowed: a state of a hundred thousand tasks goes straight into one buffer, without a
//! message for the whole that would have to be built first. Fields are named as v1 names them.
//!
//! JSON is as Mesos writes it by hand for its large answers: a list that is begun is there, also if it is empty.

use std::collections::BTreeMap;

use prost::encoding::{encode_key, encode_varint, encoded_len_varint};
use prost::{Message, Name};

use super::json::{text, write_message};
use super::table::{self, Field, Kind, Spelling};

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Protobuf,
}

/// A message under way.
pub struct Fields<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
    table: &'static table::Message,
    /// Where the field after the last one is in the table: they are written in its order, mostly.
    next: usize,
    first: bool,
}

/// A repeated field under way.
pub struct List<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
    field: &'static Field,
    first: bool,
}

/// Appends a message of type `M`, with the fields that `fill` writes.
pub fn write<M: Name>(out: &mut Vec<u8>, encoding: Encoding, fill: impl FnOnce(&mut Fields<'_>)) {
    object(out, encoding, table::of::<M>(), fill);
}

/// A whole message in its encoding.
pub fn encode<M: Message + Name>(message: &M, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => super::json::to_json(message, Spelling::V1),
        Encoding::Protobuf => message.encode_to_vec(),
    }
}

fn object(
    out: &mut Vec<u8>,
    encoding: Encoding,
    table: &'static table::Message,
    fill: impl FnOnce(&mut Fields<'_>),
) {
    if encoding == Encoding::Json {
        out.push(b'{');
    }
    fill(&mut Fields { out, encoding, table, next: 0, first: true });
    if encoding == Encoding::Json {
        out.push(b'}');
    }
}

/// Puts the length of what was written since `start` in front of it.
fn prefix_length(out: &mut Vec<u8>, start: usize) {
    let length = (out.len() - start) as u64;
    let mut bytes = [0; 10];
    encode_varint(length, &mut bytes.as_mut_slice());
    out.splice(start..start, bytes[..encoded_len_varint(length)].iter().copied());
}

fn child(field: &Field) -> &'static table::Message {
    match field.kind {
        Kind::Message(table) => table,
        kind => unreachable!("{} is {kind:?} and no message", field.names[Spelling::V1 as usize]),
    }
}

fn wire_type(field: &Field) -> prost::encoding::WireType {
    use prost::encoding::WireType;
    match field.kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::SixtyFourBit,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::ThirtyTwoBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

fn put_message<M: Message + Name>(out: &mut Vec<u8>, encoding: Encoding, message: &M) {
    match encoding {
        Encoding::Json => write_message(out, message, Spelling::V1),
        Encoding::Protobuf => {
            encode_varint(message.encoded_len() as u64, out);
            message.encode_raw(out);
        }
    }
}

fn put_object(
    out: &mut Vec<u8>,
    encoding: Encoding,
    field: &'static Field,
    fill: impl FnOnce(&mut Fields<'_>),
) {
    let start = out.len();
    object(out, encoding, child(field), fill);
    if encoding == Encoding::Protobuf {
        prefix_length(out, start);
    }
}

impl Fields<'_> {
    /// The field of this name. One that the message has not is a fault of ours.
    fn find(&mut self, name: &str) -> &'static Field {
        let (before, after) = self.table.fields.split_at(self.next);
        let is = |field: &Field| field.names[Spelling::V1 as usize] == name;
        let found = after.iter().position(is).map(|index| index + before.len());
        let index = found.or_else(|| before.iter().position(is));
        let index = index.unwrap_or_else(|| panic!("{} has no field {name}", self.table.name));
        self.next = index + 1;
        &self.table.fields[index]
    }

    /// Begins a field that has one value.
    fn start(&mut self, name: &str) -> &'static Field {
        let field = self.find(name);
        match self.encoding {
            Encoding::Protobuf => encode_key(field.number, wire_type(field), self.out),
            Encoding::Json => self.key(name),
        }
        field
    }

    fn key(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub fn string(&mut self, name: &str, value: &str) {
        self.start(name);
        match self.encoding {
            Encoding::Json => text::string(self.out, value),
            Encoding::Protobuf => {
                encode_varint(value.len() as u64, self.out);
                self.out.extend_from_slice(value.as_bytes());
            }
        }
    }

    pub fn bytes(&mut self, name: &str, value: &[u8]) {
        self.start(name);
        match self.encoding {
            Encoding::Json => text::base64(self.out, value),
            Encoding::Protobuf => {
                encode_varint(value.len() as u64, self.out);
                self.out.extend_from_slice(value);
            }
        }
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.start(name);
        match self.encoding {
            Encoding::Json => text::boolean(self.out, value),
            Encoding::Protobuf => self.out.push(u8::from(value)),
        }
    }

    pub fn double(&mut self, name: &str, value: f64) {
        self.start(name);
        match self.encoding {
            Encoding::Json => text::double(self.out, value),
            Encoding::Protobuf => self.out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    /// An enum's value, by its number. One without a name is left out of JSON.
    pub fn enumeration(&mut self, name: &str, number: i32) {
        match self.encoding {
            Encoding::Protobuf => {
                self.start(name);
                // Negative numbers are extended to 64 bits, as on any wire.
                encode_varint(i64::from(number).cast_unsigned(), self.out);
            }
            Encoding::Json => {
                let Kind::Enum(of) = self.find(name).kind else { unreachable!("{name} is an enum") };
                if let Some(value) = of.name_of(number, Spelling::V1) {
                    self.key(name);
                    text::string(self.out, value);
                }
            }
        }
    }

    pub fn message<M: Message + Name>(&mut self, name: &str, message: &M) {
        let field = self.start(name);
        debug_assert_eq!(child(field).name, M::full_name());
        put_message(self.out, self.encoding, message);
    }

    /// A message that is nothing but a `value`, as ids are.
    pub fn id(&mut self, name: &str, value: &str) {
        self.object(name, |id| id.string("value", value));
    }

    /// As `message`, for one that may be absent.
    pub fn optional<M: Message + Name>(&mut self, name: &str, message: Option<&M>) {
        if let Some(message) = message {
            self.message(name, message);
        }
    }

    /// A message of the field's type, written piece by piece.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Fields<'_>)) {
        let field = self.start(name);
        put_object(self.out, self.encoding, field, fill);
    }

    /// A message that is in this encoding already.
    pub fn encoded(&mut self, name: &str, bytes: &[u8]) {
        self.start(name);
        if self.encoding == Encoding::Protobuf {
            encode_varint(bytes.len() as u64, self.out);
        }
        self.out.extend_from_slice(bytes);
    }

    /// A list that is there in JSON also if `fill` puts nothing in it.
    pub fn list(&mut self, name: &str, fill: impl FnOnce(&mut List<'_>)) {
        let field = self.find(name);
        if self.encoding == Encoding::Json {
            self.key(name);
            self.out.push(b'[');
        }
        fill(&mut List { out: self.out, encoding: self.encoding, field, first: true });
        if self.encoding == Encoding::Json {
            self.out.push(b']');
        }
    }

    /// A map from strings to messages; left out if it is empty.
    pub fn map<M: Message + Name>(&mut self, name: &str, map: &BTreeMap<String, M>) {
        if map.is_empty() {
            return;
        }
        let field = self.find(name);
        match self.encoding {
            Encoding::Json => {
                self.key(name);
                let separators = std::iter::once(b'{').chain(std::iter::repeat(b','));
                for ((key, value), separator) in map.iter().zip(separators) {
                    self.out.push(separator);
                    text::string(self.out, key);
                    self.out.push(b':');
                    write_message(self.out, value, Spelling::V1);
                }
                self.out.push(b'}');
            }
            Encoding::Protobuf => {
                for (key, value) in map {
                    encode_key(field.number, wire_type(field), self.out);
                    put_object(self.out, self.encoding, field, |entry| {
                        entry.string("key", key);
                        entry.message("value", value);
                    });
                }
            }
        }
    }

    /// A list that is left out if it is empty, as of a message that is written whole.
    pub fn messages<'m, M, I>(&mut self, name: &str, messages: I)
    where
        M: Message + Name + 'm,
        I: IntoIterator<Item = &'m M, IntoIter: ExactSizeIterator>,
    {
        let messages = messages.into_iter();
        if messages.len() > 0 {
            self.list(name, |list| messages.for_each(|message| list.message(message)));
        }
    }
}

impl List<'_> {
    fn start(&mut self) {
        match self.encoding {
            Encoding::Protobuf => encode_key(self.field.number, wire_type(self.field), self.out),
            Encoding::Json if std::mem::replace(&mut self.first, false) => {}
            Encoding::Json => self.out.push(b','),
        }
    }

    pub fn message<M: Message + Name>(&mut self, message: &M) {
        debug_assert_eq!(child(self.field).name, M::full_name());
        self.start();
        put_message(self.out, self.encoding, message);
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Fields<'_>)) {
        self.start();
        put_object(self.out, self.encoding, self.field, fill);
    }
}

/// What comparing both encodings takes.
#[cfg(test)]
pub mod testing {
    use serde_json::Value;

    /// Lists that hand-written JSON shows empty are not there in protobuf.
    pub fn without_empty_lists(mut value: Value) -> Value {
        strip(&mut value);
        value
    }

    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, field| field.as_array().is_none_or(|array| !array.is_empty()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(elements) => elements.iter_mut().for_each(strip),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::master::{Response, response};
    use crate::proto::value::Scalar;
    use crate::proto::{AgentId, AgentInfo, TaskId, TaskState, TaskStatus, TimeInfo};

    fn task(fields: &mut Fields<'_>) {
        fields.string("name", "sl\"eep");
        fields.message("task_id", &TaskId::from("t"));
        fields.object("framework_id", |id| id.string("value", "f"));
        fields.message("agent_id", &AgentId::from("a"));
        fields.enumeration("state", TaskState::TaskRunning as i32);
        fields.messages("resources", &Vec::<crate::proto::Resource>::new());
        let status = TaskStatus { state: 1, task_id: "t".into(), timestamp: Some(1.5), ..Default::default() };
        fields.messages("statuses", &vec![status.clone(), status]);
        let limits = [("cpus", 1.5), ("mem", f64::INFINITY)];
        let limits = limits.map(|(name, value)| (name.to_owned(), Scalar { value }));
        fields.map("limits", &limits.into());
    }

    fn answer(encoding: Encoding) -> Vec<u8> {
        let mut out = b"before".to_vec();
        write::<Response>(&mut out, encoding, |answer| {
            answer.enumeration("type", response::Type::GetState as i32);
            answer.object("get_state", |state| {
                state.object("get_tasks", |tasks| {
                    tasks.list("tasks", |list| (0..3).for_each(|_| list.object(task)));
                    tasks.list("completed_tasks", |_| {});
                });
                state.object("get_agents", |agents| {
                    agents.list("agents", |list| {
                        list.object(|agent| {
                            let info = AgentInfo { hostname: "h".to_owned(), ..AgentInfo::default() };
                            agent.message("agent_info", &info);
                            agent.boolean("active", true);
                            agent.string("version", "1");
                            agent.message("registered_time", &TimeInfo { nanoseconds: 7 });
                        });
                    });
                });
            });
            answer.object("get_master", |master| master.double("start_time", 2.5));
        });
        out.split_off(6)
    }

    #[test]
    fn both_encodings_say_the_same() {
        let message = Response::decode(answer(Encoding::Protobuf).as_slice()).unwrap();
        assert_eq!(message.get_state.as_ref().unwrap().get_tasks.as_ref().unwrap().tasks.len(), 3);
        let of_protobuf: serde_json::Value =
            serde_json::from_slice(&encode(&message, Encoding::Json)).unwrap();
        let mut written: serde_json::Value = serde_json::from_slice(&answer(Encoding::Json)).unwrap();
        // The one difference: a list that was begun.
        let tasks = written["get_state"]["get_tasks"].as_object_mut().unwrap();
        assert_eq!(tasks.remove("completed_tasks"), Some(serde_json::json!([])));
        assert_eq!(written, of_protobuf);
    }

    #[test]
    fn lengths_of_any_size() {
        for length in [0, 1, 127, 128, 20_000, 3_000_000] {
            let mut out = Vec::new();
            write::<Response>(&mut out, Encoding::Protobuf, |answer| {
                answer.object("get_version", |version| {
                    version.object("version_info", |info| info.string("version", &"v".repeat(length)));
                });
            });
            let message = Response::decode(out.as_slice()).unwrap();
            assert_eq!(message.get_version.unwrap().version_info.version.len(), length);
        }
    }
}
