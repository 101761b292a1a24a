//! `logs` of tasks, `log` of masters and agents, and `files`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ctl::Ctl;
use crate::ctl::args::{Files, Place, Span, Target, Which};
use crate::ctl::client::Request;
use crate::ctl::error::Error;
use crate::ctl::files::Remote;
use crate::ctl::print::{Column, line, raw};
use crate::ctl::units::{number, since, text};

pub fn logs(ctl: &Ctl, which: &Which, file: &str, span: Span) -> Result<(), Error> {
    ctl.of_task(which, file)?.write(span)
}

pub fn log(ctl: &Ctl, target: &Target, span: Span) -> Result<(), Error> {
    let server = ctl.target(target)?;
    let path = if server.is_master() { "/master/log" } else { "/slave/log" };
    let place = Place {
        first: Some(path.to_owned()),
        second: None,
        framework: None,
        on_master: server.is_master(),
        agent: target.agent.clone(),
    };
    let name = server.capital_name();
    ctl.place(&place)?.write(span).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(format!(
            "{name} keeps no log in a file: it needs to be started with --log_dir=DIRECTORY."
        )),
        error => error,
    })
}

pub fn run(ctl: &Ctl, what: Files) -> Result<(), Error> {
    match what {
        Files::Ls { place } if place.first.is_none() && (place.on_master || place.agent.is_some()) => {
            roots(ctl, &place)
        }
        Files::Ls { place } => list(ctl, &ctl.place(&place)?),
        Files::Cat { place } => ctl.place(&place)?.copy(&mut raw, false).map(drop),
        Files::Tail { place, follow, lines } => ctl.place(&place)?.write(Span { follow, lines: Some(lines) }),
        Files::Get { place, to, force } => get(&ctl.place(&place)?, to.as_deref(), force),
    }
}

/// The virtual paths that there are.
fn roots(ctl: &Ctl, place: &Place) -> Result<(), Error> {
    let server = match &place.agent {
        Some(_) => ctl.target(&Target { agent: place.agent.clone() })?,
        None => ctl.master()?,
    };
    let all = server.json(&Request::get("/files/debug"))?;
    let fields = all.as_object().into_iter().flatten();
    let pairs: Vec<(String, String)> =
        fields.map(|(path, real)| (path.clone(), real.as_str().unwrap_or_default().to_owned())).collect();
    ctl.output.pairs(&pairs, &all)
}

fn name(entry: &Value) -> String {
    let path = text(entry, "path");
    let end = if text(entry, "mode").starts_with('d') { "/" } else { "" };
    format!("{}{end}", path.rsplit('/').next().unwrap_or(path))
}

fn list(ctl: &Ctl, directory: &Remote<'_>) -> Result<(), Error> {
    let entries = directory.list()?;
    let columns = [
        Column::new("MODE", |entry| text(entry, "mode").to_owned()),
        Column::new("USER", |entry| text(entry, "uid").to_owned()),
        Column::new("GROUP", |entry| text(entry, "gid").to_owned()).wide(),
        Column::new("SIZE", |entry| number(entry, "size").to_string()).right(),
        Column::new("AGE", |entry| since(number(entry, "mtime"))).right(),
        Column::new("NAME", name),
        Column::new("PATH", |entry| text(entry, "path").to_owned()).wide(),
    ];
    ctl.output.list(&columns, name, &entries)
}

/// Written beside the place and moved there when it is whole: a file that is there is never half of one.
fn get(file: &Remote<'_>, to: Option<&Path>, force: bool) -> Result<(), Error> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let own = Path::new(if name.is_empty() { "file" } else { name });
    let target: PathBuf = match to {
        Some(directory) if directory.is_dir() => directory.join(own),
        Some(path) => path.to_owned(),
        None => own.to_owned(),
    };
    let failed = |doing: &str, error: &std::io::Error| {
        Error::Failed(format!("Cannot {doing} {}: {error}.", target.display()))
    };
    if !force && target.exists() {
        return Err(Error::Failed(format!("{} is there already; --force replaces it.", target.display())));
    }
    let mut part = target.clone().into_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let mut out = std::fs::File::create_new(&part).map_err(|error| failed("write to", &error))?;
    let copied =
        file.copy(&mut |bytes| out.write_all(bytes).map_err(|error| failed("write to", &error)), true);
    let moved = copied.and_then(|copied| {
        std::fs::rename(&part, &target).map_err(|error| failed("write to", &error))?;
        Ok(copied)
    });
    match moved {
        Ok(copied) => line(&format!("{copied} bytes in {}", target.display())),
        Err(error) => {
            // What is half written is of no use; the failure that matters is the first.
            std::fs::remove_file(&part).ok();
            Err(error)
        }
    }
}
