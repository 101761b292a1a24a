//! JSON to wire bytes, in one streaming pass: nothing of what is not a known field is kept.

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::proto::check::{self, DecodeError};
use crate::proto::table::{self, Field, Kind, Label, Message, Spelling};
use crate::proto::wire::{self, Value};

/// Why some JSON is not the message asked for. Mesos words the two kinds differently in its answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON, or nested more than 127 deep.
    #[error("{0}")]
    Syntax(String),
    /// It is JSON, of something else.
    #[error("{0}")]
    Convert(String),
}

/// Reads a message. Unknown keys are skipped, null is as good as absent, the last of equal keys counts.
pub fn from_json<M>(json: &[u8], spelling: Spelling) -> Result<M, JsonError>
where
    M: prost::Message + prost::Name + Default,
{
    let table = table::of::<M>();
    let mut output = Output::new(spelling);
    read(json, &mut output, |output| Top { table, output })?;
    finish(&output.wire, spelling)
}

/// Reads an array of messages, as flags hold them (`--resources` in its JSON form).
pub fn from_json_array<M>(json: &[u8], spelling: Spelling) -> Result<Vec<M>, JsonError>
where
    M: prost::Message + prost::Name + Default,
{
    let table = table::of::<M>();
    let mut output = Output::new(spelling);
    let mut ends = Vec::new();
    read(json, &mut output, |output| TopArray { table, output, ends: &mut ends })?;
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| finish(&output.wire[start..end], spelling)).collect()
}

/// Runs a seed over all of the input; errors of our own are told from those of the JSON.
fn read<'a, S, F>(json: &[u8], output: &'a mut Output, seed: F) -> Result<(), JsonError>
where
    S: for<'de> DeserializeSeed<'de, Value = ()>,
    F: FnOnce(&'a mut Output) -> S,
{
    let refusal = output.refusal.clone();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    seed(output).deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| {
        match refusal.take() {
            Some(text) => JsonError::Convert(text),
            None => JsonError::Syntax(error.to_string()),
        }
    })
}

fn finish<M>(wire: &[u8], spelling: Spelling) -> Result<M, JsonError>
where
    M: prost::Message + prost::Name + Default,
{
    check::decode_as(wire, spelling).map_err(|error| match error {
        DecodeError::Malformed { reason, .. } => JsonError::Convert(reason),
        missing @ DecodeError::Missing(_) => JsonError::Convert(missing.to_string()),
    })
}

/// Where the message grows, and what was wrong with it in our words (serde would add a position to them).
struct Output {
    wire: Vec<u8>,
    spelling: Spelling,
    refusal: std::rc::Rc<std::cell::Cell<Option<String>>>,
}

impl Output {
    fn new(spelling: Spelling) -> Output {
        Output { wire: Vec::new(), spelling, refusal: Default::default() }
    }

    fn refuse<E: de::Error>(&self, text: String) -> E {
        self.refusal.set(Some(text));
        E::custom("refused")
    }
}

struct Top<'a> {
    table: &'static Message,
    output: &'a mut Output,
}

struct TopArray<'a> {
    table: &'static Message,
    output: &'a mut Output,
    ends: &'a mut Vec<usize>,
}

/// Every other kind of value is refused with one sentence.
macro_rules! expecting {
    ($what:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($what)
        }
    };
    ($what:literal, $($method:ident($type:ty))*) => {
        expecting!($what);
        $(fn $method<E: de::Error>(self, _: $type) -> Result<(), E> {
            Err(self.output.refuse(concat!("Expecting ", $what).into()))
        })*
        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            Err(self.output.refuse(concat!("Expecting ", $what).into()))
        }
    };
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    expecting!("a JSON object", visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str));

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.output.refuse("Expecting a JSON object".into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        object(self.table, self.output, map)
    }
}

impl<'de> DeserializeSeed<'de> for TopArray<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TopArray<'_> {
    type Value = ();

    expecting!("a JSON array", visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str));

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.output.refuse("Expecting a JSON array".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Top { table: self.table, output: &mut *self.output })?.is_some() {
            self.ends.push(self.output.wire.len());
        }
        Ok(())
    }
}

/// Reads the fields of one object and appends them. A key that comes again replaces what it held.
fn object<'de, A>(table: &'static Message, output: &mut Output, mut map: A) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
{
    let mut written: SmallVec<[(usize, usize, usize); 16]> = SmallVec::new();
    let mut dead: Vec<(usize, usize)> = Vec::new();
    while let Some(found) = map.next_key_seed(Key { table, spelling: output.spelling })? {
        let Some(index) = found else {
            map.next_value_seed(Skip)?;
            continue;
        };
        let start = output.wire.len();
        map.next_value_seed(Place { field: &table.fields[index], output: &mut *output })?;
        let end = output.wire.len();
        match written.iter_mut().find(|(written, ..)| *written == index) {
            Some(earlier) => {
                dead.push((earlier.1, earlier.2));
                *earlier = (index, start, end);
            }
            None => written.push((index, start, end)),
        }
    }
    if !dead.is_empty() {
        cut(&mut output.wire, dead);
    }
    Ok(())
}

/// Removes spans, all in one pass: their number is the sender's choice.
fn cut(wire: &mut Vec<u8>, mut spans: Vec<(usize, usize)>) {
    spans.sort_unstable();
    let mut to = spans[0].0;
    for (index, &(_, end)) in spans.iter().enumerate() {
        let next = spans.get(index + 1).map_or(wire.len(), |&(start, _)| start);
        wire.copy_within(end..next, to);
        to += next - end;
    }
    wire.truncate(to);
}

struct Key {
    table: &'static Message,
    spelling: Spelling,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    expecting!("a field's name");

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let spelling = self.spelling as usize;
        Ok(self.table.fields.iter().position(|field| field.names[spelling] == key && !key.is_empty()))
    }
}

/// A value that no field wants. Its depth counts, unlike with `IgnoredAny`.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    expecting!("any JSON");

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Skip)?.is_some() {
            map.next_value_seed(Skip)?;
        }
        Ok(())
    }
}

/// The value of a field, or an element of it.
struct Place<'a> {
    field: &'static Field,
    output: &'a mut Output,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    expecting!("a field's value");

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.put(Value::Varint(u64::from(value))),
            _ => Err(self.unexpected("boolean")),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.number(Number::Whole(i128::from(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Whole(i128::from(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if !matches!(self.field.label, Label::Repeated | Label::Map) {
            return Err(self.unexpected("array"));
        }
        let Place { field, output } = self;
        while elements.next_element_seed(Place { field, output: &mut *output })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(table) = self.field.kind else { return Err(self.unexpected("object")) };
        let Place { field, output } = self;
        if field.label == Label::Map {
            return entries(field, table, output, map);
        }
        let start = wire::begin_message(&mut output.wire, field.number);
        object(table, output, map)?;
        wire::end_message(&mut output.wire, start);
        Ok(())
    }
}

/// A JSON object into a map field: an entry per key.
fn entries<'de, A>(
    field: &Field,
    entry: &'static Message,
    output: &mut Output,
    mut map: A,
) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
{
    let [key, value] = entry.fields else { return Ok(()) };
    loop {
        let before = output.wire.len();
        let start = wire::begin_message(&mut output.wire, field.number);
        if map.next_key_seed(Place { field: key, output: &mut *output })?.is_none() {
            output.wire.truncate(before);
            return Ok(());
        }
        map.next_value_seed(Place { field: value, output: &mut *output })?;
        wire::end_message(&mut output.wire, start);
    }
}

/// A number as JSON has it.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl Place<'_> {
    fn unexpected<E: de::Error>(&self, kind: &str) -> E {
        self.output.refuse(format!("Not expecting a JSON {kind} for field '{}'", self.name()))
    }

    fn name(&self) -> &'static str {
        self.field.names[self.output.spelling as usize]
    }

    fn put<E>(self, value: Value<'_>) -> Result<(), E> {
        wire::put_field(&mut self.output.wire, self.field.number, value);
        Ok(())
    }

    fn number<E: de::Error>(self, number: Number) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                let value = match number {
                    Number::Whole(value) => value as f64,
                    Number::Float(value) => value,
                };
                self.put(Value::Fixed64(value.to_bits()))
            }
            Kind::Float => {
                let value = match number {
                    Number::Whole(value) => value as f32,
                    Number::Float(value) => value as f32,
                };
                self.put(Value::Fixed32(value.to_bits()))
            }
            _ => self.integer(number),
        }
    }

    /// Fractions are cut off, as a cast in C++ does; what does not fit is refused (there it is undefined).
    fn integer<E: de::Error>(self, number: Number) -> Result<(), E> {
        let (least, most) = match self.field.kind {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Kind::Uint32 | Kind::Fixed32 => (0, i128::from(u32::MAX)),
            Kind::Uint64 | Kind::Fixed64 => (0, i128::from(u64::MAX)),
            _ => return Err(self.unexpected("number")),
        };
        let value = match number {
            Number::Whole(value) => value,
            Number::Float(value) => value as i128,
        };
        if !(least..=most).contains(&value) {
            return Err(self.output.refuse(format!("Value out of range for field '{}'", self.name())));
        }
        match self.field.kind {
            Kind::Sint32 | Kind::Sint64 => {
                let value = value as i64;
                self.put(Value::Varint((value << 1 ^ value >> 63) as u64))
            }
            Kind::Fixed32 | Kind::Sfixed32 => self.put(Value::Fixed32(value as u32)),
            Kind::Fixed64 | Kind::Sfixed64 => self.put(Value::Fixed64(value as u64)),
            _ => self.put(Value::Varint(value as u64)),
        }
    }

    fn text<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::String => self.put(Value::Bytes(text.as_bytes())),
            Kind::Bytes => match base64(text) {
                Ok(bytes) => self.put(Value::Bytes(&bytes)),
                Err(reason) => Err(self
                    .output
                    .refuse(format!("Failed to base64 decode bytes field '{}': {reason}", self.name()))),
            },
            Kind::Enum(of) => match of.number_of(text, self.output.spelling) {
                Some(number) => self.put(Value::Varint(i64::from(number) as u64)),
                None if self.field.label == Label::Required => {
                    Err(self.output.refuse(format!("Failed to find enum for '{}'", excerpt(text))))
                }
                None => Ok(()),
            },
            Kind::Message(_) => Err(self.unexpected("string")),
            Kind::Bool => match serde_json::from_str::<bool>(text) {
                Ok(value) => self.put(Value::Varint(u64::from(value))),
                Err(_) => Err(self.not_a("boolean", text)),
            },
            Kind::Double | Kind::Float if text == "Infinity" => self.number(Number::Float(f64::INFINITY)),
            Kind::Double | Kind::Float if text == "-Infinity" => {
                self.number(Number::Float(f64::NEG_INFINITY))
            }
            _ => match number_in(text) {
                Some(number) => self.number(number),
                None => Err(self.not_a("number", text)),
            },
        }
    }

    fn not_a<E: de::Error>(&self, kind: &str, text: &str) -> E {
        let text = excerpt(text);
        self.output.refuse(format!("Failed to parse '{text}' as a JSON {kind} for field '{}'", self.name()))
    }
}

/// What of a sender's text an error repeats.
fn excerpt(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

fn number_in(text: &str) -> Option<Number> {
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    Some(match (number.as_i64(), number.as_u64()) {
        (Some(value), _) => Number::Whole(i128::from(value)),
        (_, Some(value)) => Number::Whole(i128::from(value)),
        _ => Number::Float(number.as_f64()?),
    })
}

/// Standard alphabet; white space anywhere and missing padding are taken, as stout does.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let stripped: String;
    let text = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        stripped = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        &stripped
    } else {
        text
    };
    LENIENT.decode(text).map_err(|error| match error {
        base64::DecodeError::InvalidByte(_, byte) => format!("Invalid character '{}'", byte.escape_ascii()),
        other => other.to_string(),
    })
}
