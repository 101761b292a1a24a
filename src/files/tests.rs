//! The endpoints on a real directory, without sockets.

#![expect(clippy::disallowed_methods, reason = "makes the files it then reads")]

use std::os::unix::fs::symlink;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::http::route::Routes;

struct Site {
    dir: tempfile::TempDir,
    routes: Routes,
    files: Files,
}

impl Site {
    /// `/sandbox` with `stdout`, `sub/file.txt`, a link out, a link inside, a pipe; `/log`, one file.
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir_all(dir.path().join("root-twin")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(dir.path().join("root-twin/secret"), "secret").unwrap();
        std::fs::write(root.join("stdout"), "0123456789").unwrap();
        std::fs::write(root.join("sub/file.txt"), "text").unwrap();
        symlink(dir.path().join("secret"), root.join("out")).unwrap();
        symlink("/nowhere", root.join("dangling")).unwrap();
        symlink("sub", root.join("inside")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let files = Files::default();
        files.attach(&root, "/sandbox/").unwrap();
        files.attach(&root.join("stdout"), "/log").unwrap();
        let mut routes = Routes::new();
        handlers::bind(&mut routes, &files);
        Site { dir, routes, files }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let uri: http::Uri = path.parse().unwrap();
        let route = self.routes.find(&Method::GET, uri.path()).unwrap().route;
        let uri = format!("{route}?{}", uri.query().unwrap_or_default());
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let Ok(response) = TowerToHyperService::new(self.routes.router()).call(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn gets(&self, path: &str, status: u16, body: &str) {
        assert_eq!(self.get(path).await, (status, body.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn reads() {
    let site = Site::new();
    site.gets("/files/read?path=/log", 200, r#"{"data":"","offset":10}"#).await;
    site.gets("/files/read.json?path=/log&offset=-1&length=-1", 200, r#"{"data":"","offset":10}"#).await;
    site.gets("/files/read?path=/log&offset=3&length=4", 200, r#"{"data":"3456","offset":3}"#).await;
    site.gets("/files/read?path=/log&offset=3&length=-1", 200, r#"{"data":"3456789","offset":3}"#).await;
    site.gets("/files/read?path=/log&offset=8&length=9", 200, r#"{"data":"89","offset":8}"#).await;
    site.gets("/files/read?path=/log&offset=3&length=0", 200, r#"{"data":"","offset":3}"#).await;
    site.gets("/files/read?path=/log&offset=99", 200, r#"{"data":"","offset":99}"#).await;
    site.gets("/files/read?path=/log&offset=0&length=1&jsonp=cb", 200, r#"cb({"data":"0","offset":0})"#)
        .await;
    site.gets("/files/read?path=//sandbox//stdout/&offset=9", 200, r#"{"data":"9","offset":9}"#).await;
    site.gets("/files/read?path=/sandbox/inside/../stdout&offset=9", 200, r#"{"data":"9","offset":9}"#).await;
}

#[tokio::test]
async fn reads_sixteen_pages_at_most() {
    let site = Site::new();
    std::fs::write(site.dir.path().join("root/large"), vec![b'x'; 1 << 20]).unwrap();
    let (status, body) = site.get("/files/read?path=/sandbox/large&offset=5").await;
    assert_eq!((status, body.len()), (200, read::answer(&vec![b'x'; 65536], 5).len()));
}

#[tokio::test]
async fn refuses_in_words() {
    let site = Site::new();
    let read = |rest: &str| format!("/files/read?path=/log{rest}");
    site.gets("/files/read", 400, "Expecting 'path=value' in query.\n").await;
    site.gets("/files/browse?path=", 400, "Expecting 'path=value' in query.\n").await;
    let not_a_number = "Failed to parse offset: Failed to convert 'x' to number.\n";
    site.gets(&read("&offset=x"), 400, not_a_number).await;
    site.gets(&read("&offset=-2"), 400, "Negative offset provided: -2.\n").await;
    site.gets(&read("&length=-2"), 400, "Negative length provided: -2.\n").await;
    site.gets("/files/read?path=/sandbox", 400, "Cannot read a directory.\n").await;
    site.gets("/files/download?path=/sandbox/sub", 400, "Cannot download a directory.\n").await;
    site.gets("/files/read?path=/sandbox/pipe", 400, "Cannot read what is no regular file.\n").await;
    site.gets("/files/read?path=/nope", 404, "").await;
    site.gets("/files/read?path=/log/below", 404, "").await;
    site.gets("/files/download?path=/nope", 404, "404 Not Found.").await;
}

#[tokio::test]
async fn nothing_outside_is_reached() {
    let site = Site::new();
    for path in [
        "/sandbox/out",
        "/sandbox/../secret",
        "/sandbox/sub/../../secret",
        "/sandbox/../root-twin/secret",
        "/sandbox/sub/../../../../../../../etc/passwd",
        "/sandbox/%2e%2e/secret",
        "/sandbox/..%2fsecret",
        "/sandbox/a%00b",
        "/../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "..",
    ] {
        for endpoint in ["read", "download", "browse"] {
            let (status, body) = site.get(&format!("/files/{endpoint}?path={path}&offset=0")).await;
            assert!(status == 400 || status == 404, "{endpoint} {path}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn lists_by_name_with_links_followed() {
    let site = Site::new();
    let (status, body) = site.get("/files/browse?path=/sandbox/").await;
    let listing: serde_json::Value = serde_json::from_str(&body).unwrap();
    let paths: Vec<&str> =
        listing.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    let expected = ["inside", "out", "pipe", "stdout", "sub"].map(|name| format!("/sandbox/{name}"));
    assert_eq!((status, paths), (200, expected.iter().map(String::as_str).collect()));
    assert_eq!(listing[3]["size"], 10);
    assert_eq!(listing[4]["mode"].as_str().unwrap().chars().next(), Some('d'));
    site.gets("/files/browse?path=/log", 200, "[]").await;
    site.gets("/files/browse?path=/nope", 404, "").await;
}

#[tokio::test]
async fn downloads_and_shows_the_map() {
    let site = Site::new();
    site.gets("/files/download?path=/sandbox/sub/file.txt", 200, "text").await;
    let root = site.dir.path().canonicalize().unwrap();
    let root = root.display();
    let map = format!(r#"{{"/log":"{root}/root/stdout","/sandbox":"{root}/root"}}"#);
    site.gets("/files/debug", 200, &map).await;
    site.files.detach("/sandbox/");
    site.gets("/files/read?path=/sandbox/stdout", 404, "").await;
    assert!(site.files.attach(Path::new("/nowhere/at/all"), "/x").is_err());
}
