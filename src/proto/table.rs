//! What a message looks like, for code that walks any of them (`json`, `check`).

use std::cell::RefCell;

use rustc_hash::FxHashMap;

/// A message: its full name and its fields in the order of their declaration.
#[derive(Debug)]
pub struct Message {
    pub name: &'static str,
    /// Bytes that the decoded message takes, without what it points to.
    pub size: usize,
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
    use std::any::type_name;
    thread_local! {
        // `full_name` allocates, and this is asked for every message.
        static KNOWN: RefCell<FxHashMap<&'static str, &'static Message>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        *known.entry(type_name::<M>()).or_insert_with(|| {
            let name = M::full_name();
            super::tables::ALL
                .binary_search_by(|table| table.name.cmp(&name))
                .map(|index| super::tables::ALL[index])
                .expect("tools/protogen writes a table for every message")
        })
    })
}

impl Message {
    /// The place of field `number`, looked for from `hint` on: writers go through fields in a steady order, so
    /// the field after the last one is nearly always right.
    pub fn index_of(&self, number: u32, hint: usize) -> Option<usize> {
        let (before, after) = self.fields.split_at(hint.min(self.fields.len()));
        let found = after.iter().position(|field| field.number == number).map(|index| index + before.len());
        found.or_else(|| before.iter().position(|field| field.number == number))
    }
}

impl Enum {
    /// The name of `number`; `None` if this enum, or this spelling of it, lacks it.
    pub fn name_of(&self, number: i32, spelling: Spelling) -> Option<&'static str> {
        let direct = usize::try_from(number).ok().and_then(|index| self.values.get(index));
        let value = direct
            .filter(|value| value.number == number)
            .or_else(|| self.values.iter().find(|value| value.number == number))?;
        Some(value.names[spelling as usize]).filter(|name| !name.is_empty())
    }

    pub fn number_of(&self, name: &str, spelling: Spelling) -> Option<i32> {
        let value = self.values.iter().find(|value| value.names[spelling as usize] == name)?;
        Some(value.number).filter(|_| !name.is_empty())
    }

    pub fn contains(&self, number: i32) -> bool {
        self.values.iter().any(|value| value.number == number)
    }
}
