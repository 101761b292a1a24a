//! The Hadoop client fetches what a task needs: the tutorial's drill of a Spark archive that was moved, with the
//! client that pyspark carries. What is `hdfs://cluster/dist` to it is a folder of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::spark;
use crate::support::scheduler::{Scheduler, command_task, framework, with};
use crate::support::{Cluster, finished};

/// `--hadoop_home` of a client, made of Spark's jars, to which `hdfs://cluster/dist` is this folder.
fn home(spark: &Path, dir: &Path, dist: &Path) -> PathBuf {
    let home = dir.join("hadoop");
    fs::create_dir_all(home.join("bin")).unwrap();
    let property =
        |name: &str, value: &str| format!("<property><name>{name}</name><value>{value}</value></property>");
    let site = [
        property("fs.hdfs.impl", "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"),
        property("fs.viewfs.mounttable.cluster.link./dist", &format!("file://{}", dist.display())),
    ];
    fs::write(home.join("core-site.xml"), format!("<configuration>{}</configuration>", site.concat()))
        .unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = fs ] || {{ echo 'usage: hadoop fs …' >&2; exit 1; }}\nshift\n\
         exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '{}:{}/jars/*' org.apache.hadoop.fs.FsShell \"$@\"\n",
        home.display(),
        spark.display()
    );
    let program = home.join("bin/hadoop");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    home
}

fn archive() -> Vec<u8> {
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(packed);
    let text = b"a release of Spark\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "spark/RELEASE", &text[..]).unwrap();
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).unwrap()
}

/// Runs a task that needs the archive; its last status, and the folder of its sandbox.
fn run(cluster: &Cluster, scheduler: &mut Scheduler, id: &str, cache: bool) -> (Value, PathBuf) {
    let offer = scheduler.offer();
    let command = json!({"value": "cat spark/RELEASE",
        "uris": [{"value": "hdfs://cluster/dist/spark.tar.gz", "cache": cache}]});
    scheduler.launch(&offer, &[with(command_task(id, &offer, ""), json!({"command": command}))]);
    let last = loop {
        let status = scheduler.status(id);
        if !matches!(status["state"].as_str(), Some("TASK_STARTING" | "TASK_RUNNING")) {
            break status;
        }
    };
    let agents = cluster.dir.path().join("agent0/slaves");
    let agent = fs::read_dir(agents).unwrap().next().unwrap().unwrap().path();
    let runs = agent.join("frameworks").join(&scheduler.framework_id).join("executors").join(id).join("runs");
    (last, runs.join("latest"))
}

fn read(sandbox: &Path, name: &str) -> String {
    fs::read_to_string(sandbox.join(name)).unwrap_or_default()
}

#[test]
fn an_archive_that_was_moved_is_missed_and_found_again() {
    let Some(spark) = spark::installation() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let dist = dir.path().join("dist");
    fs::create_dir(&dist).unwrap();
    fs::write(dist.join("spark.tar.gz"), archive()).unwrap();
    let home = home(&spark, dir.path(), &dist);
    let hadoop = |arguments: &[&str]| {
        let mut command = Command::new(home.join("bin/hadoop"));
        command.arg("fs").args(arguments);
        let done = finished(command);
        assert_eq!(done.status, Some(0), "hadoop fs {arguments:?}: {}", done.err);
    };
    let flags = [
        format!("--hadoop_home={}", home.display()),
        format!("--fetcher_cache_dir={}", dir.path().join("cache").display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = Cluster::start_with(1, &[], &flags);
    let mut scheduler = Scheduler::subscribe(cluster.port, framework("spark"));

    let (last, sandbox) = run(&cluster, &mut scheduler, "there", false);
    assert_eq!(last["state"], "TASK_FINISHED", "{last}\n{}", read(&sandbox, "stderr"));
    let ran = format!(
        "HDFS command: {}/bin/hadoop fs -copyToLocal 'hdfs://cluster/dist/spark.tar.gz'",
        home.display()
    );
    let stdout = read(&sandbox, "stdout");
    assert!(stdout.contains(&ran) && stdout.contains("a release of Spark"), "{stdout}");

    hadoop(&["-mv", "hdfs://cluster/dist/spark.tar.gz", "hdfs://cluster/dist/_spark.tar.gz"]);
    let (last, sandbox) = run(&cluster, &mut scheduler, "moved", false);
    assert_eq!(
        (&last["state"], &last["reason"]),
        (&json!("TASK_FAILED"), &json!("REASON_CONTAINER_LAUNCH_FAILED"))
    );
    let message = last["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("Failed to launch container: Failed to fetch all URIs for container"),
        "{message}"
    );
    assert!(read(&sandbox, "stdout").contains(&ran));
    let stderr = read(&sandbox, "stderr");
    for text in [
        "HDFS copyToLocal failed",
        "copyToLocal: `hdfs://cluster/dist/spark.tar.gz': No such file or directory",
    ] {
        assert!(stderr.contains(text), "{text} is not in {stderr}");
    }

    hadoop(&["-mv", "hdfs://cluster/dist/_spark.tar.gz", "hdfs://cluster/dist/spark.tar.gz"]);
    let (last, sandbox) = run(&cluster, &mut scheduler, "cached", true);
    assert_eq!(last["state"], "TASK_FINISHED", "{last}\n{}", read(&sandbox, "stderr"));
    assert!(read(&sandbox, "stdout").contains("HDFS command: "));
    let (last, sandbox) = run(&cluster, &mut scheduler, "again", true);
    assert_eq!(last["state"], "TASK_FINISHED", "{last}\n{}", read(&sandbox, "stderr"));
    assert_eq!(read(&sandbox, "stdout"), "a release of Spark\n", "it came from the cache");
}
