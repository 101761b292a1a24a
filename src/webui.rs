//! The web pages: those embedded in the binary, or those of a folder (`--webui_dir`).
//!
//! Served at `/` and below `/app`, `/assets` and `/static`, where the pages of Apache Mesos 1.11 and 0.15 keep
//! their parts. Nothing else of the folder is reachable.
#![expect(clippy::disallowed_methods, reason = "a shell: it reads the folder")]

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use rust_embed::Embed;

use crate::files::download::content_type;
use crate::http::error::HttpError;
use crate::http::route::{Endpoint, Rest, Routes};

#[derive(Embed)]
#[folder = "assets/"]
struct Pages;

/// A file larger than this is no page.
const LARGEST: u64 = 32 << 20;

const PAGE: Endpoint = Endpoint { path: "/", tldr: "The web UI.", ..Endpoint::DEFAULT };
const PARTS: [(&str, Endpoint); 3] = [
    ("app", Endpoint { path: "/app", tldr: "Parts of the web UI.", ..Endpoint::DEFAULT }),
    ("assets", Endpoint { path: "/assets", tldr: "Parts of the web UI.", ..Endpoint::DEFAULT }),
    ("static", Endpoint { path: "/static", tldr: "Parts of the web UI.", ..Endpoint::DEFAULT }),
];

/// Binds the pages of a process. `dir` is the value of `--webui_dir`; without it the embedded ones are served.
pub fn bind(routes: &mut Routes, process: &str, dir: Option<&Path>) {
    let dir: Option<Arc<Path>> = dir.map(Arc::from);
    routes.add(process, &PAGE, any(page).with_state((dir.clone(), "")));
    for (name, row) in &PARTS {
        routes.add(process, row, any(page).with_state((dir.clone(), *name)));
    }
}

type Place = (Option<Arc<Path>>, &'static str);

async fn page(
    State((dir, below)): State<Place>,
    rest: Option<Extension<Rest>>,
) -> Result<Response, HttpError> {
    let rest = rest.map(|Extension(Rest(rest))| rest).unwrap_or_default();
    let rest = percent_decode_str(&rest).decode_utf8().map_err(|_| HttpError::not_found())?;
    let name = match below {
        "" if rest.is_empty() => PathBuf::from("index.html"),
        "" => return Err(HttpError::not_found()),
        below => Path::new(below).join(&*rest),
    };
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || name.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(HttpError::not_found());
    }
    let kind = content_type(&name);
    let body = match dir {
        None => Pages::get(&name.to_string_lossy()).map(|file| file.data.into_owned()),
        Some(dir) => tokio::task::spawn_blocking(move || read(&dir, &name)).await.ok().flatten(),
    };
    let mut response = Response::new(body.ok_or_else(HttpError::not_found)?.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// The bytes of a page; nothing if it is none, or if a link leads out of the folder.
fn read(dir: &Path, name: &Path) -> Option<Vec<u8>> {
    let dir = dir.canonicalize().ok()?;
    let path = dir.join(name).canonicalize().ok()?;
    let about = path.metadata().ok()?;
    if !path.starts_with(&dir) || !about.is_file() || about.len() > LARGEST {
        return None;
    }
    std::fs::read(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(dir: Option<&Path>, below: &'static str, rest: &str) -> u16 {
        let place = (dir.map(Arc::from), below);
        match page(State(place), Some(Extension(Rest(rest.to_owned())))).await {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn pages_of_the_binary() {
        assert_eq!(status(None, "", "").await, 200);
        assert_eq!(status(None, "", "index.html").await, 404);
        assert_eq!(status(None, "app", "none.js").await, 404);
    }

    #[tokio::test]
    async fn pages_of_a_folder_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("webui");
        std::fs::create_dir_all(dir.join("app")).expect("made");
        std::fs::write(dir.join("index.html"), "<p>").expect("written");
        std::fs::write(dir.join("app/app.js"), "1").expect("written");
        std::fs::write(folder.path().join("secret"), "no").expect("written");
        std::os::unix::fs::symlink(folder.path().join("secret"), dir.join("app/link")).expect("linked");
        assert_eq!(status(Some(&dir), "", "").await, 200);
        assert_eq!(status(Some(&dir), "app", "app.js").await, 200);
        for bad in ["../../secret", "%2e%2e/%2e%2e/secret", "link", "/etc/passwd", "", "a%00b", "%ff"] {
            assert_eq!(status(Some(&dir), "app", bad).await, 404, "{bad}");
        }
    }
}
