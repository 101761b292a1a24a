//! The endpoints below `/files`.

use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use http::Uri;
use tokio::runtime::Handle;

use super::{Files, browse, download, read};
use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Routes};

const BROWSE: Endpoint = Endpoint {
    path: "/browse",
    json: true,
    tldr: "Lists a directory.",
    description: &[
        "Answers with an array of the files and directories in the directory",
        "of that virtual path, sorted by name.",
        "",
        "Query parameters:",
        "",
        ">        path=VALUE          The virtual path of the directory.",
        ">        jsonp=VALUE         Function to wrap the answer in.",
    ],
    authentication: true,
    authorization: &["The principal must be allowed to read what the virtual path leads to."],
    ..Endpoint::DEFAULT
};

const READ: Endpoint = Endpoint {
    path: "/read",
    json: true,
    tldr: "Reads a piece of a file.",
    description: &[
        "Answers with the data and its offset. Without an offset, or with -1,",
        "the data is empty and the offset is the size of the file.",
        "",
        "Query parameters:",
        "",
        ">        path=VALUE          The virtual path of the file.",
        ">        offset=VALUE        Byte at which the piece starts.",
        ">        length=VALUE        Most bytes to read; 16 pages at most.",
        ">        jsonp=VALUE         Function to wrap the answer in.",
    ],
    authentication: true,
    authorization: &["The principal must be allowed to read what the virtual path leads to."],
    ..Endpoint::DEFAULT
};

const DOWNLOAD: Endpoint = Endpoint {
    path: "/download",
    json: true,
    tldr: "Sends a file as it is.",
    description: &["Query parameters:", "", ">        path=VALUE          The virtual path of the file."],
    authentication: true,
    authorization: &["The principal must be allowed to read what the virtual path leads to."],
    ..Endpoint::DEFAULT
};

const DEBUG: Endpoint = Endpoint {
    path: "/debug",
    json: true,
    tldr: "Shows which virtual path leads to which file.",
    description: &["Answers with an object of virtual paths and the real paths behind them."],
    authentication: true,
    authorization: &["The principal must be allowed to use this endpoint."],
    ..Endpoint::DEFAULT
};

/// Binds the endpoints of the process `files`.
pub fn bind(routes: &mut Routes, files: &Files) {
    routes.add("files", &BROWSE, any(browse).with_state(files.clone()));
    routes.add("files", &READ, any(read).with_state(files.clone()));
    routes.add("files", &DOWNLOAD, any(download).with_state(files.clone()));
    routes.add("files", &DEBUG, any(debug).with_state(files.clone()));
}

/// Does what reads the disk where it holds up nobody.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    blocking_on(&Handle::current(), work).await
}

/// As `blocking`, in the threads of another runtime.
pub async fn blocking_on<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    let done = runtime.spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(HttpError::internal("500 Internal Server Error.")))
}

fn path_of(query: &Query) -> Result<String, HttpError> {
    let path =
        query.filled("path").ok_or_else(|| HttpError::bad_request("Expecting 'path=value' in query.\n"))?;
    Ok(path.strip_prefix("file://").unwrap_or(path).to_owned())
}

async fn browse(State(files): State<Files>, uri: Uri) -> Result<Response, HttpError> {
    let query = Query::of(&uri);
    let path = path_of(&query)?;
    blocking(move || {
        let listing = browse::list(&files.resolve(&path)?, &path);
        json::answer(&listing, query.get("jsonp"))
    })
    .await
}

async fn read(State(files): State<Files>, uri: Uri) -> Result<Response, HttpError> {
    let query = Query::of(&uri);
    let path = path_of(&query)?;
    let offset = number(&query, "offset")?;
    let length = number(&query, "length")?;
    blocking(move || {
        let real = files.resolve(&path)?;
        let (size, data) = match offset {
            Some(offset) => read::read(&real, offset, length)?,
            None => read::read(&real, 0, Some(0))?,
        };
        json::text_answer(read::answer(&data, offset.unwrap_or(size)), query.get("jsonp"))
    })
    .await
}

/// A number of at least 0; -1 is as good as none.
fn number(query: &Query, name: &str) -> Result<Option<u64>, HttpError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let number = text.parse::<i64>().map_err(|_| {
        HttpError::bad_request(format!("Failed to parse {name}: Failed to convert '{text}' to number.\n"))
    })?;
    if number < -1 {
        return Err(HttpError::bad_request(format!("Negative {name} provided: {number}.\n")));
    }
    Ok(u64::try_from(number).ok())
}

async fn download(State(files): State<Files>, uri: Uri) -> Result<Response, HttpError> {
    let path = path_of(&Query::of(&uri))?;
    let real = blocking(move || match files.resolve(&path) {
        Err(super::Missing::Unknown) => Err(HttpError::not_found()),
        resolved => resolved.map_err(HttpError::from),
    })
    .await?;
    download::answer(&real).await
}

async fn debug(State(files): State<Files>, uri: Uri) -> Result<Response, HttpError> {
    json::answer(&files.all(), Query::of(&uri).get("jsonp"))
}
