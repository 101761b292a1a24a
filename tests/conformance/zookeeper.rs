//! Clients of ZooKeeper, unmodified, against `mesos zk serve` and against the real one: they see the same.
//!
//! kazoo 2.11.0 off the package index plays `kazoo/features.py`: its client and its recipes. `kazoo/zookeeper-3.8.txt`
//! is what that prints against Debian's ZooKeeper 3.8. The Java client is that of the same package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::pymesos;
use crate::support::ensembles::{self, Ensemble};
use crate::support::zk::{Zk, ask};
use crate::support::{cache_dir, finished};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/kazoo")
}

/// The folder that kazoo is in; filled on first use.
fn kazoo() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = cache_dir("kazoo");
        let ready = folder.join("ready");
        if !ready.exists() {
            let mut command = Command::new(pymesos::python());
            command.args(["-m", "pip", "install", "-q", "--upgrade", "--target"]).arg(&folder);
            command.arg("kazoo==2.11.0");
            let done = finished(command);
            assert_eq!(done.status, Some(0), "{done:?}");
            std::fs::write(ready, "").expect("a file");
        }
        folder
    })
}

/// kazoo sees of a server what it sees of ZooKeeper 3.8.
fn looks_like_zookeeper(servers: &str) {
    let expected = std::fs::read_to_string(here().join("zookeeper-3.8.txt")).expect("a file");
    let mut command = Command::new(pymesos::python());
    command.env("PYTHONPATH", kazoo()).env("PYTHONIOENCODING", "utf-8");
    command.arg(here().join("features.py")).arg(servers);
    let done = finished(command);
    assert_eq!(done.status, Some(0), "{}\n{}", done.out, done.err);
    let differing = expected.lines().zip(done.out.lines()).find(|(one, other)| one != other);
    assert!(expected == done.out, "first difference: {differing:#?}\nall: {}\n{}", done.out, done.err);
}

#[test]
fn kazoo_sees_a_zookeeper_in_memory() {
    looks_like_zookeeper(&Zk::start("memory").address());
}

#[test]
fn kazoo_sees_a_zookeeper_in_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    looks_like_zookeeper(&Zk::start(&format!("file://{}", dir.path().display())).address());
}

#[test]
fn kazoo_sees_a_zookeeper_of_two_front_ends_in_etcd() {
    let Some(etcd) = Ensemble::etcd("kazoo", 1) else { return };
    let ends = [Zk::start(&etcd.url()), Zk::start(&etcd.url())];
    looks_like_zookeeper(&format!("{},{}", ends[0].address(), ends[1].address()));
}

#[test]
fn kazoo_sees_the_same_of_the_real_one() {
    let Some(real) = Ensemble::zookeeper("kazoo", 1) else { return };
    looks_like_zookeeper(&real.servers());
}

/// `zkCli.sh`, whose class this is, on a server: what it prints but for its log and what is a time or a number of a
/// change.
fn zk_cli(servers: &str, commands: &str) -> Option<String> {
    let mut command = ensembles::java()?;
    command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", servers]);
    let mut script = Command::new("bash");
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    script.arg("-c").arg(format!("{} <<'END'\n{commands}\nEND\n", words.join(" ")));
    let done = finished(script);
    let changing =
        ["cZxid", "mZxid", "pZxid", "ctime", "mtime", "ephemeralOwner", "Welcome", "JLine", "Connecting"];
    let kept = |line: &&str| !changing.iter().any(|word| line.starts_with(word));
    Some(done.out.lines().filter(kept).collect::<Vec<_>>().join("\n"))
}

const COMMANDS: &str = "create /cli one
create -s /cli/s- two
create -e /cli/e three
get -s /cli
stat -w /cli
ls /cli
ls -R /cli
ls -s /cli
set /cli four
get -w /cli
set /cli five
get /none
create /cli
delete /cli
getAcl /cli
addauth digest u:p
setAcl /cli auth:u:p:cdrwa
getAcl /cli
getEphemerals
getAllChildrenNumber /cli
whoami
addWatch -m PERSISTENT_RECURSIVE /cli
create /cli/watched
removewatches /cli
delete -v 7 /cli/watched
delete /cli/watched
sync /cli
create -t 1000 /cli/ttl
create -c /cli/container
deleteall /cli
ls /
quit";

#[test]
fn the_java_client_sees_a_zookeeper() {
    let Some(real) = Ensemble::zookeeper("zkCli.sh", 1) else { return };
    let ours = Zk::start("memory");
    let (real, ours) = (zk_cli(&real.servers(), COMMANDS), zk_cli(&ours.address(), COMMANDS));
    let (real, ours) = (real.expect("Java runs"), ours.expect("Java runs"));
    assert!(real.contains("WatchedEvent"), "{real}");
    // Containers and nodes with a time to live are refused; so the two differ in those lines alone.
    let known = ["/cli/container", "Created /cli/container"];
    let differing: Vec<_> =
        diff(&real, &ours).into_iter().filter(|line| !known.iter().any(|k| line.contains(k))).collect();
    assert!(differing.is_empty(), "{differing:#?}\n--- ours:\n{ours}\n--- real:\n{real}");
}

/// `Reconnect.java` on these servers: what its client hears whose connection breaks, and whose session ends.
fn java_comes_back(servers: &str) -> Option<String> {
    let program = "tests/conformance/java_zookeeper/Reconnect.java";
    let mut command = ensembles::java()?;
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(program)).args(servers.split(','));
    let done = finished(command);
    assert_eq!(done.status, Some(0), "{}\n{}", done.out, done.err);
    Some(done.out)
}

/// It is told what it missed and keeps its other watches, also when it comes back to another front end.
#[test]
fn the_java_client_comes_back_to_its_session() {
    let Some(real) = Ensemble::zookeeper("Reconnect.java", 1) else { return };
    let real = java_comes_back(&real.servers()).expect("Java runs");
    assert!(real.contains("the same session: true"), "{real}");
    let comes_back = |store: &str, ends: usize| {
        let ends: Vec<Zk> = (0..ends).map(|_| Zk::start(store)).collect();
        let servers: Vec<String> = ends.iter().map(Zk::address).collect();
        assert_eq!(java_comes_back(&servers.join(",")).expect("Java runs"), real, "{store}");
    };
    let dir = tempfile::tempdir().expect("a folder");
    comes_back("memory", 1);
    comes_back(&format!("file://{}", dir.path().display()), 1);
    if let Some(etcd) = Ensemble::etcd("Reconnect.java", 1) {
        comes_back(&etcd.url(), 2);
    }
}

/// Lines of the one that are not in the other, and the other way round.
fn diff(one: &str, other: &str) -> Vec<String> {
    let only = |a: &str, b: &str| -> Vec<String> {
        let there: Vec<&str> = b.lines().collect();
        a.lines().filter(|line| !there.contains(line)).map(str::to_owned).collect()
    };
    let mut all = only(one, other);
    all.extend(only(other, one));
    all
}

#[test]
fn four_letter_words_are_answered() {
    let zk = Zk::start("memory");
    let srvr = ask(zk.port, "srvr").expect("an answer");
    for word in ["Zookeeper version: 3.8", "Mode: standalone", "Zxid: 0x", "Node count: 5"] {
        assert!(srvr.contains(word), "{srvr}");
    }
    assert!(ask(zk.port, "mntr").expect("an answer").contains("zk_znode_count\t5"));
    assert!(ask(zk.port, "stat").expect("an answer").contains("Clients:"));
    let refused = ask(zk.port, "dump").expect("an answer");
    assert_eq!(refused, "dump is not executed because it is not in the whitelist.\n");
}
