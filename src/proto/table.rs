//! What a message looks like, for code that walks any of them (`json`, `check`).

/// A message: its full name and its fields in the order of their declaration.
#[derive(Debug)]
pub struct Message {
    pub name: &'static str,
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// The name in v0 and in v1, indexed by `Spelling`; empty where the version has no such field.
    pub names: [&'static str; 2],
    pub kind: Kind,
    pub label: Label,
    pub default: Default,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Message(&'static Message),
    Enum(&'static Enum),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Optional,
    Required,
    Repeated,
    /// Repeated entries of a key (field 1) and a value (field 2); a JSON object.
    Map,
}

/// A declared default, which Mesos's JSON shows when the field is unset.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Enum(i32),
    Text(&'static str),
}

#[derive(Debug)]
pub struct Enum {
    pub values: &'static [EnumValue],
}

#[derive(Debug)]
pub struct EnumValue {
    pub number: i32,
    pub names: [&'static str; 2],
}

/// Which of the two names of a thing is meant: `slave_id` (v0) or `agent_id` (v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    V0 = 0,
    V1 = 1,
}

/// The table of `M`.
pub fn of<M: prost::Name>() -> &'static Message {
    let name = M::full_name();
    super::tables::ALL
        .binary_search_by(|table| table.name.cmp(&name))
        .map(|index| super::tables::ALL[index])
        .expect("tools/protogen writes a table for every message")
}
