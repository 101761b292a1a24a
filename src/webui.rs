//! The web pages: those embedded in the binary, or those of a folder (`--webui_dir`).
//!
//! Served at `/` and below `/app`, `/assets` and `/static`, where the pages of Apache Mesos 1.11 and 0.15 keep
//! their parts. Nothing else of the folder is reachable. Ours are built from `assets/` by `make`; a binary that was
//! built without them says so in their place.
//!
//! Our pages run nothing but their own script and ask nobody but the master that served them; those of a folder may
//! be others, which need more. No page may be framed by another. One script of ours, a worker that sees nothing of
//! the page (`SCOUT`), may ask the other masters too: it looks for the leader when the page's own master is gone.
#![expect(clippy::disallowed_methods, reason = "a shell: it reads the folder")]

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;
use rust_embed::Embed;

use crate::files::download::content_type;
use crate::http::error::HttpError;
use crate::http::etag;
use crate::http::route::{Endpoint, Rest, Routes};

#[derive(Embed)]
#[folder = "assets/dist/"]
struct Pages;

const INDEX: &str = "index.html";

/// What our pages may do. Styles of elements are set by scripts, which this does not concern.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The worker that looks for the leader, and what it may do but for the masters that it may ask.
const SCOUT: &str = "app/scout.js";
const SCOUT_POLICY: &str = "default-src 'none'; connect-src";

/// What those of a folder may not.
const OTHERS_POLICY: &str = "frame-ancestors 'none'";

/// In place of pages that were not there when the binary was built.
const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Mesos</title>\
    <h1>The web pages are not in this binary</h1>\
    <p>It was built by <code>cargo build</code> alone. <code>make build</code> builds them too.</p>\
    <p>The API is here: <a href=/help>/help</a>, <a href=/state>/state</a>,\
    <a href=/metrics/snapshot>/metrics/snapshot</a>.</p></html>\n";

/// A file larger than this is no page.
const LARGEST: u64 = 32 << 20;

const PAGE: Endpoint = Endpoint { path: "/", any_query: true, tldr: "The web UI.", ..Endpoint::DEFAULT };
const PART: Endpoint = Endpoint { any_query: true, tldr: "Parts of the web UI.", ..Endpoint::DEFAULT };
const PARTS: [(&str, Endpoint); 3] = [
    ("app", Endpoint { path: "/app", ..PART }),
    ("assets", Endpoint { path: "/assets", ..PART }),
    ("static", Endpoint { path: "/static", ..PART }),
];

/// Binds the pages of a process. `dir` is the value of `--webui_dir`; without it the embedded ones are served.
/// `masters` names those that there are, as `host:port`.
pub fn bind(
    routes: &mut Routes,
    process: &str,
    dir: Option<&Path>,
    masters: impl Fn() -> Vec<String> + Send + Sync + 'static,
) {
    let (dir, masters): (Option<Arc<Path>>, Masters) = (dir.map(Arc::from), Arc::new(masters));
    let place = |below| Place { dir: dir.clone(), below, masters: masters.clone() };
    routes.add(process, &PAGE, any(page).with_state(place("")));
    for (name, row) in &PARTS {
        routes.add(process, row, any(page).with_state(place(name)));
    }
}

type Masters = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

#[derive(Clone)]
struct Place {
    dir: Option<Arc<Path>>,
    below: &'static str,
    masters: Masters,
}

async fn page(
    State(Place { dir, below, masters }): State<Place>,
    rest: Option<Extension<Rest>>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let rest = rest.map(|Extension(Rest(rest))| rest).unwrap_or_default();
    let rest = percent_decode_str(&rest).decode_utf8().map_err(|_| HttpError::not_found())?;
    let name = match below {
        "" if rest.is_empty() => PathBuf::from(INDEX),
        "" => return Err(HttpError::not_found()),
        below => Path::new(below).join(&*rest),
    };
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || name.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(HttpError::not_found());
    }
    let kind = match content_type(&name) {
        "text/html" => "text/html; charset=utf-8",
        kind => kind,
    };
    let is_scout = dir.is_none() && name == Path::new(SCOUT);
    let headers = if is_scout { HeaderMap::new() } else { headers };
    let (mut response, policy) = match dir {
        None => (embedded(&name, &headers).ok_or_else(HttpError::not_found)?, POLICY),
        Some(dir) => {
            let read = tokio::task::spawn_blocking(move || read(&dir, &name)).await.ok().flatten();
            (Response::new(read.ok_or_else(HttpError::not_found)?.into()), OTHERS_POLICY)
        }
    };
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Asked for anew each time, which costs little: the next version of this binary may be a minute away.
        (CACHE_CONTROL, "no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if is_scout {
        let policy = HeaderValue::from_str(&scout_policy(&masters())).map_err(|_| HttpError::not_found())?;
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        // What it may do changes while it does not.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// What the scout may ask. Names come from an ensemble: what is no plain name or number has no place in a header.
fn scout_policy(masters: &[String]) -> String {
    let is_plain =
        |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte));
    let sources: String = masters.iter().filter(is_plain).map(|name| format!(" http://{name}")).collect();
    // A source of `http` allows `https` as well.
    format!("{SCOUT_POLICY}{}", if sources.is_empty() { " 'none'" } else { &sources })
}

/// A page of the binary, or that the client has it already.
fn embedded(name: &Path, headers: &HeaderMap) -> Option<Response> {
    let Some(file) = Pages::get(&name.to_string_lossy()) else {
        return (name == Path::new(INDEX)).then(|| Response::new(NOT_BUILT.into()));
    };
    let hash: String =
        file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("W/\"{hash}\"");
    let fresh = || {
        Response::new(match file.data {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        })
    };
    let mut response = etag::not_modified(headers, &tag).unwrap_or_else(fresh);
    response.headers_mut().insert(ETAG, HeaderValue::from_str(&tag).ok()?);
    Some(response)
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
        let place = Place { dir: dir.map(Arc::from), below, masters: Arc::new(Vec::new) };
        match page(State(place), Some(Extension(Rest(rest.to_owned()))), HeaderMap::new()).await {
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
    async fn pages_are_bounded_in_what_they_do() {
        let of = async |dir: Option<Arc<Path>>| {
            let place = Place { dir, below: "", masters: Arc::new(Vec::new) };
            let response = page(State(place), None, HeaderMap::new()).await.expect("a page");
            let header = |name| response.headers()[name].to_str().expect("text").to_owned();
            (header(X_FRAME_OPTIONS), header(CONTENT_SECURITY_POLICY), header(CONTENT_TYPE))
        };
        let (framing, policy, kind) = of(None).await;
        assert_eq!((framing.as_str(), kind.as_str()), ("DENY", "text/html; charset=utf-8"));
        assert!(!policy.contains("unsafe") && policy.contains("script-src 'self'"), "{policy}");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.html"), "<p>").expect("written");
        let (framing, policy, _) = of(Some(Arc::from(folder.path()))).await;
        assert_eq!((framing.as_str(), policy.as_str()), ("DENY", OTHERS_POLICY));
    }

    #[test]
    fn the_scout_asks_masters_only() {
        let policy = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            scout_policy(&names)
        };
        assert_eq!(policy(&[]), "default-src 'none'; connect-src 'none'");
        let two = "default-src 'none'; connect-src http://a.b:5050 http://10.0.0.1:5051";
        assert_eq!(policy(&["a.b:5050", "10.0.0.1:5051"]), two);
        assert_eq!(policy(&["a *", "a; script-src *", "a\r\nX: y", "[::1]:5050", "*"]), policy(&[]));
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
