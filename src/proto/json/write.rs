//! Wire bytes to JSON.

use smallvec::{SmallVec, smallvec};

use super::text;
use crate::proto::table::{Default, Field, Kind, Label, Message, Spelling};
use crate::proto::wire::{Reader, Value};

/// Writes a message that prost encoded. Fields come in the order of their declaration; unset ones are left out
/// but for those with a declared default; so are enum numbers that have no name in this spelling.
pub fn message(out: &mut Vec<u8>, table: &Message, bytes: &[u8], spelling: Spelling) {
    // Where on the wire each field is: prost writes the elements of one together.
    let mut spans: SmallVec<[(usize, usize); 32]> = smallvec![(0, 0); table.fields.len()];
    let mut reader = Reader::new(bytes);
    let mut hint = 0;
    let mut start = 0;
    while let Ok(Some((number, _))) = reader.field() {
        let end = reader.position();
        if let Some(index) = table.index_of(number, hint) {
            hint = index;
            let span = &mut spans[index];
            *span = (if span.1 == 0 { start } else { span.0 }, end);
        }
        start = end;
    }
    out.push(b'{');
    let open = out.len();
    for (field, (start, end)) in table.fields.iter().zip(spans) {
        let name = field.names[spelling as usize];
        let is_set = end > start;
        if name.is_empty() || !is_set && matches!(field.default, Default::None) {
            continue;
        }
        let before = out.len();
        if before > open {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        let written = match (field.label, is_set) {
            (Label::Map, true) => map(out, field, &bytes[start..end], spelling),
            (Label::Repeated, true) => repeated(out, field, &bytes[start..end], spelling),
            (_, true) => last(field, &bytes[start..end]).is_some_and(|v| value(out, field.kind, v, spelling)),
            (_, false) => default(out, field, spelling),
        };
        if !written {
            out.truncate(before);
        }
    }
    out.push(b'}');
}

fn repeated(out: &mut Vec<u8>, field: &Field, bytes: &[u8], spelling: Spelling) -> bool {
    out.push(b'[');
    let open = out.len();
    each(field, bytes, |element| {
        let before = out.len();
        if before > open {
            out.push(b',');
        }
        if !value(out, field.kind, element, spelling) {
            out.truncate(before);
        }
    });
    out.push(b']');
    true
}

fn map(out: &mut Vec<u8>, field: &Field, bytes: &[u8], spelling: Spelling) -> bool {
    let Kind::Message(entry) = field.kind else { return false };
    let [key_field, value_field] = entry.fields else { return false };
    out.push(b'{');
    let open = out.len();
    each(field, bytes, |element| {
        let Value::Bytes(bytes) = element else { return };
        let (mut key, mut held) = (None, None);
        let mut reader = Reader::new(bytes);
        while let Ok(Some((number, value))) = reader.field() {
            *(if number == 1 { &mut key } else { &mut held }) = Some(value);
        }
        let before = out.len();
        if before > open {
            out.push(b',');
        }
        match (key, key_field.kind) {
            (Some(Value::Bytes(_)), _) | (None, Kind::String) => {
                value(out, key_field.kind, key.unwrap_or(Value::Bytes(&[])), spelling);
            }
            (key, kind) => {
                out.push(b'"');
                value(out, kind, key.unwrap_or(Value::Varint(0)), spelling);
                out.push(b'"');
            }
        }
        out.push(b':');
        let held = held.unwrap_or(match value_field.kind {
            Kind::String | Kind::Bytes | Kind::Message(_) => Value::Bytes(&[]),
            Kind::Double => Value::Fixed64(0),
            Kind::Float => Value::Fixed32(0),
            _ => Value::Varint(0),
        });
        if !value(out, value_field.kind, held, spelling) {
            out.truncate(before);
        }
    });
    out.push(b'}');
    true
}

fn last<'a>(field: &Field, bytes: &'a [u8]) -> Option<Value<'a>> {
    let mut last = None;
    each(field, bytes, |value| last = Some(value));
    last
}

/// Every value of `field` in `bytes`, those of packed ones singly.
fn each<'a>(field: &Field, bytes: &'a [u8], mut visit: impl FnMut(Value<'a>)) {
    let lengthy = matches!(field.kind, Kind::String | Kind::Bytes | Kind::Message(_));
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        match value {
            _ if number != field.number => {}
            Value::Bytes(packed) if !lengthy => {
                let mut packed = Reader::new(packed);
                while !packed.is_done() {
                    let Ok(value) = packed.packed(field.kind) else { return };
                    visit(value);
                }
            }
            value => visit(value),
        }
    }
}

/// Writes one value; false, with nothing complete written, if it has no JSON.
fn value(out: &mut Vec<u8>, kind: Kind, value: Value<'_>, spelling: Spelling) -> bool {
    match (kind, value) {
        (Kind::Message(table), Value::Bytes(bytes)) => message(out, table, bytes, spelling),
        (Kind::String, Value::Bytes(bytes)) => text::string(out, &String::from_utf8_lossy(bytes)),
        (Kind::Bytes, Value::Bytes(bytes)) => text::base64(out, bytes),
        (Kind::Enum(of), Value::Varint(number)) => match of.name_of(number as i32, spelling) {
            Some(name) => text::string(out, name),
            None => return false,
        },
        (Kind::Bool, Value::Varint(value)) => text::boolean(out, value != 0),
        (Kind::Int32 | Kind::Int64, Value::Varint(value)) => text::signed(out, value as i64),
        (Kind::Uint32 | Kind::Uint64, Value::Varint(value)) => text::unsigned(out, value),
        (Kind::Sint32 | Kind::Sint64, Value::Varint(value)) => {
            text::signed(out, (value >> 1) as i64 ^ -((value & 1) as i64));
        }
        (Kind::Double, Value::Fixed64(bits)) => text::double(out, f64::from_bits(bits)),
        (Kind::Float, Value::Fixed32(bits)) => text::double(out, f64::from(f32::from_bits(bits))),
        (Kind::Fixed64, Value::Fixed64(value)) => text::unsigned(out, value),
        (Kind::Fixed32, Value::Fixed32(value)) => text::unsigned(out, u64::from(value)),
        (Kind::Sfixed64, Value::Fixed64(value)) => text::signed(out, value as i64),
        (Kind::Sfixed32, Value::Fixed32(value)) => text::signed(out, i64::from(value as i32)),
        _ => return false,
    }
    true
}

fn default(out: &mut Vec<u8>, field: &Field, spelling: Spelling) -> bool {
    match (field.default, field.kind) {
        (Default::None, _) => return false,
        (Default::Bool(value), _) => text::boolean(out, value),
        (Default::Int(value), _) => text::signed(out, value),
        (Default::Float(value), _) => text::double(out, value),
        (Default::Text(value), _) => text::string(out, value),
        (Default::Enum(number), Kind::Enum(of)) => match of.name_of(number, spelling) {
            Some(name) => text::string(out, name),
            None => return false,
        },
        (Default::Enum(_), _) => return false,
    }
    true
}
