//! The laws of the tree: layers look down only, cores are pure, files stay short, nothing is left half done.
//!
//! Read from the text of `use` lines and files, so it says what a reader would see. `make tidy` runs it alone.

#![allow(clippy::disallowed_methods, reason = "reads the sources")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

/// What each folder or file of src may use, besides itself.
const LAYERS: &[(&str, &[&[&str]])] = &[
    // Values.
    ("base", &[]),
    ("proto", &[&["base"]]),
    ("resources", &[VALUES]),
    // Shared cores.
    ("alloc", &[VALUES]),
    // Its stores alone look at who leads.
    ("registry", &[VALUES, &["coordination"]]),
    // Shared shells.
    ("process", BELOW_SHELLS),
    ("http", BELOW_SHELLS),
    ("flags", BELOW_SHELLS),
    ("files", BELOW_SHELLS),
    ("logging", BELOW_SHELLS),
    ("metrics", BELOW_SHELLS),
    ("posix", BELOW_SHELLS),
    ("coordination", BELOW_SHELLS),
    ("auth", BELOW_SHELLS),
    ("webui", BELOW_SHELLS),
    ("zk", BELOW_SHELLS),
    // Roles: never each other.
    ("master", BELOW_ROLES),
    ("agent", BELOW_ROLES),
    ("executor", BELOW_ROLES),
    ("driver", BELOW_ROLES),
    ("ctl", BELOW_ROLES),
];

const VALUES: &[&str] = &["base", "proto", "resources"];
const SHELLS: &[&str] = &[
    "process",
    "http",
    "flags",
    "files",
    "logging",
    "metrics",
    "posix",
    "coordination",
    "auth",
    "webui",
    "zk",
];
const SHARED_CORES: &[&str] = &["alloc", "registry"];
const BELOW_SHELLS: &[&[&str]] = &[VALUES, SHELLS];
const BELOW_ROLES: &[&[&str]] = &[VALUES, SHARED_CORES, SHELLS];

/// Folders and files whose code decides and does nothing else.
const PURE: &[&str] = &[
    "alloc",
    "base",
    "coordination/election.rs",
    "coordination/member.rs",
    "coordination/url.rs",
    "registry",
    "resources",
    "zk/core",
    "zk/jute.rs",
    "zk/wire",
    "master/core",
    "master/validate",
    "master/view",
    "agent/checkpoint",
    "agent/core",
    "agent/updates",
    "agent/view",
    "executor/core",
    "driver/core",
    "auth/crammd5.rs",
];

/// Folders below those that are shells all the same.
const SHELLS_INSIDE: &[&str] = &["registry/store/", "agent/checkpoint/disk/"];

/// What they may not name: waiting, disks, sockets, threads, clocks.
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "futures",
    "std::fs",
    "std::process::Command",
    "std::thread",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::mpsc",
    "std::net::Tcp",
    "std::time::Instant",
    "std::time::SystemTime",
    "crate::coordination",
    "crate::process",
    "crate::files",
    "crate::logging",
    "crate::metrics",
    "crate::posix",
];

/// Lines a file may have, and those of them that may have more, with why.
const LONGEST: usize = 600;
const LONGER: &[(&str, &str)] =
    &[("agent/core/tests.rs", "tests of one state machine, which share their helpers")];

struct Source {
    /// Below src.
    path: String,
    text: String,
}

impl Source {
    /// The lines before the file's own tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while({
            let mut ended = false;
            move |line| {
                // Modules of tests in files of their own are declared so too, at the top: only a block ends it.
                ended |= line.starts_with("mod tests {") || line.starts_with("pub mod tests {");
                !ended
            }
        })
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/")
            || name.ends_with("tests.rs")
            || matches!(name, "testing.rs" | "golden.rs")
    }

    fn is_in(&self, place: &str) -> bool {
        self.path == place || self.path.starts_with(&format!("{place}/"))
    }

    fn top(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Whole `use` declarations, each on one line.
    fn uses(&self) -> Vec<String> {
        let mut uses = Vec::new();
        let mut open: Option<String> = None;
        for line in self.code().map(str::trim) {
            if open.is_none() && !(line.starts_with("use ") || line.starts_with("pub use ")) {
                continue;
            }
            let text = open.get_or_insert_default();
            text.push_str(line);
            if line.ends_with(';') {
                uses.extend(open.take());
            }
        }
        uses
    }
}

fn sources() -> Vec<Source> {
    fn read(dir: &Path, root: &Path, out: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                read(&entry, root, out);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                let path = entry.strip_prefix(root).unwrap().display().to_string();
                out.push(Source { path, text: fs::read_to_string(&entry).unwrap() });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    sources.retain(|source| !source.path.starts_with("proto/gen/"));
    assert!(sources.len() > 100, "src is not where it is looked for");
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn layers_look_down_only() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == source.top()) else { continue };
        for line in source.uses() {
            let Some((_, path)) = line.split_once("use crate::") else { continue };
            let used = path.split([':', ';', ' ', '{']).next().unwrap_or_default();
            if used != source.top() && !allowed.iter().any(|group| group.contains(&used)) {
                found.push(format!("src/{}: {line}", source.path));
            }
        }
    }
    none("layers look down only, and roles not at each other", &found);
}

#[test]
fn cores_are_pure() {
    let mut found = Vec::new();
    let sources = sources();
    for pure in PURE {
        assert!(sources.iter().any(|source| source.is_in(pure)), "no folder or file {pure}");
    }
    for source in sources.iter().filter(|source| !source.is_test()) {
        let is_pure = PURE.iter().any(|pure| source.is_in(pure));
        if !is_pure || SHELLS_INSIDE.iter().any(|shell| source.path.starts_with(shell)) {
            continue;
        }
        for line in source.uses() {
            let path = line.trim_start_matches("pub ").trim_start_matches("use ");
            if IMPURE.iter().any(|impure| path.starts_with(impure)) {
                found.push(format!("src/{}: {line}", source.path));
            }
        }
        let awaits = |line: &str| {
            let behind = line.split_once(".await").map(|(_, rest)| rest);
            behind.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        if source.code().any(|line| line.contains("async fn ") || awaits(line)) {
            found.push(format!("src/{}: waits", source.path));
        }
    }
    none("a core does no I/O, waits for nothing and reads no clock", &found);
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for source in sources() {
        let (lines, longer) =
            (source.text.lines().count(), LONGER.iter().find(|(path, _)| *path == source.path));
        match longer {
            None if lines > LONGEST => found.push(format!("src/{}: {lines} lines", source.path)),
            Some(_) if lines <= LONGEST => {
                found.push(format!("src/{} is short, and needs no leave", source.path))
            }
            _ => {}
        }
    }
    none("a file has at most 600 lines, or a reason in LONGER", &found);
}

#[test]
fn nothing_is_left_half_done() {
    let mut found = Vec::new();
    for source in sources() {
        // In parts, so that this file does not find itself.
        let banned = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[ig", "nore")];
        for (number, line) in source.text.lines().enumerate() {
            if banned.iter().any(|word| line.contains(word)) {
                found.push(format!("src/{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
        if !source.is_test() {
            let unwraps =
                source.code().filter(|line| line.contains(".unwrap()") && !line.trim().starts_with("//"));
            found.extend(unwraps.map(|line| format!("src/{}: {}", source.path, line.trim())));
        }
    }
    none("no stubs, no unwrap() outside tests", &found);
}

#[test]
fn every_folder_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.ends_with("mod.rs") && !source.path.contains("/tests/"))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("src/{}", source.path))
        .collect();
    none("a mod.rs opens with //!", &silent);
}
