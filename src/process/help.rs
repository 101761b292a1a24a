//! `/help`: the endpoint table for people, in Markdown, as a page for browsers, and as JSON with `?format=json`.
//!
//! Source: help.cpp, libprocess 1.11: layout and links are its own, as pages render and follow them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Uri};
use pulldown_cmark::{self as markdown, Parser};
use serde::Serialize;

use crate::http::error::HttpError;
use crate::http::json;
use crate::http::query::Query;
use crate::http::route::{Endpoint, Rest, Routes};

const HELP: Endpoint = Endpoint {
    path: "/",
    description: &[">        format=VALUE        `json`, `html` or `markdown`."],
    ..Endpoint::DEFAULT
};
const PROCESS: Endpoint = Endpoint { path: "/{process}", ..HELP };

/// Every page, written once.
#[derive(Debug, Serialize)]
struct Pages {
    #[serde(skip)]
    index: String,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    id: String,
    endpoints: Vec<Page>,
    #[serde(skip)]
    index: String,
}

#[derive(Debug, Serialize)]
struct Page {
    /// With a slash in front.
    name: String,
    text: String,
}

/// Binds the endpoint of the process `help` to what the table holds by now: call it last.
pub fn bind(routes: &mut Routes) {
    let pages = Arc::new(write(routes));
    routes.add("help", &HELP, any(index).with_state(pages.clone()));
    for process in &pages.processes {
        // A row for each, since paths are otherwise fixed; what follows the process is in `Rest`.
        let handler = any(page).with_state((pages.clone(), process.id.clone()));
        routes.add_path("help", &process.id, &PROCESS, handler);
    }
}

/// How a page is wanted.
enum Form {
    Markdown,
    Html,
    Json,
}

/// Browsers say that they take HTML; `*/*`, as curl says, is no such wish.
fn form(query: &Query, headers: &HeaderMap) -> Result<Form, HttpError> {
    match query.get("format") {
        Some("json") => return Ok(Form::Json),
        Some("html") => return Ok(Form::Html),
        Some("markdown") => return Ok(Form::Markdown),
        None => {}
        Some(other) => {
            let sentence = format!("Unknown format '{other}': expecting 'json', 'html' or 'markdown'.\n");
            return Err(HttpError::bad_request(sentence));
        }
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    let wants_html = kinds.any(|kind| {
        let (kind, rest) = kind.split_once(';').unwrap_or((kind, ""));
        let refused = matches!(rest.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        kind.trim().eq_ignore_ascii_case("text/html") && !refused
    });
    Ok(if wants_html { Form::Html } else { Form::Markdown })
}

/// A page in the form wanted; `value` is what it is as JSON.
fn answer(uri: &Uri, headers: &HeaderMap, text: &str, value: &impl Serialize) -> Result<Response, HttpError> {
    let query = Query::of(uri);
    let mut response = match form(&query, headers)? {
        Form::Json => json::answer(value, query.get("jsonp"))?,
        Form::Markdown => ([(CONTENT_TYPE, "text/x-markdown")], text.to_owned()).into_response(),
        Form::Html => ([(CONTENT_TYPE, "text/html; charset=utf-8")], html(text)).into_response(),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The Markdown as a page that needs nothing else. Each link of a list has its line, as in the text.
fn html(text: &str) -> String {
    let title = text.lines().next().unwrap_or_default().trim_matches(['#', ' ', '`']);
    let events = Parser::new(text).map(|event| match event {
        markdown::Event::SoftBreak => markdown::Event::HardBreak,
        // The texts are ours, and have no HTML in them.
        markdown::Event::Html(text) | markdown::Event::InlineHtml(text) => markdown::Event::Text(text),
        other => other,
    });
    let mut body = String::new();
    markdown::html::push_html(&mut body, events);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head>\n<body>\n{body}</body></html>\n"
    )
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}\
    pre,code{font-family:monospace;background:#f4f4f4}pre{padding:.5em;overflow:auto}\
    blockquote{margin:0;border-left:4px solid #ddd;padding-left:1em}\
    @media(prefers-color-scheme:dark){body{background:#181a1b;color:#ddd}pre,code{background:#282a2b}a{color:#8ab4f8}}";

async fn index(State(pages): State<Arc<Pages>>, headers: HeaderMap, uri: Uri) -> Result<Response, HttpError> {
    answer(&uri, &headers, &pages.index, &*pages)
}

async fn page(
    State((pages, id)): State<(Arc<Pages>, String)>,
    Extension(Rest(name)): Extension<Rest>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, HttpError> {
    let process = pages.processes.iter().find(|process| process.id == id).ok_or_else(HttpError::not_found)?;
    if name.is_empty() {
        return answer(&uri, &headers, &process.index, process);
    }
    let page = process.endpoints.iter().find(|page| page.name[1..] == name);
    let unknown = || HttpError::bad_request(format!("No help available for '/{id}/{name}'.\n"));
    let page = page.ok_or_else(unknown)?;
    answer(&uri, &headers, &page.text, page)
}

fn write(routes: &Routes) -> Pages {
    let processes: Vec<Process> =
        routes.table().iter().filter_map(|(id, rows)| process(routes, id, rows)).collect();
    let names = processes.iter().map(|process| process.id.clone());
    Pages { index: format!("## HELP\n{}", links(names, "help/")), processes }
}

fn process(routes: &Routes, id: &str, rows: &BTreeMap<String, Endpoint>) -> Option<Process> {
    let delegated = routes.delegates_to(id);
    let mut endpoints = Vec::new();
    for (name, endpoint) in rows {
        // The old names with `.json` have no page of their own, and what says nothing of itself none at all.
        if *name == endpoint.path.trim_matches('/') && !endpoint.tldr.is_empty() {
            endpoints.push(Page { name: format!("/{name}"), text: text(id, name, endpoint, delegated) });
        }
    }
    let names = endpoints.iter().map(|page| format!("{id}{}", page.name));
    let index = format!("## `/{id}` ##\n{}", links(names, ""));
    (!endpoints.is_empty()).then(|| Process { id: id.to_owned(), endpoints, index })
}

/// `> [/name][name]` for each, then where each leads.
fn links(names: impl Iterator<Item = String>, below: &str) -> String {
    let (mut list, mut targets) = (String::new(), String::new());
    for name in names {
        // Writing to a String does not fail.
        let _ = writeln!(list, "> [/{name}][{name}]");
        let _ = writeln!(targets, "[{name}]: {below}{name}");
    }
    format!("{list}\n{targets}")
}

fn text(id: &str, name: &str, endpoint: &Endpoint, delegated: bool) -> String {
    let short = if delegated { format!(">        /{name}\n") } else { String::new() };
    let mut out =
        format!("### USAGE ###\n{short}>        /{id}/{name}\n\n### TL;DR; ###\n{}\n", endpoint.tldr);
    let mut section = |title: &str, lines: &[&str]| {
        if !lines.is_empty() {
            let _ = write!(out, "\n### {title} ###\n{}\n", lines.join("\n"));
        }
    };
    section("DESCRIPTION", endpoint.description);
    if endpoint.authentication {
        section("AUTHENTICATION", &["Credentials are asked for if HTTP authentication is on."]);
    }
    section("AUTHORIZATION", endpoint.authorization);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_table() {
        let mut routes = Routes::new();
        routes.delegate("master");
        let row = Endpoint { path: "/state", json: true, tldr: "Shows all.", ..Endpoint::DEFAULT };
        let row = Endpoint { description: &["Much.", "", "More."], authentication: true, ..row };
        routes.add("master", &row, any(|| async {}));
        routes.add("assets", &Endpoint { path: "/x", ..Endpoint::DEFAULT }, any(|| async {}));
        let pages = write(&routes);
        assert_eq!(pages.index, "## HELP\n> [/master][master]\n\n[master]: help/master\n");
        let master = &pages.processes[0];
        assert_eq!(
            master.index,
            "## `/master` ##\n> [/master/state][master/state]\n\n[master/state]: master/state\n"
        );
        assert_eq!(
            serde_json::to_string(&master.endpoints).unwrap(),
            r#####"[{"name":"/state","text":"### USAGE ###\n>        /state\n>        /master/state\n\n### TL;DR; ###\nShows all.\n\n### DESCRIPTION ###\nMuch.\n\nMore.\n\n### AUTHENTICATION ###\nCredentials are asked for if HTTP authentication is on.\n"}]"#####
        );
        let page = html(&pages.processes[0].index);
        assert!(page.contains(r#"<a href="master/state">/master/state</a>"#), "{page}");
        bind(&mut routes);
        let target = routes.find(&http::Method::GET, "/help/master/state").unwrap();
        assert_eq!((target.route.as_str(), target.rest.as_str()), ("/help/master", "state"));
    }
}
