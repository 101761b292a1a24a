//! The thread of a store: it reads the registry for a master that begins to lead, and then writes what it is told.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Error, Store};
use crate::base::duration;
use crate::proto::MasterInfo;
use crate::registry::{Batch, Change, Failure, Key, Operation, Registry};

/// How long until a store that cannot be reached is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `--registry_fetch_timeout`.
    pub fetch: Duration,
    /// `--registry_store_timeout`.
    pub store: Duration,
}

/// The way to a store.
pub enum Writer {
    /// It never waits.
    Instant(Box<dyn Store>),
    Thread(mpsc::Sender<Batch>),
}

impl Writer {
    /// Takes the store into possession for this master, which is noted in it, and reads it. `done` is told of
    /// each write, from the store's thread. The error says why this master cannot lead.
    pub fn start(
        mut store: Box<dyn Store>,
        info: &MasterInfo,
        patience: Patience,
        done: impl Fn(Result<(), Failure>) + Send + 'static,
    ) -> Result<(Writer, Registry), String> {
        let info = Arc::new(info.clone());
        if store.is_instant() {
            let registry = recover(&mut *store, &info).map_err(|error| failed(&error))?;
            return Ok((Writer::Instant(store), registry));
        }
        let (batches, inbox) = mpsc::channel::<Batch>();
        let (recovered, recovery) = mpsc::channel();
        let end = Instant::now() + patience.fetch;
        let work = move || {
            let result = loop {
                match recover(&mut *store, &info) {
                    Err(RecoverError::Store(Error::Unavailable { .. })) if Instant::now() + PAUSE < end => {
                        thread::sleep(PAUSE);
                    }
                    other => break other,
                }
            };
            let go_on = result.is_ok();
            // Who waits may have lost patience.
            if recovered.send(result.map_err(|error| failed(&error))).is_err() || !go_on {
                return;
            }
            for batch in inbox {
                done(store.write(&batch).map_err(Failure::from));
            }
        };
        let started = thread::Builder::new().name("registry".to_owned()).spawn(work);
        started.map_err(|error| format!("Failed to recover registrar: starting a thread: {error}"))?;
        let registry = match recovery.recv_timeout(patience.fetch) {
            Ok(result) => result?,
            Err(RecvTimeoutError::Timeout) => {
                let time = duration::format(patience.fetch);
                return Err(format!("Failed to recover registrar: Failed to perform fetch within {time}"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("Failed to recover registrar: its thread has ended".to_owned());
            }
        };
        Ok((Writer::Thread(batches), registry))
    }

    /// Begins a write. The answer comes at once if the store never waits, and else through `done`.
    pub fn write(&mut self, batch: Batch) -> Option<Result<(), Failure>> {
        match self {
            Writer::Instant(store) => Some(store.write(&batch).map_err(Failure::from)),
            Writer::Thread(batches) => match batches.send(batch) {
                Ok(()) => None,
                Err(_) => Some(Err(Failure::Fatal("the thread of the registry has ended".to_owned()))),
            },
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RecoverError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Unreadable(#[from] crate::registry::record::Unreadable),
    #[error(
        "the registry asks for capabilities that this master lacks: {0}; it was last used by a later version, \
         see https://mesos.apache.org/documentation/latest/downgrades"
    )]
    Incapable(String),
}

fn failed(error: &RecoverError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("Failed to recover registrar: {error}{cause}")
}

/// Reads the registry, and notes who leads. Source: `RegistrarProcess::recover`, `Master::_recover`, 1.11.
fn recover(store: &mut dyn Store, info: &Arc<MasterInfo>) -> Result<Registry, RecoverError> {
    let mut registry = Registry::from_records(store.load()?)?;
    let missing = registry.missing_capabilities(info);
    if !missing.is_empty() {
        return Err(RecoverError::Incapable(missing.join(", ")));
    }
    registry.apply(&Operation::Lead(info.clone()));
    let value = registry.record(&Key::Master);
    store.write(&[Change { key: Key::Master.to_string(), value }])?;
    Ok(registry)
}
