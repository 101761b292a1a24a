//! Writes JSON straight into bytes: no tree is built, so a state of 100,000 tasks is one pass.
//!
//! Numbers look as Mesos writes them (rapidjson): doubles in their shortest form and always with a point
//! (`4.0`), integers without. Commas are the writer's business; what is written inside `object` must be
//! fields, inside `array` elements.

/// JSON under way.
#[derive(Debug, Default)]
pub struct Json {
    out: Vec<u8>,
    /// Something precedes on this level, so what comes next needs a comma.
    comma: bool,
}

impl Json {
    pub fn new() -> Json {
        Json::default()
    }

    pub fn with_capacity(bytes: usize) -> Json {
        Json { out: Vec::with_capacity(bytes), comma: false }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn nested(&mut self, open: u8, close: u8, content: impl FnOnce(&mut Json)) {
        self.separate();
        self.out.push(open);
        self.comma = false;
        content(self);
        self.out.push(close);
        self.comma = true;
    }

    pub fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.nested(b'{', b'}', fields);
    }

    pub fn array(&mut self, elements: impl FnOnce(&mut Json)) {
        self.nested(b'[', b']', elements);
    }

    /// A field's name; exactly one value must follow.
    pub fn key(&mut self, name: &str) -> &mut Json {
        self.separate();
        escape(&mut self.out, name);
        self.out.push(b':');
        self.comma = false;
        self
    }

    pub fn string(&mut self, text: &str) {
        self.separate();
        escape(&mut self.out, text);
    }

    /// JSON that is text already.
    pub fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    pub fn bool(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    pub fn int(&mut self, value: i64) {
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// What is no number (NaN, infinite) has no form in JSON and is written as `null`.
    pub fn double(&mut self, value: f64) {
        self.separate();
        double(&mut self.out, value);
    }

    /// Thousandths, as resources keep them, written as the double they stand for.
    pub fn thousandths(&mut self, value: i64) {
        if value % 1000 != 0 {
            return self.double(value as f64 / 1000.0);
        }
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value / 1000).as_bytes());
        self.out.extend_from_slice(b".0");
    }

    pub fn field_object(&mut self, name: &str, fields: impl FnOnce(&mut Json)) {
        self.key(name).object(fields);
    }

    pub fn field_array(&mut self, name: &str, elements: impl FnOnce(&mut Json)) {
        self.key(name).array(elements);
    }

    pub fn field_str(&mut self, name: &str, text: &str) {
        self.key(name).string(text);
    }

    pub fn field_bool(&mut self, name: &str, value: bool) {
        self.key(name).bool(value);
    }

    pub fn field_int(&mut self, name: &str, value: i64) {
        self.key(name).int(value);
    }

    pub fn field_double(&mut self, name: &str, value: f64) {
        self.key(name).double(value);
    }
}

/// Appends a double as rapidjson writes it.
pub fn double(out: &mut Vec<u8>, value: f64) {
    use std::io::Write as _;
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let size = value.abs();
    let start = out.len();
    let written = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
    written.expect("writing to memory does not fail");
    if out[start..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') {
        out.extend_from_slice(b".0");
    }
}

/// Appends a text in quotes.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..index]);
        plain = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_nesting() {
        let mut json = Json::new();
        json.object(|json| {
            json.field_int("a", -1);
            json.field_array("b", |json| {
                json.string("x");
                json.object(|_| {});
                json.bool(true);
            });
            json.field_object("c", |json| json.field_double("d", 4.0));
        });
        assert_eq!(json.finish(), br#"{"a":-1,"b":["x",{},true],"c":{"d":4.0}}"#);
    }

    #[test]
    fn numbers_as_mesos_writes_them() {
        let of = |value| {
            let mut out = Vec::new();
            double(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(0.0), "0.0");
        assert_eq!(of(0.1), "0.1");
        assert_eq!(of(1795378300.968032), "1795378300.968032");
        assert_eq!(of(-3.0), "-3.0");
        assert_eq!(of(1e300), "1e300");
        assert_eq!(of(f64::NAN), "null");
        let mut json = Json::new();
        json.array(|json| [1500, 2000, 1, -500].into_iter().for_each(|n| json.thousandths(n)));
        assert_eq!(json.finish(), b"[1.5,2.0,0.001,-0.5]");
    }

    #[test]
    fn texts_survive() {
        let text = "a\"b\\c\n\u{1}\u{1f}é/</script>";
        let mut json = Json::new();
        json.string(text);
        let bytes = json.finish();
        assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
    }
}
