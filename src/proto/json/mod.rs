//! Protobuf to JSON and back, as Mesos 1.11 writes and reads it, for every message by its table.
//!
//! Both ways go over the wire bytes: `write` walks what prost encoded, `read` turns JSON into wire bytes as it
//! streams by and lets prost decode those. `text` has the writers with which views build JSON by hand and embed
//! messages in it.
//!
//! Source: stout `protobuf.hpp`, `jsonify.hpp`, `json.hpp` 1.11.

mod read;
pub mod text;
mod write;

pub use read::{JsonError, from_json, from_json_array};
pub use text::{Array, Object};

use super::table::{self, Spelling};

/// A message as JSON, on one line.
pub fn to_json<M: prost::Message + prost::Name>(message: &M, spelling: Spelling) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, message, spelling);
    out
}

/// An encoded message as JSON, without decoding it.
pub fn of_wire<M: prost::Name>(bytes: &[u8], spelling: Spelling) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    write::message(&mut out, table::of::<M>(), bytes, spelling);
    out
}

/// Appends a message as a JSON object.
pub fn write_message<M: prost::Message + prost::Name>(out: &mut Vec<u8>, message: &M, spelling: Spelling) {
    write::message(out, table::of::<M>(), &message.encode_to_vec(), spelling);
}

#[cfg(test)]
mod tests;
