//! JSON written by hand: values as Mesos spells them, objects and arrays that place their own commas.
//!
//! ```
//! # use mesos::proto::json::text;
//! let mut out = Vec::new();
//! text::object(&mut out, |object| {
//!     object.string("id", "a/b");
//!     object.number("cpus", 4.0);
//!     object.array("ports", |array| array.object(|object| object.unsigned("begin", 31000)));
//! });
//! assert_eq!(out, br#"{"id":"a/b","cpus":4.0,"ports":[{"begin":31000}]}"#);
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::proto::table::Spelling;

/// An object under construction.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

/// An array under construction.
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

/// Appends an object whose fields `fill` writes.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, empty: true });
    out.push(b'}');
}

/// Appends an array whose elements `fill` writes.
pub fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, empty: true });
    out.push(b']');
}

impl Object<'_> {
    /// Writes a key and hands out the place for its value, which the caller must append.
    pub fn value(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub fn string(&mut self, name: &str, value: &str) {
        string(self.value(name), value);
    }

    /// A float: `4.0`, never `4`.
    pub fn number(&mut self, name: &str, value: f64) {
        double(self.value(name), value);
    }

    pub fn signed(&mut self, name: &str, value: i64) {
        signed(self.value(name), value);
    }

    pub fn unsigned(&mut self, name: &str, value: u64) {
        unsigned(self.value(name), value);
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        boolean(self.value(name), value);
    }

    pub fn message<M: prost::Message + prost::Name>(&mut self, name: &str, message: &M, spelling: Spelling) {
        super::write_message(self.value(name), message, spelling);
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.value(name), fill);
    }

    pub fn array(&mut self, name: &str, fill: impl FnOnce(&mut Array<'_>)) {
        array(self.value(name), fill);
    }

    /// The fields of a message, without its braces: as if they were this object's own.
    pub fn fields_of<M: prost::Message + prost::Name>(&mut self, message: &M, spelling: Spelling) {
        let start = self.out.len();
        super::write_message(self.out, message, spelling);
        let is_empty = self.out.len() == start + 2;
        self.out.pop();
        if is_empty || std::mem::replace(&mut self.empty, false) {
            self.out.remove(start);
        } else {
            self.out[start] = b',';
        }
    }
}

impl Array<'_> {
    /// Hands out the place for the next element, which the caller must append.
    pub fn value(&mut self) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        self.out
    }

    pub fn string(&mut self, value: &str) {
        string(self.value(), value);
    }

    pub fn unsigned(&mut self, value: u64) {
        unsigned(self.value(), value);
    }

    pub fn message<M: prost::Message + prost::Name>(&mut self, message: &M, spelling: Spelling) {
        super::write_message(self.value(), message, spelling);
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.value(), fill);
    }

    pub fn array(&mut self, fill: impl FnOnce(&mut Array<'_>)) {
        array(self.value(), fill);
    }
}

/// A string with rapidjson's escapes: quote, backslash and what is below a space; `/` and DEL stay.
pub fn string(out: &mut Vec<u8>, value: &str) {
    out.reserve(value.len() + 2);
    out.push(b'"');
    let mut rest = value.as_bytes();
    while let Some(at) = peculiar(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that must be escaped. Nearly all strings have none, so eight bytes are looked at at once.
fn peculiar(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is zero, and perhaps of some after it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = bytes.as_chunks::<8>();
    let plain = |word: &&[u8; 8]| {
        let word = u64::from_le_bytes(**word);
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let backslash = zeros(word ^ (ONES * u64::from(b'\\')));
        (low | quote | backslash) & HIGH == 0
    };
    let start = 8 * words.iter().take_while(plain).count();
    let found = bytes[start..].iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    found.map(|at| start + at)
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Bytes, as a string of base64.
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn signed(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// The shortest digits that read back the same, laid out as rapidjson does: `4.0`, `0.1`, `1e-7`, `1.5e22`.
///
/// Mesos writes bare `NaN` and `Infinity`, which is not JSON; here they are strings, of which Mesos reads
/// `"Infinity"` and `"-Infinity"` back.
pub fn double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return string(
            out,
            if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            },
        );
    }
    if value == value.trunc() && value.abs() < 9e15 && (value != 0.0 || value.is_sign_positive()) {
        signed(out, value as i64);
        out.extend_from_slice(b".0");
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let digits = buffer.format_finite(value).as_bytes();
    // Without an exponent it looks as rapidjson has it; the two do not agree on when to write one.
    match digits.contains(&b'e') {
        false => out.extend_from_slice(digits),
        true => lay_out(out, digits),
    }
}

/// Takes `-d.ddde-x` apart and places the point where rapidjson has it.
fn lay_out(out: &mut Vec<u8>, scientific: &[u8]) {
    let (negative, rest) = match scientific {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if negative {
        out.push(b'-');
    }
    let e = rest.iter().position(|&byte| byte == b'e').unwrap_or(rest.len());
    let exponent: i32 = std::str::from_utf8(rest.get(e + 1..).unwrap_or_default())
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut digits = [b'0'; 24];
    let mut count = 0;
    for &byte in rest[..e].iter().filter(|byte| byte.is_ascii_digit()).take(digits.len()) {
        digits[count] = byte;
        count += 1;
    }
    let digits = &digits[..count];
    // How many digits stand before the point.
    let point = exponent + 1;
    if (count as i32) <= point && point <= 21 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', point as usize - count));
        out.extend_from_slice(b".0");
    } else if 0 < point && point <= 21 {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    } else if -6 < point && point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', -point as usize));
        out.extend_from_slice(digits);
    } else {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        signed(out, i64::from(exponent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubles(value: f64) -> String {
        let mut out = Vec::new();
        double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_laid_out_like_rapidjsons() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-4.0, "-4.0"),
            (0.1, "0.1"),
            (1234.5678, "1234.5678"),
            (1.5e-5, "0.000015"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (1.5e300, "1.5e300"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (f64::NAN, "\"NaN\""),
        ] {
            assert_eq!(doubles(value), text);
        }
    }

    #[test]
    fn doubles_read_back_the_same() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits ^ (bits >> 29));
            if value.is_finite() {
                assert_eq!(doubles(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn any_string_is_valid_json() {
        let all: String = (0_u32..0x3000).filter_map(char::from_u32).collect();
        let mut out = Vec::new();
        string(&mut out, &all);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), all);
        out.clear();
        string(&mut out, "a/\"\\\u{1f}\u{8}\u{7f}\n");
        assert_eq!(out, b"\"a/\\\"\\\\\\u001F\\b\x7f\\n\"");
    }

    #[test]
    fn fields_of_a_message_join_an_object() {
        let id = crate::proto::TaskId::from("t");
        for (before, text) in [(false, r#"{"value":"t","z":1}"#), (true, r#"{"a":true,"value":"t","z":1}"#)] {
            let mut out = Vec::new();
            object(&mut out, |object| {
                if before {
                    object.boolean("a", true);
                }
                object.fields_of(&crate::proto::Labels::default(), Spelling::V0);
                object.fields_of(&id, Spelling::V0);
                object.unsigned("z", 1);
            });
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
