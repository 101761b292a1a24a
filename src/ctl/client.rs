//! Requests to masters and agents, bounded in time, and failures as sentences.

use std::io::Read;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, LOCATION};
use serde_json::Value;

use super::address::Address;
use super::error::Error;
use super::progress::Received;
use crate::base::duration;
use crate::flags::load::MESOS_VERSION;

/// A master of 10,000 agents may need a while for its state; it is known to be alive by then.
const PATIENCE: Duration = Duration::from_secs(60);

type Response = http::Response<ureq::Body>;

/// Talks HTTP. Directly: what proxies the environment names are for the world outside the cluster.
pub struct Client {
    agent: ureq::Agent,
    /// How long a first answer may take.
    timeout: Duration,
}

/// A master or agent that requests go to.
pub struct Server<'a> {
    client: &'a Client,
    address: Address,
    /// "the master", or "agent S0", for sentences.
    title: String,
    /// The process that its own endpoints are below: "master" or "slave(1)".
    process: String,
}

impl Client {
    pub fn new(timeout: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(format!("mesos-ctl/{MESOS_VERSION}"))
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_per_read(Some(PATIENCE.max(timeout)))
            .build();
        Client { agent: config.into(), timeout }
    }

    /// The leader, as this master names it; that it answers in time is known then.
    pub fn leader(&self, given: &Address) -> Result<Server<'_>, Error> {
        let server = self.server(given.clone(), "the master".to_owned(), "master".to_owned());
        let response = server.probe("/master/redirect")?;
        match response.status() {
            StatusCode::TEMPORARY_REDIRECT => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                return Err(Error::Unreachable(format!(
                    "The master at {given} knows of no leading master at present. Try again in a few seconds."
                )));
            }
            StatusCode::NOT_FOUND => {
                return Err(Error::Failed(format!(
                    "What answers at {given} is no master: it has no /master/redirect. {TRY_MASTER}"
                )));
            }
            _ => return Ok(server),
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(leader) = location.and_then(|location| location.parse::<Address>().ok()) else {
            return Ok(server);
        };
        // "localhost" said by another machine is no way to it; nor is a name that leads nowhere from here.
        let same_machine = leader.is_loopback() && (!given.is_loopback() || leader.port == given.port);
        if leader == *given || same_machine {
            return Ok(server);
        }
        let there = self.server(leader, "the leading master".to_owned(), "master".to_owned());
        if there.probe("/master/health").is_ok() { Ok(there) } else { Ok(server) }
    }

    pub fn server(&self, address: Address, title: String, process: String) -> Server<'_> {
        Server { client: self, address, title, process }
    }
}

/// A request that is being built.
pub struct Request<'a> {
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    /// Sent as a form with POST; none: GET.
    form: Option<&'a [(&'a str, &'a str)]>,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str) -> Request<'a> {
        Request { path, query: &[], form: None, headers: Vec::new() }
    }

    pub fn post(path: &'a str, form: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request { form: Some(form), ..Request::get(path) }
    }

    pub fn query(self, query: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request { query, ..self }
    }

    pub fn header(mut self, name: &'a str, value: &'a str) -> Request<'a> {
        self.headers.push((name, value));
        self
    }
}

const TRY_MASTER: &str = "Say where a master is with --master=HOST:PORT or MESOS_MASTER.";

impl<'a> Server<'a> {
    /// Another one, reached in the same way.
    pub fn other(&self, address: Address, title: String, process: String) -> Server<'a> {
        self.client.server(address, title, process)
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// "the master at localhost:5050".
    pub fn name(&self) -> String {
        format!("{} at {}", self.title, self.address)
    }

    /// The same, to begin a sentence with.
    pub fn capital_name(&self) -> String {
        let name = self.name();
        let mut letters = name.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    /// `/master/state` or `/slave(1)/state`.
    pub fn own(&self, endpoint: &str) -> String {
        format!("/{}/{endpoint}", self.process)
    }

    pub fn is_master(&self) -> bool {
        self.process == "master"
    }

    /// Whether an answer comes at all, and in time.
    fn probe(&self, path: &str) -> Result<Response, Error> {
        let timeout = self.client.timeout;
        let request = self.client.agent.get(self.url(path, &[]));
        request
            .config()
            .timeout_global(Some(timeout))
            .build()
            .call()
            .map_err(|error| self.failed(&error, timeout))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("http://{}{path}", self.address);
        if !query.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            url = format!("{url}?{query}");
        }
        url
    }

    /// Any answer; `patience` until it begins.
    fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let url = self.url(request.path, request.query);
        let patience = if self.is_master() { PATIENCE.max(self.client.timeout) } else { self.client.timeout };
        let sent = match request.form {
            None => {
                let mut get = self.client.agent.get(url);
                for (name, value) in &request.headers {
                    get = get.header(*name, *value);
                }
                get.config().timeout_recv_response(Some(patience)).build().call()
            }
            Some(form) => {
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                let post =
                    self.client.agent.post(url).header("content-type", "application/x-www-form-urlencoded");
                post.config().timeout_recv_response(Some(patience)).build().send(body)
            }
        };
        sent.map_err(|error| self.failed(&error, patience))
    }

    /// An answer with status 2xx, or why there is none.
    pub fn open(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.checked(self.send(request)?, request.path)
    }

    fn checked(&self, mut response: Response, path: &str) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = response.body_mut().with_config().limit(4096).lossy_utf8(true).read_to_string();
        let said = said.unwrap_or_default();
        let said = said.lines().next().unwrap_or_default().trim().trim_end_matches('.');
        let said =
            if said.is_empty() { status.canonical_reason().unwrap_or("no reason given") } else { said };
        let (name, capital) = (self.name(), self.capital_name());
        Err(match status {
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => {
                Error::NotThere(format!("{capital} has no {path}: {} {said}.", status.as_u16()))
            }
            StatusCode::TEMPORARY_REDIRECT => {
                let to =
                    response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                let leader = to.trim_start_matches("http:").trim_start_matches('/').split('/').next();
                let leader = leader.unwrap_or_default();
                Error::Unreachable(format!(
                    "{capital} does not lead; the leading master is at {leader}, which cannot be reached from \
                     here. Try --master with another name or address of it."
                ))
            }
            StatusCode::UNAUTHORIZED => Error::Failed(format!(
                "{capital} asks for credentials, which ctl cannot give yet. Ask one that has no \
                 --authenticate_http_readonly or --authenticate_http_readwrite."
            )),
            StatusCode::SERVICE_UNAVAILABLE => {
                Error::Failed(format!("{capital} cannot answer now: {said}. Try again in a few seconds."))
            }
            _ => Error::Failed(format!("Asked for {path}, {name} answers {}: {said}.", status.as_u16())),
        })
    }

    /// The whole body; a picture of progress if it takes long.
    pub fn bytes(&self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        let response = self.open(request)?;
        let length = content_length(&response);
        let mut body = Vec::new();
        let mut reader = Received::new(response.into_body().into_reader(), length, &self.name());
        reader.read_to_end(&mut body).map_err(|error| self.broken(&error))?;
        Ok(body)
    }

    pub fn json(&self, request: &Request<'_>) -> Result<Value, Error> {
        serde_json::from_slice(&self.bytes(request)?).map_err(|error| {
            let name = self.name();
            Error::Failed(format!(
                "What {name} answers to {} is no JSON: {error}. Is it a Mesos?",
                request.path
            ))
        })
    }

    /// `json` of an endpoint of its own: `state`, `slaves`.
    pub fn own_json(&self, endpoint: &str) -> Result<Value, Error> {
        self.json(&Request::get(&self.own(endpoint)))
    }

    pub fn text(&self, request: &Request<'_>) -> Result<String, Error> {
        self.bytes(request).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The connection ended within an answer.
    pub fn broken(&self, error: &std::io::Error) -> Error {
        Error::Unreachable(format!("The connection to {} broke: {error}. Try again.", self.name()))
    }

    fn failed(&self, error: &ureq::Error, patience: Duration) -> Error {
        let name = self.name();
        let hint = if self.is_master() {
            format!("Is it running? {TRY_MASTER}")
        } else {
            "Its machine may be down, or not be reached from here.".to_owned()
        };
        let lasted = duration::format(patience);
        Error::Unreachable(match error {
            ureq::Error::Timeout(
                ureq::Timeout::RecvResponse | ureq::Timeout::Global | ureq::Timeout::PerRead,
            ) => {
                format!(
                    "{} does not answer within {lasted}. {hint} --timeout waits longer.",
                    self.capital_name()
                )
            }
            ureq::Error::Timeout(_) => {
                format!("Cannot reach {name} within {}. {hint}", duration::format(self.client.timeout))
            }
            ureq::Error::HostNotFound => {
                format!("Cannot reach {name}: no machine of that name is known. {hint}")
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                format!("Cannot reach {name}: nothing listens there. {hint}")
            }
            ureq::Error::Protocol(error) => {
                return Error::Failed(format!(
                    "What answers at {} speaks no HTTP: {error}. {TRY_MASTER}",
                    self.address
                ));
            }
            error => format!("Cannot reach {name}: {error}. {hint}"),
        })
    }
}

pub fn content_length(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
