//! Tables for people and documents for programs.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table, presets,
};
use serde_json::Value;

use super::args::Format;
use super::error::Error;
use super::units::harmless;

/// Blanks between two columns.
const GAP: u16 = 2;

/// Columns of at most so many letters are not cut.
const SHORT: u16 = 12;

/// How to write, settled once for a command.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: Format,
    header: bool,
    /// Letters of a line; none: lines may be as long as they like.
    width: Option<u16>,
    colour: bool,
}

/// One column of a table.
pub struct Column<'a> {
    title: &'static str,
    /// Only shown with `-o wide`.
    wide: bool,
    right: bool,
    /// Coloured by what it says.
    tinted: bool,
    cell: Box<dyn Fn(&Value) -> String + 'a>,
}

impl<'a> Column<'a> {
    pub fn new(title: &'static str, cell: impl Fn(&Value) -> String + 'a) -> Column<'a> {
        Column { title, wide: false, right: false, tinted: false, cell: Box::new(cell) }
    }

    /// Only shown with `-o wide`.
    pub fn wide(self) -> Column<'a> {
        Column { wide: true, ..self }
    }

    /// Numbers stand on the right.
    pub fn right(self) -> Column<'a> {
        Column { right: true, ..self }
    }

    /// Coloured by what it says.
    pub fn tinted(self) -> Column<'a> {
        Column { tinted: true, ..self }
    }
}

impl Output {
    pub fn of(format: Format, no_header: bool) -> Output {
        let terminal = std::io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width =
            if terminal { crossterm::terminal::size().ok().map(|(width, _)| width.max(20)) } else { None };
        Output { format, header: !no_header, width, colour: terminal && !plain }
    }

    /// Whether a table is wanted, and no document.
    pub fn for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Items as a table, as they are, or by their names.
    pub fn list(
        &self,
        columns: &[Column<'_>],
        name: fn(&Value) -> String,
        list: &[Value],
    ) -> Result<(), Error> {
        match self.format {
            Format::Table | Format::Wide => line(&self.table(columns, list)),
            Format::Json | Format::Yaml => self.document(&list),
            Format::Name => list.iter().try_for_each(|item| line(&harmless(&name(item)))),
        }
    }

    /// JSON or YAML; JSON also where a table was asked of what is none.
    pub fn document(&self, value: &impl serde::Serialize) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("Cannot write this: {error}."));
        let text = match self.format {
            Format::Yaml => yaml_serde::to_string(value).map_err(|error| failed(&error))?,
            _ => serde_json::to_string_pretty(value).map_err(|error| failed(&error))?,
        };
        line(text.trim_end())
    }

    /// Names and values, one pair a line; documents have them as `value` does.
    pub fn pairs(&self, pairs: &[(String, String)], value: &Value) -> Result<(), Error> {
        match self.format {
            Format::Table | Format::Wide => {
                let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
                let lines = pairs.iter().map(|(name, value)| format!("{name:width$}  {}", harmless(value)));
                lines.into_iter().try_for_each(|text| line(text.trim_end()))
            }
            Format::Json | Format::Yaml => self.document(value),
            Format::Name => pairs.iter().try_for_each(|(name, _)| line(&harmless(name))),
        }
    }

    /// The text of a table, without the end of its last line.
    pub fn table(&self, columns: &[Column<'_>], list: &[Value]) -> String {
        let wide = self.format == Format::Wide;
        let columns: Vec<&Column<'_>> = columns.iter().filter(|column| wide || !column.wide).collect();
        let mut table = self.build(&columns, list, false);
        if let Some(width) = self.width.filter(|_| !wide) {
            if natural_width(&table) > usize::from(width) {
                table = self.build(&columns, list, true);
            }
            fit(&mut table, width);
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn build(&self, columns: &[&Column<'_>], list: &[Value], short: bool) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_truncation_indicator("…");
        table.set_content_arrangement(ContentArrangement::Disabled);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let one_line = |cells: Vec<Cell>| {
            let mut row = Row::from(cells);
            row.max_height(1);
            row
        };
        if self.header {
            table.set_header(one_line(columns.iter().map(|column| self.head(column)).collect()));
        }
        for item in list {
            table.add_row(one_line(columns.iter().map(|column| self.cell(column, item, short)).collect()));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        table
    }

    fn head(&self, column: &Column<'_>) -> Cell {
        let cell = Cell::new(column.title).set_alignment(alignment(column));
        if self.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    fn cell(&self, column: &Column<'_>, item: &Value, short: bool) -> Cell {
        let text = harmless(&(column.cell)(item));
        let text = if short { short_id(text) } else { text };
        let colour = if self.colour && column.tinted { tint(&text) } else { None };
        let cell = Cell::new(text).set_alignment(alignment(column));
        colour.map_or(cell.clone(), |colour| cell.fg(colour))
    }
}

fn natural_width(table: &Table) -> usize {
    table.column_max_content_widths().iter().map(|width| usize::from(width + GAP)).sum()
}

/// Cuts long columns; short ones stay whole as long as long ones have some room left.
fn fit(table: &mut Table, width: u16) {
    let widths = table.column_max_content_widths();
    let kept = |width: u16| if width <= SHORT { width } else { SHORT };
    let room = widths.iter().map(|width| kept(*width) + GAP).sum::<u16>() <= width;
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for (column, _) in table.column_iter_mut().zip(&widths).filter(|(_, width)| room && **width <= SHORT) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// `…-S0` of an agent's id: what tells it from others and is enough to name it.
fn short_id(text: String) -> String {
    const UUID: usize = 36;
    match text.get(..UUID).zip(text.get(UUID..)) {
        Some((uuid, tail)) if tail.starts_with('-') && uuid::Uuid::try_parse(uuid).is_ok() => {
            format!("…{tail}")
        }
        _ => text,
    }
}

fn alignment(column: &Column<'_>) -> CellAlignment {
    if column.right { CellAlignment::Right } else { CellAlignment::Left }
}

/// Good is green, bad is red, on its way is yellow, over is grey.
fn tint(text: &str) -> Option<Color> {
    Some(match text {
        "running" | "active" => Color::Green,
        "staging" | "starting" | "killing" | "recovered" | "inactive" | "deactivated" => Color::Yellow,
        "failed" | "lost" | "error" | "gone" | "dropped" | "unreachable" | "disconnected" => Color::Red,
        "finished" | "killed" | "completed" => Color::DarkGrey,
        _ => return None,
    })
}

/// A line to standard output.
pub fn line(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .map_err(|error| Error::printing(&error))
}

/// Bytes to standard output, now.
pub fn raw(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Error::printing(&error))
}

/// A remark beside what was asked for: to standard error.
pub fn remark(text: &str) {
    writeln!(std::io::stderr(), "{}", harmless(text)).ok();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::units::text;
    use super::*;

    fn columns() -> Vec<Column<'static>> {
        vec![
            Column::new("ID", |item| text(item, "id").to_owned()),
            Column::new("STATE", |item| text(item, "state").to_owned()).tinted(),
            Column::new("WHERE", |item| text(item, "where").to_owned()).wide(),
        ]
    }

    fn output(format: Format, header: bool, width: Option<u16>, colour: bool) -> Output {
        Output { format, header, width, colour }
    }

    #[test]
    fn tables_show_what_they_are_asked_for() {
        let list = [json!({"id": "a", "state": "running", "where": "x"}), json!({"id": "bcd\x1b[2J"})];
        let table = output(Format::Table, true, None, false).table(&columns(), &list);
        assert_eq!(table, "ID       STATE\na        running\nbcd\u{fffd}[2J");
        let table = output(Format::Wide, false, None, false).table(&columns(), &list[..1]);
        assert_eq!(table, "a  running  x");
        let coloured = output(Format::Table, false, None, true).table(&columns(), &list[..1]);
        assert!(coloured.contains("\x1b["), "{coloured:?}");
    }

    #[test]
    fn tables_fit_the_terminal() {
        let list = [json!({"id": "x".repeat(200), "state": "running"})];
        let table = output(Format::Table, true, Some(40), false).table(&columns(), &list);
        assert!(table.lines().count() == 2, "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 40), "{table}");
        assert!(table.contains('…') && table.contains("running"), "{table}");
        assert!(table.lines().next().is_some_and(|line| line.ends_with("STATE")), "{table}");
        let agent = [json!({"id": "8029f936-102f-4de9-973c-e8907baef3cc-S0", "state": "running"})];
        let table = output(Format::Table, false, Some(40), false).table(&columns(), &agent);
        assert_eq!(table, "…-S0  running");
        let tiny = output(Format::Table, false, Some(6), false).table(&columns(), &agent);
        assert_eq!(tiny.lines().count(), 1, "{tiny}");
        let wide = output(Format::Wide, true, Some(40), false).table(&columns(), &list);
        assert!(wide.contains(&"x".repeat(200)));
    }
}
