//! What the commands by hand do.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;
use zookeeper_client::{Acls, AddWatchMode, Client, CreateMode, Error, EventType, Stat};

use super::{Cli, Format, What};
use crate::coordination::look::{Standing, masters};
use crate::coordination::url::{Place, Url};
use crate::coordination::zookeeper::{acls, connect};
use crate::flags::help;
use crate::proto::json::to_json;
use crate::proto::{MasterInfo, Spelling};

/// Why it was not done, in a sentence.
type Refusal = String;

pub async fn perform(cli: Cli) -> Result<(), Refusal> {
    let (url, has_path) = url(&cli.zk)?;
    match &cli.what {
        What::Leader { output } => {
            let first = masters(&url, cli.timeout).await?.into_iter().next();
            let leader = first.ok_or_else(|| format!("no master stands at {url}"))?;
            return print(match output {
                Format::Text => line(&leader) + "\n",
                Format::Json => format!("{:#}\n", shown(&leader)),
            });
        }
        What::Masters { output } => {
            let all = masters(&url, cli.timeout).await?;
            return print(match output {
                Format::Text => all.iter().map(|one| line(one) + "\n").collect(),
                Format::Json => format!("{:#}\n", all.iter().map(shown).collect::<serde_json::Value>()),
            });
        }
        _ => {}
    }
    let Url::ZooKeeper(place) = url else {
        return Err("expected zk://host:port: only leader and masters look at etcd".to_owned());
    };
    let client = within(cli.timeout, connect(&place, cli.timeout)).await?;
    let path = |given: &Option<String>| match given {
        Some(path) => path.clone(),
        None if has_path => place.path.clone(),
        None => "/".to_owned(),
    };
    if let What::Watch { path: given, recursive, count } = &cli.what {
        return watch(&client, &path(given), *recursive, *count).await;
    }
    let done = async {
        Ok(match &cli.what {
            What::Ls { path: given } => {
                let mut names = client.list_children(&path(given)).await?;
                names.sort_unstable();
                names.into_iter().map(|name| name + "\n").collect::<String>().into_bytes()
            }
            What::Get { path: given } => client.get_data(&path(given)).await?.0,
            What::Stat { path: given } => {
                let stat = client.check_stat(&path(given)).await?.ok_or(Error::NoNode)?;
                numbers(&stat).into_bytes()
            }
            What::Tree { path: given } => tree(&client, &path(given)).await?.into_bytes(),
            What::Create { path, data, sequential } => {
                create(&client, &place, path, data, *sequential).await?
            }
            What::Set { path, data, version } => {
                let stat = client.set_data(path, data.as_bytes(), *version).await?;
                format!("version {}\n", stat.version).into_bytes()
            }
            What::Rm { path, recursive } => {
                remove(&client, path, *recursive).await?;
                Vec::new()
            }
            What::Serve | What::Watch { .. } | What::Leader { .. } | What::Masters { .. } => Vec::new(),
        })
    };
    let text: Vec<u8> = within(cli.timeout, done).await?;
    // A reader that went away is no failure.
    std::io::stdout().write_all(&text).ok();
    Ok(())
}

fn print(text: String) -> Result<(), Refusal> {
    help::print(&text);
    Ok(())
}

/// What `--zk` says, with the masters' usual path if it says none; and whether it does.
fn url(text: &str) -> Result<(Url, bool), Refusal> {
    let text = text.trim();
    let behind = text.split_once("://").map_or("", |(_, rest)| rest);
    let has_path = behind.trim_end_matches('/').contains('/');
    let whole = if has_path { text.to_owned() } else { format!("{}/mesos", text.trim_end_matches('/')) };
    let url = Url::parse_ensemble(&whole).map_err(|error| format!("--zk: {error}"))?;
    Ok((url, has_path))
}

async fn within<T>(patience: Duration, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

fn line(one: &Standing) -> String {
    match &one.info {
        Ok(info) => format!("{}  {}  {}", one.member.name, info.hostname(), info.pid()),
        Err(why) => format!("{}  cannot be read: {why}", one.member.name),
    }
}

fn shown(one: &Standing) -> serde_json::Value {
    let of = |info: &MasterInfo| -> serde_json::Value {
        serde_json::from_slice(&to_json(info, Spelling::V0)).unwrap_or_default()
    };
    match &one.info {
        Ok(info) => json!({ "node": one.member.name, "number": one.member.number, "info": of(info) }),
        Err(why) => json!({ "node": one.member.name, "number": one.member.number, "error": why }),
    }
}

fn numbers(stat: &Stat) -> String {
    format!(
        "czxid {:#x}\nmzxid {:#x}\npzxid {:#x}\nctime {}\nmtime {}\nversion {}\ncversion {}\naversion {}\n\
         ephemeral_owner {:#x}\nlength {}\nchildren {}\n",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children
    )
}

fn below(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

/// Each node on a line, deeper ones further in, with the first of what it holds.
async fn tree(client: &Client, root: &str) -> Result<String, Error> {
    let mut text = String::new();
    let mut left = vec![(root.to_owned(), root.to_owned(), 0_usize)];
    while let Some((path, name, depth)) = left.pop() {
        let (data, stat) = match client.get_data(&path).await {
            Ok(found) => found,
            // Gone meanwhile, or not for us.
            Err(Error::NoNode) if depth > 0 => continue,
            Err(Error::NoAuth) if depth > 0 => {
                text.push_str(&format!("{}{name}  (not allowed)\n", "  ".repeat(depth)));
                continue;
            }
            Err(error) => return Err(error),
        };
        let held: String =
            String::from_utf8_lossy(&data).chars().filter(|c| !c.is_control()).take(60).collect();
        let owner = if stat.ephemeral_owner == 0 { "" } else { "  (ephemeral)" };
        text.push_str(format!("{}{name}{owner}  {held}", "  ".repeat(depth)).trim_end());
        text.push('\n');
        let mut names = match client.list_children(&path).await {
            Err(Error::NoNode) => continue,
            names => names?,
        };
        names.sort_unstable();
        left.extend(names.into_iter().rev().map(|name| (below(&path, &name), name, depth + 1)));
    }
    Ok(text)
}

async fn create(
    client: &Client,
    place: &Place,
    path: &str,
    data: &str,
    sequential: bool,
) -> Result<Vec<u8>, Error> {
    let acls = acls(place);
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    if !above.is_empty() && client.check_stat(above).await?.is_none() {
        client.mkdir(above, &CreateMode::Persistent.with_acls(Acls::new(&acls))).await?;
    }
    let mode = if sequential { CreateMode::PersistentSequential } else { CreateMode::Persistent };
    let options = mode.with_acls(Acls::new(&acls));
    let (_, number) = client.create(path, data.as_bytes(), &options).await?;
    let made = if sequential { format!("{path}{number}\n") } else { format!("{path}\n") };
    Ok(made.into_bytes())
}

async fn remove(client: &Client, path: &str, recursive: bool) -> Result<(), Error> {
    let mut left = vec![path.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if recursive {
            let names = client.list_children(&path).await?;
            left.extend(names.into_iter().map(|name| below(&path, &name)));
        }
        found.push(path);
    }
    // Those below first.
    for path in found.into_iter().rev() {
        client.delete(&path, None).await?;
    }
    Ok(())
}

async fn watch(client: &Client, path: &str, recursive: bool, count: Option<u64>) -> Result<(), Refusal> {
    let mode = if recursive { AddWatchMode::PersistentRecursive } else { AddWatchMode::Persistent };
    let mut watcher = client.watch(path, mode).await.map_err(|error| error.to_string())?;
    eprintln!("watching {path}");
    let mut left = count;
    while left != Some(0) {
        let event = watcher.changed().await;
        let what = match event.event_type {
            EventType::NodeCreated => "created",
            EventType::NodeDeleted => "deleted",
            EventType::NodeDataChanged => "written",
            EventType::NodeChildrenChanged => "children",
            EventType::Session if event.session_state.is_terminated() => {
                return Err(format!("the session ended: {:?}", event.session_state));
            }
            EventType::Session => continue,
        };
        let mut out = std::io::stdout();
        if writeln!(out, "{what} {}", event.path).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}
