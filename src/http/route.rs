//! The endpoint table: which path of which process is served by what.
//!
//! A role writes each endpoint as one row, a constant [`Endpoint`], and binds it to a handler with
//! [`Routes::add`]. Handlers are axum handlers; the body they get is whole, within bounds and inflated, unless
//! the row asks for a stream. `/help` prints the rows.
//!
//! Source: `ProcessManager::handle`, `ProcessBase::consume(HttpEvent)`, process.cpp 1.11.

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::MethodRouter;
use http::Method;
use percent_encoding::percent_decode_str;

use super::error::HttpError;
use super::query::Query;

/// One endpoint of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Below the process: `/state` for `/master/state`; `/` for `/master` itself.
    pub path: &'static str,
    /// Methods taken, in the order told to who uses another; none means any. `GET` includes `HEAD`.
    pub methods: &'static [&'static str],
    /// Also served as `path.json`, its name up to Mesos 1.7.
    pub json: bool,
    /// The handler reads the body itself, piece by piece.
    pub streaming: bool,
    /// Takes whatever query comes: it is for the pages that are served here.
    pub any_query: bool,
    /// One line on what it does.
    pub tldr: &'static str,
    /// More lines, in Markdown. Those that begin with `>` name the parameters of the query.
    pub description: &'static [&'static str],
    /// Whether it asks who is there, once authentication is on.
    pub authentication: bool,
    /// Lines on what the principal must be allowed to do.
    pub authorization: &'static [&'static str],
}

impl Endpoint {
    /// What a row need not say: `Endpoint { path: "/health", tldr: "…", ..Endpoint::DEFAULT }`.
    pub const DEFAULT: Endpoint = Endpoint {
        path: "/",
        methods: &[],
        json: false,
        streaming: false,
        any_query: false,
        tldr: "",
        description: &[],
        authentication: false,
        authorization: &[],
    };

    /// The parameters of the query that are described: `limit` of `>        limit=VALUE   At most so many`.
    fn parameters(&self) -> impl Iterator<Item = &'static str> {
        let described = self.description.iter().filter_map(|line| line.strip_prefix('>'));
        described
            .filter_map(|line| Some(line.trim_start().split_once('=')?.0))
            .filter(|name| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
    }

    /// 400 if the query has a parameter that the endpoint does not know: it would answer another question than was
    /// asked. What only concerns caches (`_=1234`) and callbacks is taken everywhere.
    pub fn check_query(&self, query: Option<&str>) -> Result<(), HttpError> {
        let Some(query) = query.filter(|query| !query.is_empty() && !self.any_query) else { return Ok(()) };
        let query = Query::parse(query.as_bytes());
        let known = |name: &str| {
            name == "jsonp" || name.starts_with('_') || self.parameters().any(|known| known == name)
        };
        let Some(unknown) = query.names().find(|name| !known(name)) else { return Ok(()) };
        let known: Vec<&str> = self.parameters().collect();
        let expected = match known.is_empty() {
            true => "expecting none".to_owned(),
            false => format!("expecting one of {}", known.join(", ")),
        };
        let unknown = unknown.escape_debug();
        Err(HttpError::bad_request(format!("Unknown parameter '{unknown}', {expected}")))
    }

    /// 405 unless the endpoint takes this method.
    fn check(&self, method: &Method) -> Result<(), HttpError> {
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        let known = |allowed: &[&str]| allowed.contains(&method);
        if self.methods.is_empty() || known(self.methods) {
            return Ok(());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        Err(HttpError::method_not_allowed(self.methods, &method))
    }
}

/// All endpoints behind one port.
#[derive(Clone, Default)]
pub struct Routes {
    /// Process, path below it without slashes at its ends, row.
    table: BTreeMap<String, BTreeMap<String, Endpoint>>,
    /// Gets what names no process.
    delegate: Option<String>,
    router: Router,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub endpoint: Endpoint,
    /// As the router knows it: `/master/api/v1`.
    pub route: String,
    /// The part of the path beyond the endpoint's: `operator` of `/master/api/v1/operator`.
    pub rest: String,
}

/// What came behind the path of the endpoint, raw; in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest(pub String);

impl Routes {
    pub fn new() -> Routes {
        Routes::default()
    }

    /// Requests whose first part names no process go to this one: `/state` to `/master/state`.
    pub fn delegate(&mut self, process: &str) {
        self.delegate = Some(process.to_owned());
    }

    /// Binds a row to its handler: `routes.add("master", &HEALTH, axum::routing::any(health).with_state(state))`.
    ///
    /// The row's methods are checked before, so `any` does. A path bound twice is a fault of ours.
    pub fn add(&mut self, process: &str, endpoint: &Endpoint, handler: MethodRouter) {
        self.add_path(process, endpoint.path, endpoint, handler.clone());
        if endpoint.json {
            self.add_path(process, &format!("{}.json", endpoint.path), endpoint, handler);
        }
    }

    /// Binds a row at another path than its own: one that is known only at run time.
    pub fn add_path(&mut self, process: &str, path: &str, endpoint: &Endpoint, handler: MethodRouter) {
        let name = path.trim_matches('/').to_owned();
        let route = route(process, &name);
        let paths = self.table.entry(process.to_owned()).or_default();
        let before = paths.insert(name, *endpoint);
        assert!(before.is_none(), "endpoint {route} is bound twice");
        self.router = std::mem::take(&mut self.router).route(&route, handler);
    }

    /// Whether what names no process goes to this one.
    pub fn delegates_to(&self, process: &str) -> bool {
        self.delegate.as_deref() == Some(process)
    }

    /// Adds every endpoint of another table, as `mesos local` does with those of its roles.
    ///
    /// The delegate stays; a path bound in both is a fault of ours.
    pub fn merge(&mut self, other: Routes) {
        for (process, paths) in other.table {
            let ours = self.table.entry(process).or_default();
            ours.extend(paths);
        }
        self.router = std::mem::take(&mut self.router).merge(other.router);
        self.delegate = self.delegate.take().or(other.delegate);
    }

    /// Every process with its rows, by path, as `/help` lists them. Rows with a `.json` twin are there twice.
    pub fn table(&self) -> &BTreeMap<String, BTreeMap<String, Endpoint>> {
        &self.table
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Finds who serves a path: the longest route that it starts with. A slash at the end does not count.
    pub fn find(&self, method: &Method, path: &str) -> Result<Target, HttpError> {
        if !path.starts_with('/') {
            return Err(HttpError::bad_request("Request URL path must start with '/'"));
        }
        if path.contains("/..") {
            return Err(HttpError::not_found());
        }
        let target = self.lookup(path).ok_or_else(HttpError::not_found)?;
        target.endpoint.check(method)?;
        Ok(target)
    }

    fn lookup(&self, path: &str) -> Option<Target> {
        let path = path.trim_matches('/');
        let (first, below) = path.split_once('/').unwrap_or((path, ""));
        let first = percent_decode_str(first).decode_utf8().ok();
        let named = first.and_then(|id| self.table.get_key_value(id.as_ref()));
        let (process, paths, name) = match (named, &self.delegate) {
            (Some((process, paths)), _) => (process, paths, below.trim_matches('/')),
            (None, Some(process)) => (process, self.table.get(process)?, path),
            (None, None) => return None,
        };
        let mut prefix = name;
        loop {
            if let Some(endpoint) = paths.get(prefix) {
                let rest = name[prefix.len()..].trim_start_matches('/').to_owned();
                return Some(Target { endpoint: *endpoint, route: route(process, prefix), rest });
            }
            // `/` is the process itself and not what all its paths start with.
            prefix = prefix.rsplit_once('/')?.0;
        }
    }
}

fn route(process: &str, name: &str) -> String {
    if name.is_empty() { format!("/{process}") } else { format!("/{process}/{name}") }
}

#[cfg(test)]
mod tests {
    use axum::routing::any;

    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::new();
        routes.delegate("master");
        let row = Endpoint::DEFAULT;
        for path in ["/", "/state", "/api/v1", "/api/v1/scheduler"] {
            routes.add("master", &Endpoint { path, json: path == "/state", ..row }, any(|| async {}));
        }
        let methods = &["POST"];
        routes.add("slave(1)", &Endpoint { path: "/api/v1", methods, ..row }, any(|| async {}));
        routes
    }

    fn find(path: &str) -> Option<(String, String)> {
        routes().find(&Method::GET, path).ok().map(|target| (target.route, target.rest))
    }

    fn at(route: &str, rest: &str) -> Option<(String, String)> {
        Some((route.to_owned(), rest.to_owned()))
    }

    #[test]
    fn a_query_is_known_from_its_description() {
        let description =
            &["Query parameters:", "", ">        limit=VALUE   At most so many.", ">        (a=b too)"];
        let row = Endpoint { path: "/tasks", description, ..Endpoint::DEFAULT };
        let refused =
            |row: &Endpoint, query| row.check_query(Some(query)).err().map(|error| error.body().to_owned());
        for known in ["", "limit=1", "limit=x&limit=y", "limit", "jsonp=f&_=1637"] {
            assert_eq!(refused(&row, known), None, "{known}");
        }
        let text = |name, rest| Some(format!("Unknown parameter '{name}', {rest}"));
        assert_eq!(refused(&row, "limit=1&lim%0ait=2"), text("lim\\nit", "expecting one of limit"));
        assert_eq!(refused(&Endpoint::DEFAULT, "a=b"), text("a", "expecting none"));
        assert_eq!(refused(&Endpoint { any_query: true, ..row }, "a=b"), None);
        assert!(row.check_query(None).is_ok());
    }

    #[test]
    fn the_longest_route_wins() {
        assert_eq!(find("/master/state"), at("/master/state", ""));
        assert_eq!(find("/master/state/"), at("/master/state", ""));
        assert_eq!(find("/master/state.json"), at("/master/state.json", ""));
        assert_eq!(find("/master/api/v1/scheduler"), at("/master/api/v1/scheduler", ""));
        assert_eq!(find("/master/api/v1/operator"), at("/master/api/v1", "operator"));
        assert_eq!(find("/master/api"), None);
    }

    #[test]
    fn the_delegate_gets_what_names_no_process() {
        assert_eq!(find("/state"), at("/master/state", ""));
        assert_eq!(find("/api/v1/scheduler"), at("/master/api/v1/scheduler", ""));
        assert_eq!(find("/"), at("/master", ""));
        assert_eq!(find("/master"), at("/master", ""));
        assert_eq!(find("/nonsense"), None);
        assert_eq!(find("/%zz/state"), None);
        assert_eq!(find("/state/../x"), None);
    }

    #[test]
    fn ids_may_be_escaped() {
        let post = |path| routes().find(&Method::POST, path).map(|target| target.route);
        assert_eq!(post("/slave%281%29/api/v1"), Ok("/slave(1)/api/v1".to_owned()));
        assert_eq!(post("/slave(1)/api/v1"), Ok("/slave(1)/api/v1".to_owned()));
    }

    #[test]
    fn other_methods_are_told_which() {
        let error = routes().find(&Method::PUT, "/slave(1)/api/v1").unwrap_err();
        assert_eq!(error.status().as_u16(), 405);
        assert_eq!(error.body(), "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'PUT'.");
    }
}
