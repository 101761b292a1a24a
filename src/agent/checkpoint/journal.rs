//! Facts as bytes: a line that names the format, then a record for each fact.
//!
//! ```text
//! mesos agent checkpoint 1 <salt> <crc of the line up to here>\n
//! <mark: 4 bytes> <length: u32> <crc of salt, length and message: u32> <message: CheckpointRecord>
//! ```
//!
//! Numbers are little endian. The salt is drawn for each file, so that bytes that a framework chose (the data of
//! a task) are never taken for a record. A crash while the end was being written leaves a torn end, which
//! nobody was told to be durable; anything else that cannot be read is damage.

use prost::Message as _;

use super::Fact;
use crate::proto::check;
use crate::proto::internal::CheckpointRecord;

/// The format that is written. Later ones must still read it.
pub const VERSION: u32 = 1;

const NAME: &str = "mesos agent checkpoint";

/// Where a record begins. Only helps to find the next one behind damage.
const MARK: [u8; 4] = [0xf5, b'F', b'c', 0x0a];

/// Mark, length and sum.
const FRAME: usize = 12;

/// Of all first lines; a longer one is none.
const LINE_MAX: usize = 128;

/// A journal's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub u64);

/// The first line.
pub fn begin(salt: Salt) -> Vec<u8> {
    let line = format!("{NAME} {VERSION} {:016x}", salt.0);
    format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes())).into_bytes()
}

/// Adds a record. Facts that no journal has are left out.
pub fn append(bytes: &mut Vec<u8>, salt: Salt, fact: &Fact) {
    let Some(record) = fact.record() else { return };
    let message = record.encode_to_vec();
    let length = u32::try_from(message.len()).expect("protobuf messages are smaller than 2 GB");
    bytes.extend(MARK);
    bytes.extend(length.to_le_bytes());
    bytes.extend(sum(salt, length, &message).to_le_bytes());
    bytes.extend(message);
}

fn sum(salt: Salt, length: u32, message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.0.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(message);
    hasher.finalize()
}

/// What could be read of a journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub facts: Vec<Fact>,
    /// Places, from byte to byte, that hold no record though records follow.
    pub damaged: Vec<(usize, usize)>,
    /// From here on to the end nothing can be read.
    pub torn: Option<usize>,
}

/// Why nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it does not begin as a checkpoint of an agent does")]
    Foreign,
    #[error("it is of format {0}, and this version reads up to {VERSION}: a later one wrote it")]
    Later(u32),
}

/// Reads all that can be read. A file that ends within its first line has no facts yet.
pub fn read(bytes: &[u8]) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let Some(end) = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        let begins = format!("{NAME} {VERSION} ").into_bytes();
        let common = bytes.len().min(begins.len());
        if bytes.len() >= LINE_MAX || bytes[..common] != begins[..common] {
            return Err(Unreadable::Foreign);
        }
        reading.torn = Some(0).filter(|_| !bytes.is_empty());
        return Ok(reading);
    };
    let salt = first_line(&bytes[..end])?;
    let mut at = end + 1;
    while at < bytes.len() {
        if let Some((fact, next)) = record(bytes, at, salt) {
            reading.facts.push(fact);
            at = next;
            continue;
        }
        match next_record(bytes, at + 1, salt) {
            Some(next) => {
                reading.damaged.push((at, next));
                at = next;
            }
            None => {
                reading.torn = Some(at);
                break;
            }
        }
    }
    Ok(reading)
}

fn first_line(line: &[u8]) -> Result<Salt, Unreadable> {
    let text = std::str::from_utf8(line).map_err(|_| Unreadable::Foreign)?;
    let words = text.strip_prefix(NAME).map(|rest| rest.split_ascii_whitespace());
    let mut words = words.ok_or(Unreadable::Foreign)?;
    let version = words.next().and_then(|word| word.parse::<u32>().ok()).ok_or(Unreadable::Foreign)?;
    let (rest, sum) = text.rsplit_once(' ').ok_or(Unreadable::Foreign)?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(rest.as_bytes())) {
        return Err(Unreadable::Foreign);
    }
    if version != VERSION {
        return Err(Unreadable::Later(version));
    }
    let salt = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    salt.map(Salt).ok_or(Unreadable::Foreign)
}

/// The record that begins here, and where the next one does.
fn record(bytes: &[u8], at: usize, salt: Salt) -> Option<(Fact, usize)> {
    let (mark, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let size = usize::try_from(length).ok()?;
    let message = rest.get(..size)?;
    if *mark != MARK || u32::from_le_bytes(*crc) != sum(salt, length, message) {
        return None;
    }
    let record: CheckpointRecord = check::decode(message).ok()?;
    Some((Fact::of(record)?, at + FRAME + size))
}

/// Where the next record behind damage begins.
fn next_record(bytes: &[u8], from: usize, salt: Salt) -> Option<usize> {
    (from..bytes.len().saturating_sub(FRAME))
        .filter(|at| bytes[*at..].starts_with(&MARK))
        .find(|at| record(bytes, *at, salt).is_some())
}
