//! The figures of ours and of another side by side.

use serde_json::json;

/// What a figure counts, and so how it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Seconds of CPU per unit of work.
    Cpu,
    /// KiB.
    Memory,
    /// Seconds.
    Latency,
    /// Units a second: more is better.
    Rate,
    /// Of something else.
    Part,
    /// Told, not compared.
    Size,
}

/// One figure of one of them.
#[derive(Clone, Debug)]
pub struct Figure {
    pub line: String,
    pub name: &'static str,
    pub kind: Kind,
    pub value: f64,
}

/// What one of them did.
#[derive(Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    pub fn add(&mut self, line: &str, name: &'static str, kind: Kind, value: f64) {
        eprintln!("  {line}, {name}: {}", said(kind, value));
        self.0.push(Figure { line: line.to_owned(), name, kind, value });
    }

    fn get(&self, line: &str, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.line == line && figure.name == name).map(|figure| figure.value)
    }
}

fn said(kind: Kind, value: f64) -> String {
    let seconds = |value: f64| match value {
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
        value => format!("{:.1} us", value * 1e6),
    };
    match kind {
        Kind::Cpu | Kind::Latency => seconds(value),
        Kind::Memory if value >= 10_240.0 => format!("{:.0} MiB", value / 1024.0),
        Kind::Memory => format!("{value:.1} KiB"),
        Kind::Rate => format!("{value:.0}/s"),
        Kind::Part => format!("{value:.3}"),
        Kind::Size => format!("{value:.0}"),
    }
}

/// The table: ours, theirs, and ours as a part of theirs (rates: as a multiple).
pub fn print((our_name, ours): (&str, &Figures), (their_name, theirs): (&str, &Figures)) {
    println!("{:<44} {:<22} {our_name:>12} {their_name:>14} {:>8}", "line", "figure", "ratio");
    for figure in &ours.0 {
        let other = theirs.get(&figure.line, figure.name);
        let ratio = match other {
            Some(other) if figure.kind == Kind::Rate && other > 0.0 => {
                format!("x{:.1}", figure.value / other)
            }
            Some(other) if figure.kind != Kind::Size && other > 0.0 => format!("{:.3}", figure.value / other),
            _ => String::new(),
        };
        let other = other.map_or_else(|| "-".to_owned(), |other| said(figure.kind, other));
        let value = said(figure.kind, figure.value);
        println!("{:<44} {:<22} {value:>12} {other:>14} {ratio:>8}", figure.line, figure.name);
    }
}

/// One JSON line for each figure, for whoever keeps them.
pub fn lines(who: &str, figures: &Figures) -> String {
    let line = |figure: &Figure| {
        let kind = format!("{:?}", figure.kind).to_lowercase();
        json!({ "master": who, "line": figure.line, "figure": figure.name, "kind": kind, "value": figure.value })
    };
    figures.0.iter().map(|figure| format!("{}\n", line(figure))).collect()
}
