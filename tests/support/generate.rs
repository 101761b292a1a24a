//! Protobuf that nobody wrote: well formed after its table, speaking of things that exist or nearly do, with
//! values at every edge. Used by real processes under test, and by tests beside the cores.

use mesos::proto::table::{Enum, Field, Kind, Label, Message as Table};
use prost::encoding::{WireType, encode_key, encode_varint};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _};
use rand_chacha::ChaCha8Rng;

/// What is known of a cluster, to speak of things that exist.
pub struct Names {
    pub frameworks: Vec<String>,
    pub agents: Vec<String>,
    pub offers: Vec<String>,
    pub executors: Vec<String>,
    pub tasks: Vec<String>,
    pub pids: Vec<String>,
}

pub struct Generator<'a> {
    pub random: ChaCha8Rng,
    pub names: &'a Names,
}

impl Generator<'_> {
    pub fn message(&mut self, table: &Table, depth: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for field in table.fields {
            let count = match field.label {
                Label::Required => 1,
                Label::Optional if depth == 0 && matches!(field.kind, Kind::Message(_)) => 0,
                Label::Optional => usize::from(self.random.random_bool(0.6)),
                Label::Repeated | Label::Map if depth == 0 => 0,
                Label::Repeated | Label::Map => self.random.random_range(0..3),
            };
            for _ in 0..count {
                self.field(table, field, depth, &mut out);
            }
        }
        out
    }

    fn field(&mut self, table: &Table, field: &Field, depth: usize, out: &mut Vec<u8>) {
        let number = field.number;
        let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        };
        match field.kind {
            Kind::Message(inner) => {
                let inner = self.message(inner, depth.saturating_sub(1));
                bytes(&inner, out);
            }
            Kind::String => {
                let text = self.text(table.name, field.names[1]);
                bytes(text.as_bytes(), out);
            }
            Kind::Bytes => {
                let length = *[16, 16, 16, 0, 1, 15, 1000].choose(&mut self.random).expect("some");
                let mut value = vec![0; length];
                self.random.fill_bytes(&mut value);
                bytes(&value, out);
            }
            Kind::Double => {
                let value = self.double();
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
                encode_key(number, WireType::ThirtyTwoBit, out);
                out.extend_from_slice(&(self.double() as f32).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 => {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&self.integer().to_le_bytes());
            }
            Kind::Enum(values) => {
                let value = self.enumerated(values);
                encode_key(number, WireType::Varint, out);
                encode_varint(i64::from(value) as u64, out);
            }
            Kind::Bool => {
                encode_key(number, WireType::Varint, out);
                encode_varint(u64::from(self.random.random_bool(0.5)), out);
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => {
                encode_key(number, WireType::Varint, out);
                encode_varint(self.integer(), out);
            }
        }
    }

    /// An id that exists where one is meant, mostly; else what a name may or may not be.
    fn text(&mut self, of: &str, field: &str) -> String {
        let known = match of.rsplit('.').next().unwrap_or_default() {
            "FrameworkID" => &self.names.frameworks,
            "SlaveID" | "AgentID" => &self.names.agents,
            "OfferID" => &self.names.offers,
            "ExecutorID" => &self.names.executors,
            "TaskID" => &self.names.tasks,
            _ if field == "pid" => &self.names.pids,
            _ => &Vec::new(),
        };
        if self.random.random_bool(0.8)
            && let Some(name) = known.choose(&mut self.random)
        {
            return name.clone();
        }
        if self.random.random_bool(0.8) {
            return (*["*", "*", "cpus", "mem", "ports", "x", "true"]
                .choose(&mut self.random)
                .expect("some"))
            .to_owned();
        }
        let texts = [
            "*",
            "*",
            "*",
            "cpus",
            "cpus",
            "mem",
            "disk",
            "ports",
            "gpus",
            "web",
            "a/b",
            "x",
            "new",
            "",
            "..",
            "a/../b",
            "\0",
            "sleep 1",
            "true",
            "root",
            "127.0.0.1",
            "master@127.0.0.1:1",
            "1.11.0",
            "\u{1F600}",
            "/tmp/x",
            "http://127.0.0.1:1/x",
        ];
        (*texts.choose(&mut self.random).expect("some")).to_owned()
    }

    fn double(&mut self) -> f64 {
        if self.random.random_bool(0.8) {
            return *[0.1, 0.5, 1.0].choose(&mut self.random).expect("some");
        }
        let values = [
            0.0,
            1.0,
            0.1,
            0.5,
            2.0,
            32.0,
            100.0,
            -1.0,
            0.0001,
            1e15,
            1e308,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
        ];
        *values.choose(&mut self.random).expect("some")
    }

    fn integer(&mut self) -> u64 {
        if self.random.random_bool(0.7) {
            return *[1, 31_000, 31_001, 1_000_000_000].choose(&mut self.random).expect("some");
        }
        let values = [
            0,
            1,
            2,
            31_000,
            31_001,
            32_000,
            65_535,
            1 << 31,
            u64::MAX,
            i64::MAX as u64,
            1 << 63,
            1_000_000_000,
        ];
        *values.choose(&mut self.random).expect("some")
    }

    fn enumerated(&mut self, of: &Enum) -> i32 {
        if self.random.random_bool(0.03) {
            return *[-1, 77, i32::MAX, i32::MIN].choose(&mut self.random).expect("some");
        }
        of.values.choose(&mut self.random).map_or(0, |value| value.number)
    }
}
