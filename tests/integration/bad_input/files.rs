//! Paths that lead out of what may be read.

use serde_json::json;

use super::{Expect, Target, To, case, settled};
use crate::support::raw::{self, get};
use crate::support::scheduler::{Scheduler, framework};
use crate::support::wait_for;

#[test]
fn nothing_outside_is_read() {
    let mut target = Target::start();
    let mut scheduler = Scheduler::subscribe(target.cluster.port, framework("files"));
    // Links of the task's own making lead nowhere either.
    let command =
        "echo inside > file; ln -s /etc/passwd link; ln -s / root; ln -s loop loop; mkfifo pipe; sleep 1000";
    scheduler.run("writer", command);
    scheduler.until("writer", "TASK_RUNNING");
    let directory = sandbox(&target);
    wait_for("the task's files", || {
        let path = format!("/files/browse?path={directory}");
        let listed = raw::exchange(target.port(To::Agent), &get(&path)).answer().text();
        listed.contains("/pipe").then_some(())
    });
    settled(&target);
    let read = |path: &str| format!("/files/read?path={path}&offset=0&length=1000");
    let inside = raw::exchange(target.port(To::Agent), &get(&read(&format!("{directory}/file")))).answer();
    assert_eq!(inside.json(), json!({"data": "inside\n", "offset": 0}));

    let mut cases = Vec::new();
    let up = "/..".repeat(30);
    for path in [
        "",
        "/",
        ".",
        "..",
        "etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/../etc/passwd",
        "/master/log/../../etc/passwd",
        "/slave/log/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd%00",
        "%00",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "\\etc\\passwd",
        "file:///etc/passwd",
        &format!("{directory}{up}/etc/passwd"),
        &format!("{directory}/../../../../../../../../etc/passwd"),
        &format!("{directory}/link"),
        &format!("{directory}/root/etc/passwd"),
        &format!("{directory}/loop"),
        &format!("{directory}/file/.."),
        &format!("{directory}/file%00.txt"),
        &format!("{directory}x/../file"),
        &format!("{directory}/{}", "a".repeat(5000)),
        &format!("{directory}/{}", "a/".repeat(5000)),
    ] {
        for what in ["read", "download", "browse"] {
            for to in [To::Agent, To::Master] {
                let name = format!("{to:?} {what} {path:.100}");
                cases.push(case(name, to, get(&format!("/files/{what}?path={path}")), Expect::Harmless));
            }
        }
    }
    let secret = std::fs::read_to_string("/etc/passwd").expect("a file that everybody can read");
    let secret = secret.lines().next().expect("a line");
    for case in &cases {
        let answer = target.send(case.to, &case.bytes).answer();
        let text = answer.text();
        let escaped = secret.replace('/', "\\/");
        let leaks = text.contains(secret) || text.contains(&escaped) || text.contains("\"path\":\"/etc");
        // `file/..` is the sandbox itself by another name: shown or not, nothing is outside.
        let listed = answer.status == 200 && !case.name.contains("/file/..");
        let verdict = if leaks || listed { Err(format!("{} {text:.200}", answer.status)) } else { Ok(()) };
        target.note(&case.name, verdict);
    }
    target.play(cases);
    target.play(numbers(&directory));

    // A pipe that nobody writes to must not hold anything up.
    let port = target.port(To::Agent);
    let path = read(&format!("{directory}/pipe"));
    let reader = std::thread::spawn(move || raw::exchange(port, &get(&path)).status());
    let status = reader.join().expect("a reader");
    assert!((200..500).contains(&status), "reading a pipe: {status}");
    scheduler.teardown();
    target.finish();
}

fn numbers(directory: &str) -> Vec<super::Case> {
    use Expect::{Harmless, Refused, Says};
    let file = format!("{directory}/file");
    let of = |what: &str, query: &str, expect| {
        case(format!("{what} {query}"), To::Agent, get(&format!("/files/{what}?{query}")), expect)
    };
    let path = |rest: &str| format!("path={file}&{rest}");
    vec![
        of("browse", "", Says(400, "Expecting 'path=value' in query.")),
        of("read", "", Says(400, "Expecting 'path=value' in query.")),
        of("download", "", Says(400, "Expecting 'path=value' in query.")),
        of("read", "path=", Refused),
        of("read", &path("offset=x"), Says(400, "Failed to parse offset")),
        of("read", &path("length=x"), Says(400, "Failed to parse length")),
        of("read", &path("offset=-5"), Says(400, "Negative offset provided: -5.")),
        of("read", &path("length=-5"), Says(400, "Negative length provided: -5.")),
        of("read", &path("offset=1e999"), Refused),
        of("read", &path("offset=99999999999999999999999"), Refused),
        of("read", &path("offset=9223372036854775807&length=9223372036854775807"), Harmless),
        of("read", &path("offset=0&length=9223372036854775807"), Harmless),
        of("read", &path("offset=-1"), Harmless),
        of("read", &path("offset=0&length=-1"), Harmless),
        of("read", &format!("path={directory}"), Says(400, "Cannot read a directory")),
    ]
}

/// Where the agent keeps the one executor of the one framework.
fn sandbox(target: &Target) -> String {
    wait_for("the executor's directory", || {
        let state = raw::exchange(target.port(To::Agent), &get("/state")).answer().json();
        Some(state["frameworks"][0]["executors"][0]["directory"].as_str()?.to_owned())
    })
}
