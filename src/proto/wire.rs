//! Protobuf's wire format, field by field: what `check` and `json` walk, and what `json` writes.

/// One field off the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group, which no message of ours has: skipped whole.
    Group,
}

/// The bytes are not protobuf; the text says where it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Reads fields from the front of some bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const GROUP: u8 = 3;
const END_GROUP: u8 = 4;
const FIXED32: u8 = 5;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How far into the bytes the next field begins.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next field's number and value; `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.is_done() {
            return Ok(None);
        }
        let (number, wire) = self.key()?;
        let value = match wire {
            GROUP => {
                self.skip_group()?;
                Value::Group
            }
            END_GROUP => return Err(Malformed("a group ends that has not begun")),
            other => self.value(other)?,
        };
        Ok(Some((number, value)))
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed("a field number beyond 32 bits"))?;
        if number == 0 {
            return Err(Malformed("a field number of 0"));
        }
        Ok((number, (key & 7) as u8))
    }

    fn value(&mut self, wire: u8) -> Result<Value<'a>, Malformed> {
        Ok(match wire {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            FIXED32 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            BYTES => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            _ => return Err(Malformed("an unknown wire type")),
        })
    }

    /// Reads on to the end of the group just begun; counts depth, so nesting costs no stack.
    fn skip_group(&mut self) -> Result<(), Malformed> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.key()?.1 {
                GROUP => depth += 1,
                END_GROUP => depth -= 1,
                other => {
                    self.value(other)?;
                }
            }
        }
        Ok(())
    }

    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(Malformed("it ends within a number"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number longer than ten bytes"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        if length > rest.len() {
            return Err(Malformed("it ends within a field"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Malformed("it ends within a field"))
    }

    /// The next element of a packed field, whose elements carry no key.
    pub fn packed(&mut self, kind: super::table::Kind) -> Result<Value<'a>, Malformed> {
        use super::table::Kind;
        self.value(match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
            _ => VARINT,
        })
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_key(out: &mut Vec<u8>, number: u32, value: &Value<'_>) {
    let wire = match value {
        Value::Varint(_) => VARINT,
        Value::Fixed64(_) => FIXED64,
        Value::Fixed32(_) => FIXED32,
        Value::Bytes(_) => BYTES,
        Value::Group => GROUP,
    };
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Appends a whole field.
pub fn put_field(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    put_key(out, number, &value);
    match value {
        Value::Varint(value) => put_varint(out, value),
        Value::Fixed64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Fixed32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Bytes(bytes) => {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Value::Group => {}
    }
}

/// Begins a message whose length is not known yet; `end_message` fills it in.
pub fn begin_message(out: &mut Vec<u8>, number: u32) -> usize {
    put_key(out, number, &Value::Bytes(&[]));
    out.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x00]);
    out.len()
}

/// Writes the length of the message begun at `start`, in five bytes however short it is, which readers take.
pub fn end_message(out: &mut [u8], start: usize) {
    let length = out.len() - start;
    for (index, byte) in out[start - 5..start].iter_mut().enumerate() {
        *byte = ((length >> (7 * index)) & 0x7f) as u8 | if index < 4 { 0x80 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_written() {
        let fields = [
            (1, Value::Varint(u64::MAX)),
            (16, Value::Fixed64(7)),
            (17, Value::Fixed32(8)),
            (536_870_911, Value::Bytes(b"abc")),
        ];
        let mut out = Vec::new();
        for (number, value) in fields {
            put_field(&mut out, number, value);
        }
        let start = begin_message(&mut out, 3);
        out.extend_from_slice(&[8, 1]);
        end_message(&mut out, start);
        let mut reader = Reader::new(&out);
        for field in fields {
            assert_eq!(reader.field(), Ok(Some(field)));
        }
        assert_eq!(reader.field(), Ok(Some((3, Value::Bytes(&[8, 1])))));
        assert_eq!(reader.field(), Ok(None));
    }

    #[test]
    fn broken_bytes_are_errors() {
        for bytes in
            [&[0x08][..], &[0x0a, 5, 1], &[0x09, 1], &[0x00, 1], &[0x0f], &[0x0c], &[0x0b], &[0xff; 12]]
        {
            assert!(Reader::new(bytes).field().is_err(), "{bytes:?}");
        }
        let deep = vec![0x0b; 1_000_000];
        assert!(Reader::new(&deep).field().is_err());
        assert_eq!(Reader::new(&[0x0b, 0x13, 0x14, 0x0c]).field(), Ok(Some((1, Value::Group))));
    }
}
