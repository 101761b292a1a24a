//! Readers over HTTP, each in a thread of its own, one request after the other.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Get(&'static str),
    /// An operator's call, in one encoding both ways.
    Call {
        body: &'static [u8],
        encoding: &'static str,
    },
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub took: Duration,
    pub body: Vec<u8>,
}

pub fn ask(client: &ureq::Agent, master: SocketAddr, ask: Ask) -> Answer {
    let start = Instant::now();
    let answer = match ask {
        Ask::Get(path) => client.get(format!("http://{master}{path}")).call(),
        Ask::Call { body, encoding } => client
            .post(format!("http://{master}/api/v1"))
            .header("Content-Type", encoding)
            .header("Accept", encoding)
            .send(body),
    };
    let mut answer = answer.expect("the master answers");
    let mut body = Vec::new();
    answer.body_mut().as_reader().read_to_end(&mut body).expect("a whole answer");
    Answer { status: answer.status().as_u16(), took: start.elapsed(), body }
}

pub fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(300)))
        .build()
        .into()
}

/// Asks the same so many times. Only the last answer has its body: they are large.
pub fn times(master: SocketAddr, what: Ask, count: usize) -> Vec<Answer> {
    let client = client();
    let mut answers: Vec<Answer> = Vec::new();
    for _ in 0..count {
        if let Some(last) = answers.last_mut() {
            last.body = Vec::new();
        }
        answers.push(ask(&client, master, what));
    }
    answers
}

/// A reader that goes on until it is dropped.
pub struct Loop {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Loop {
    pub fn start(master: SocketAddr, what: Ask) -> Loop {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (client, mut count) = (client(), 0);
            while !stopped.load(Ordering::Relaxed) {
                ask(&client, master, what);
                count += 1;
            }
            count
        });
        Loop { stop, thread: Some(thread) }
    }

    /// How many answers it got.
    pub fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

pub fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}
