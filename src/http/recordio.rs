//! RecordIO: records in a stream, each behind its length in decimal and a newline (`5\nhello`).
//!
//! Source: stout/recordio.hpp 1.11; docs/scheduler-http-api.md, "RecordIO response format".

use bytes::{Bytes, BytesMut};

/// Digits that a length may have; the largest 64-bit one has 20.
const LENGTH_DIGITS: usize = 20;

/// A record with its length in front.
pub fn encode(record: &[u8]) -> Bytes {
    let mut digits = itoa::Buffer::new();
    let length = digits.format(record.len());
    let mut out = BytesMut::with_capacity(length.len() + 1 + record.len());
    out.extend_from_slice(length.as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(record);
    out.freeze()
}

/// As `encode`, in the same buffer: for large records.
pub fn enclose(mut record: Vec<u8>) -> Vec<u8> {
    let mut digits = itoa::Buffer::new();
    let length = digits.format(record.len()).bytes().chain([b'\n']);
    record.splice(..0, length);
    record
}

/// The stream is not RecordIO, or not within bounds. Where the next record starts is then unknown.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("Failed to decode length '{0}': expected a decimal number")]
    Length(String),
    #[error("Failed to decode record: its length {length} is over the limit of {limit} bytes")]
    TooLarge { length: usize, limit: usize },
    #[error("Decoder is in a FAILED state")]
    Failed,
}

/// Takes a stream apart, in whatever pieces it comes.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Length of the record under way, once known.
    length: Option<usize>,
    limit: usize,
    failed: bool,
}

impl Decoder {
    /// Records above `limit` bytes are refused before they are read.
    pub fn new(limit: usize) -> Decoder {
        Decoder { buffer: BytesMut::new(), length: None, limit, failed: false }
    }

    /// Adds a piece of the stream; [`Decoder::next`] then gives the records it completes.
    pub fn push(&mut self, piece: &[u8]) {
        if !self.failed {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next whole record, if there is one. An error is final.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        if self.failed {
            return Err(RecordError::Failed);
        }
        let record = self.take();
        if record.is_err() {
            self.failed = true;
            self.buffer = BytesMut::new();
        }
        record
    }

    fn take(&mut self) -> Result<Option<Bytes>, RecordError> {
        if self.length.is_none() {
            self.length = self.take_length()?;
        }
        match self.length {
            Some(length) if self.buffer.len() >= length => {
                self.length = None;
                Ok(Some(self.buffer.split_to(length).freeze()))
            }
            _ => Ok(None),
        }
    }

    fn take_length(&mut self) -> Result<Option<usize>, RecordError> {
        let head = &self.buffer[..self.buffer.len().min(LENGTH_DIGITS + 1)];
        let bad = |text: &[u8]| RecordError::Length(String::from_utf8_lossy(text).into_owned());
        let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
            let hopeless = head.len() > LENGTH_DIGITS || !head.iter().all(u8::is_ascii_digit);
            return if hopeless { Err(bad(head)) } else { Ok(None) };
        };
        let digits = &head[..end];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(bad(digits));
        }
        let length = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or_else(|| bad(digits))?;
        if length > self.limit {
            return Err(RecordError::TooLarge { length, limit: self.limit });
        }
        let _ = self.buffer.split_to(end + 1);
        Ok(Some(length))
    }

    /// Whether the stream may end here: between two records.
    pub fn is_between_records(&self) -> bool {
        self.length.is_none() && self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Bytes>, RecordError> {
        std::iter::from_fn(|| decoder.next_record().transpose()).collect()
    }

    #[test]
    fn reads_what_it_writes_in_any_pieces() {
        let records: [&[u8]; 4] = [b"hello", b"", b"6\nworld!", &[0, 255]];
        assert!(records.iter().all(|record| encode(record) == enclose(record.to_vec())));
        let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
        for size in 1..=stream.len() {
            let mut decoder = Decoder::new(100);
            let mut out = Vec::new();
            for piece in stream.chunks(size) {
                decoder.push(piece);
                out.extend(all(&mut decoder).unwrap());
            }
            assert_eq!(out, records);
            assert!(decoder.is_between_records());
        }
    }

    #[test]
    fn lies_are_errors_and_final() {
        for stream in [
            "x\n",
            "-1\n",
            "+5\nhello",
            " 5\nhello",
            "5 \nhello",
            "\n",
            "1e3\n",
            "0x5\n",
            "99999999999999999999\n",
            "{\"a\":1}",
        ] {
            let mut decoder = Decoder::new(100);
            decoder.push(stream.as_bytes());
            assert!(matches!(decoder.next_record(), Err(RecordError::Length(_))), "{stream}");
            decoder.push(b"5\nhello");
            assert_eq!(decoder.next_record(), Err(RecordError::Failed));
        }
    }

    #[test]
    fn large_records_are_refused_before_they_come() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"101\n");
        assert_eq!(decoder.next_record(), Err(RecordError::TooLarge { length: 101, limit: 100 }));
    }

    #[test]
    fn a_cut_record_is_no_record() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"5\nhell");
        assert_eq!(decoder.next_record(), Ok(None));
        assert!(!decoder.is_between_records());
    }
}
