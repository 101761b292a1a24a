//! Real ZooKeeper ensembles and etcd clusters on loopback: Debian's packages, unpacked and not installed.
//!
//! A tick of ZooKeeper is 250 ms here, so that sessions may be as short as half a second.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Process, cache_dir, free_port, wait_for, zk};

const ZOOKEEPER_PACKAGES: &[&str] = &[
    "libzookeeper-java",
    "libslf4j-java",
    "libdropwizard-metrics-java",
    "libsnappy-java",
    "libnetty-java",
    "libcommons-cli-java",
    "liblog4j1.2-java",
];

/// An authority, and a certificate of it for 127.0.0.1, server and client alike.
const CERTIFICATES: &str = r#"
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@"; }
new -x509 -days 30 -subj /CN=ca -keyout ca.key -out ca.pem
new -subj /CN=etcd -keyout key.pem -out cert.csr
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n' >extensions
openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out cert.pem
"#;

const ETCD_PACKAGES: &[&str] = &["etcd-server", "etcd-client"];

/// The jars that a server without its web server needs.
const JARS: &[&str] =
    &["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "metrics-core", "snappy-java", "netty-all"];

/// Unpacks packages below the target folder, once. None if they are not to be had here.
pub fn unpacked(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let folder = cache_dir(name);
    let root = folder.join("root");
    if folder.join("ready").exists() {
        return Some(root);
    }
    std::fs::create_dir_all(&root).expect("a folder");
    let script =
        r#"set -e; cd "$0"; apt-get -qq download "$@" >&2; for deb in *.deb; do dpkg -x "$deb" root; done"#;
    let output = Command::new("bash").arg("-c").arg(script).arg(&folder).args(packages).output();
    match output {
        Ok(output) if output.status.success() => {
            std::fs::write(folder.join("ready"), "").expect("a file");
            Some(root)
        }
        Ok(output) => {
            eprintln!("{name}: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            None
        }
    }
}

fn zookeeper_root() -> Option<&'static Path> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let has_java =
            Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
        has_java.then(|| unpacked("zookeeper", ZOOKEEPER_PACKAGES)).flatten()
    });
    root.as_deref()
}

/// `java` with ZooKeeper's classes; none where they are not to be had.
pub fn java() -> Option<Command> {
    let jars = zookeeper_root()?.join("usr/share/java");
    let classes: Vec<String> = JARS
        .iter()
        .chain(&["commons-cli"])
        .map(|jar| jars.join(format!("{jar}.jar")).display().to_string())
        .collect();
    let mut command = Command::new("java");
    command.args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &classes.join(":")]);
    Some(command)
}

fn etcd_root() -> Option<&'static Path> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    ROOT.get_or_init(|| unpacked("etcd", ETCD_PACKAGES)).as_deref()
}

fn said(test: &str, what: &str, is_there: bool) -> bool {
    if !is_there {
        eprintln!("{test}: SKIPPED, {what} is not to be had on this machine");
    }
    is_there
}

/// What masters elect their leader through.
pub struct Ensemble {
    servers: Vec<Server>,
    scheme: &'static str,
    /// Holds configurations and data.
    dir: tempfile::TempDir,
    /// Where the servers keep what they know.
    _below: Option<Box<Ensemble>>,
}

struct Server {
    port: u16,
    start: Box<dyn Fn() -> Process>,
    process: Option<Process>,
}

impl Ensemble {
    /// ZooKeeper; none, and a word about it, where it is not to be had.
    pub fn zookeeper(test: &str, servers: usize) -> Option<Ensemble> {
        // Data of tests need not survive the machine.
        const QUICK: &[&str] =
            &["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"];
        Ensemble::zookeeper_with(test, servers, QUICK)
    }

    /// ZooKeeper with these options of Java.
    pub fn zookeeper_with(test: &str, servers: usize, java: &'static [&'static str]) -> Option<Ensemble> {
        said(test, "ZooKeeper", zookeeper_root().is_some()).then_some(())?;
        let jars = zookeeper_root()?.join("usr/share/java");
        let classes: Vec<String> =
            JARS.iter().map(|jar| jars.join(format!("{jar}.jar")).display().to_string()).collect();
        let classes = classes.join(":");
        let dir = tempfile::tempdir().expect("a folder");
        let peers: Vec<[u16; 3]> = (0..servers).map(|_| [free_port(), free_port(), free_port()]).collect();
        let mut configuration = "tickTime=250\ninitLimit=20\nsyncLimit=10\nadmin.enableServer=false\n\
             clientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\nmaxClientCnxns=0\nminSessionTimeout=500\n"
            .to_owned();
        if servers > 1 {
            for (index, [_, peer, election]) in peers.iter().enumerate() {
                configuration.push_str(&format!("server.{}=127.0.0.1:{peer}:{election}\n", index + 1));
            }
        }
        let servers = peers.iter().enumerate().map(|(index, [port, ..])| {
            let home = dir.path().join(index.to_string());
            std::fs::create_dir_all(&home).expect("a folder");
            std::fs::write(home.join("myid"), (index + 1).to_string()).expect("a file");
            let file = home.join("zoo.cfg");
            let own = format!("{configuration}dataDir={}\nclientPort={port}\n", home.display());
            std::fs::write(&file, own).expect("a file");
            let classes = classes.clone();
            let start = move || {
                let mut command = Command::new("java");
                command.args(java).args(["-cp", &classes]);
                command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(&file);
                Process::of(command, "zookeeper".to_owned())
            };
            Server { port: *port, process: Some(start()), start: Box::new(start) }
        });
        let ensemble = Ensemble { servers: servers.collect(), scheme: "zk", dir, _below: None };
        ensemble.wait();
        Some(ensemble)
    }

    /// etcd; none, and a word about it, where it is not to be had.
    pub fn etcd(test: &str, members: usize) -> Option<Ensemble> {
        said(test, "etcd", etcd_root().is_some()).then_some(())?;
        let program = etcd_root()?.join("usr/bin/etcd");
        let dir = tempfile::tempdir().expect("a folder");
        let ports: Vec<[u16; 2]> = (0..members).map(|_| [free_port(), free_port()]).collect();
        let peers: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, [_, peer])| format!("m{index}=http://127.0.0.1:{peer}"))
            .collect();
        let peers = peers.join(",");
        let servers = ports.iter().enumerate().map(|(index, [port, peer])| {
            let (program, peers) = (program.clone(), peers.clone());
            let (port, peer) = (*port, *peer);
            let data = dir.path().join(index.to_string());
            let start = move || {
                let mut command = Command::new(&program);
                command
                    .args(["--name", &format!("m{index}")])
                    .arg("--data-dir")
                    .arg(&data)
                    .args(["--listen-client-urls", &format!("http://127.0.0.1:{port}")])
                    .args(["--advertise-client-urls", &format!("http://127.0.0.1:{port}")])
                    .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
                    .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{peer}")])
                    .args(["--initial-cluster", &peers, "--initial-cluster-token", "test"])
                    .args(["--initial-cluster-state", "new", "--logger", "zap", "--log-level", "warn"])
                    .env_remove("ETCD_NAME");
                Process::of(command, "etcd".to_owned())
            };
            Server { port, process: Some(start()), start: Box::new(start) }
        });
        let ensemble = Ensemble { servers: servers.collect(), scheme: "etcd", dir, _below: None };
        ensemble.wait();
        Some(ensemble)
    }

    /// `mesos zk serve` in place of ZooKeeper: front ends of one etcd; none, and a word about it, where that is not to
    /// be had.
    pub fn front_ends(test: &str, servers: usize) -> Option<Ensemble> {
        let etcd = Ensemble::etcd(test, 1)?;
        let servers = (0..servers).map(|_| {
            let port = free_port();
            let args = zk::args(port, &etcd.url());
            let start = move || Process::start(&args);
            Server { port, process: Some(start()), start: Box::new(start) }
        });
        let servers = servers.collect();
        let dir = tempfile::tempdir().expect("a folder");
        let ensemble = Ensemble { servers, scheme: "zk", dir, _below: Some(Box::new(etcd)) };
        ensemble.wait();
        Some(ensemble)
    }

    /// One member of etcd that talks TLS and wants a certificate of its clients. `url` names all the files.
    pub fn etcd_with_tls(test: &str) -> Option<Ensemble> {
        let has_openssl =
            Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
        said(test, "etcd with openssl", etcd_root().is_some() && has_openssl).then_some(())?;
        let dir = tempfile::tempdir().expect("a folder");
        let made = Command::new("bash").args(["-ec", CERTIFICATES]).current_dir(dir.path()).output();
        let made = made.expect("bash runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let program = etcd_root()?.join("usr/bin/etcd");
        let (port, peer, home) = (free_port(), free_port(), dir.path().to_owned());
        let start = move || {
            let mut command = Command::new(&program);
            command
                .current_dir(&home)
                .args(["--listen-client-urls", &format!("https://127.0.0.1:{port}")])
                .args(["--advertise-client-urls", &format!("https://127.0.0.1:{port}")])
                .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
                .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{peer}")])
                .args(["--initial-cluster", &format!("default=http://127.0.0.1:{peer}")])
                .args(["--data-dir", "data", "--trusted-ca-file", "ca.pem", "--client-cert-auth"])
                .args(["--cert-file", "cert.pem", "--key-file", "key.pem", "--log-level", "warn"]);
            Process::of(command, "etcd".to_owned())
        };
        let server = Server { port, process: Some(start()), start: Box::new(start) };
        wait_for("etcd", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Ensemble { servers: vec![server], scheme: "etcds", dir, _below: None })
    }

    /// Until every server that runs answers, with a quorum behind it.
    pub fn wait(&self) {
        for server in self.servers.iter().filter(|server| server.process.is_some()) {
            wait_for("a server of the ensemble", || self.answers(server).then_some(()));
        }
    }

    fn answers(&self, server: &Server) -> bool {
        match self.scheme {
            "zk" => mode(server.port).is_some(),
            _ => super::get(server.port, "/health").is_ok_and(|answer| answer.contains("\"true\"")),
        }
    }

    /// `a:1,b:2`.
    pub fn servers(&self) -> String {
        let servers: Vec<String> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        servers.join(",")
    }

    pub fn url(&self) -> String {
        let url = format!("{}://{}/mesos", self.scheme, self.servers());
        if self.scheme != "etcds" {
            return url;
        }
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        format!("{url}?ca={}&cert={}&key={}", file("ca.pem"), file("cert.pem"), file("key.pem"))
    }

    /// `url` with credentials in it.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}/mesos", self.scheme, self.servers())
    }

    /// `url` with this port in place of the only server's.
    pub fn url_through(&self, port: u16) -> String {
        format!("{}://127.0.0.1:{port}/mesos", self.scheme)
    }

    /// The port of a server.
    pub fn port(&self, index: usize) -> u16 {
        self.servers[index].port
    }

    /// A server's process; none while it is killed.
    pub fn pid(&self, index: usize) -> Option<u32> {
        self.servers[index].process.as_ref().map(Process::pid)
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// kill -9.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].process = None;
    }

    /// SIGSTOP: it keeps its connections and says nothing.
    pub fn pause(&self, index: usize) {
        self.signal(index, libc::SIGSTOP);
    }

    pub fn resume(&self, index: usize) {
        self.signal(index, libc::SIGCONT);
    }

    fn signal(&self, index: usize, signal: i32) {
        if let Some(process) = &self.servers[index].process {
            // SAFETY: plain kill(2) on a child that was not waited for.
            unsafe { libc::kill(process.pid() as i32, signal) };
        }
    }

    pub fn restart(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.process = Some((server.start)());
    }

    /// The server that leads the ensemble.
    pub fn leader(&self) -> usize {
        wait_for("a leader of the ensemble", || {
            self.servers.iter().position(|server| match self.scheme {
                "zk" => matches!(mode(server.port).as_deref(), Some("leader" | "standalone")),
                _ => is_etcd_leader(server.port),
            })
        })
    }

    /// Runs etcdctl on the cluster.
    pub fn etcdctl(&self, args: &[&str]) -> String {
        let program = etcd_root().expect("etcd runs").join("usr/bin/etcdctl");
        let output = Command::new(program)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.servers()])
            .args(args)
            .output()
            .expect("etcdctl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

/// What `srvr` says of a ZooKeeper server: `leader`, `follower`, `standalone`; none if it does not serve.
fn mode(port: u16) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).ok()?;
    stream.write_all(b"srvr").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

fn is_etcd_leader(port: u16) -> bool {
    super::get(port, "/metrics").is_ok_and(|numbers| numbers.contains("\netcd_server_is_leader 1"))
}
