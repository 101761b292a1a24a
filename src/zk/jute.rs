//! Jute: how ZooKeeper writes numbers, texts, buffers and vectors.
//!
//! Numbers are big-endian; a length of -1 is "none". What is read comes from strangers: a length that lies is an
//! error, and nothing is allocated for what is not there.
//!
//! Source: `BinaryInputArchive`, `BinaryOutputArchive`, zookeeper-jute 3.8.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it ends too soon")]
    Short,
    #[error("a length is negative")]
    Negative,
    #[error("a text is not UTF-8")]
    NotText,
    #[error("a truth value is neither 0 nor 1")]
    NotTruth,
    #[error("there is more than was announced")]
    Long,
    #[error("an operation of a multi is unknown")]
    Operation,
}

/// Reads from the front of bytes; buffers are parts of them, not copies.
#[derive(Debug)]
pub struct Reader(Bytes);

impl Reader {
    pub fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn int(&mut self) -> Result<i32, Malformed> {
        self.0.try_get_i32().map_err(|_| Malformed::Short)
    }

    pub fn long(&mut self) -> Result<i64, Malformed> {
        self.0.try_get_i64().map_err(|_| Malformed::Short)
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.0.try_get_u8().map_err(|_| Malformed::Short)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::NotTruth),
        }
    }

    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed::Negative),
        }
    }

    pub fn buffer(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.length()? else { return Ok(None) };
        if length > self.0.len() {
            return Err(Malformed::Short);
        }
        Ok(Some(self.0.split_to(length)))
    }

    /// A text; none is an empty one.
    pub fn string(&mut self) -> Result<Arc<str>, Malformed> {
        let bytes = self.buffer()?.unwrap_or_default();
        std::str::from_utf8(&bytes).map(Arc::from).map_err(|_| Malformed::NotText)
    }

    /// Elements, each of which takes a byte at least; none is an empty vector.
    pub fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Reader) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.length()?.unwrap_or_default();
        if count > self.0.len() {
            return Err(Malformed::Short);
        }
        (0..count).map(|_| element(self)).collect()
    }

    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}

/// Writes to the end of bytes.
#[derive(Debug, Default)]
pub struct Writer(BytesMut);

impl Writer {
    /// With room for the length of a frame.
    pub fn frame() -> Writer {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_i32(0);
        Writer(bytes)
    }

    /// The frame, its length filled in.
    pub fn framed(mut self) -> Bytes {
        let length = i32::try_from(self.0.len() - 4).expect("an answer is far from 2 GiB");
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0.freeze()
    }

    pub fn done(self) -> Bytes {
        self.0.freeze()
    }

    pub fn int(&mut self, value: i32) -> &mut Writer {
        self.0.put_i32(value);
        self
    }

    pub fn long(&mut self, value: i64) -> &mut Writer {
        self.0.put_i64(value);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Writer {
        self.0.put_u8(u8::from(value));
        self
    }

    pub fn buffer(&mut self, value: Option<&[u8]>) -> &mut Writer {
        match value {
            Some(bytes) => {
                self.count(bytes.len());
                self.0.extend_from_slice(bytes);
            }
            None => drop(self.int(-1)),
        }
        self
    }

    pub fn string(&mut self, value: &str) -> &mut Writer {
        self.buffer(Some(value.as_bytes()))
    }

    /// Of what follows.
    pub fn count(&mut self, value: usize) -> &mut Writer {
        self.int(i32::try_from(value).expect("an answer is far from 2 GiB"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::default();
        writer.int(-7).long(1 << 40).bool(true).buffer(None).buffer(Some(b"ab")).string("ü").count(2);
        writer.int(1).int(2);
        let mut reader = Reader::new(writer.done());
        assert_eq!(reader.int(), Ok(-7));
        assert_eq!(reader.long(), Ok(1 << 40));
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(reader.string().as_deref(), Ok("ü"));
        assert_eq!(reader.vector(Reader::int), Ok(vec![1, 2]));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(Writer::frame().framed().as_ref(), [0, 0, 0, 0]);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let read = |bytes: &[u8]| Reader::new(Bytes::copy_from_slice(bytes));
        assert_eq!(read(&[0, 0, 0]).int(), Err(Malformed::Short));
        assert_eq!(read(&[0x7f, 255, 255, 255, 1]).buffer(), Err(Malformed::Short));
        assert_eq!(read(&[255, 255, 255, 254]).buffer(), Err(Malformed::Negative));
        assert_eq!(read(&[0x7f, 255, 255, 255, 1]).vector(Reader::int), Err(Malformed::Short));
        assert_eq!(read(&[0, 0, 0, 1, 255]).string(), Err(Malformed::NotText));
        assert_eq!(read(&[2]).bool(), Err(Malformed::NotTruth));
        assert_eq!(read(&[2]).end(), Err(Malformed::Long));
    }
}
