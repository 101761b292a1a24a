//! A registry in a database in the master's `--work_dir`: `--registry=local`.
//!
//! The database is redb: one file, transactions that are synced to the disk before they return, checksums of every
//! page. One process at a time has it; its lock ends with the process, however that ends.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{
    Builder, CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, TransactionError,
};

use super::{Error, Record, Store};
use crate::registry::Change;

/// The file's name below `--work_dir`.
const FILE: &str = "registry.redb";

/// What a database is called until it has been written whole.
const UNFINISHED: &str = "registry.redb.new";

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// Bytes of pages that are kept in memory; records are read once and then only written.
const CACHE: usize = 4 << 20;

/// An open database.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    /// None before `load`.
    database: Option<Database>,
}

impl Local {
    /// Below this folder, which is made if need be.
    pub fn new(work_dir: &Path) -> Local {
        Local { path: work_dir.join(FILE), database: None }
    }

    /// For tests: a database on anything.
    #[cfg(test)]
    pub fn over(backend: impl redb::StorageBackend) -> Result<Local, Error> {
        let path = PathBuf::from("a test");
        let database = guarded(&path, || {
            let database = builder().create_with_backend(backend)?;
            prepare(&database)?;
            Ok(database)
        })?;
        Ok(Local { path, database: Some(database) })
    }

    fn open(&self) -> Result<Database, Error> {
        let io = |doing| move |source| Error::Io { doing, place: self.path.display().to_string(), source };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(io("making the folder of"))?;
        }
        match fs::metadata(&self.path) {
            // A new one is renamed to this only when it is whole.
            Ok(found) if found.len() == 0 => Err(self.damaged("the file is empty".to_owned())),
            Ok(_) => guarded(&self.path, || {
                let database = builder().open(&self.path)?;
                prepare(&database)?;
                Ok(database)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(),
            Err(error) => Err(io("opening")(error)),
        }
    }

    /// A new database is written under another name first, so that a crash leaves none or a whole one.
    fn create(&self) -> Result<Database, Error> {
        let unfinished = self.path.with_file_name(UNFINISHED);
        let io = |source| Error::Io { doing: "making", place: self.path.display().to_string(), source };
        let make = || {
            guarded(&unfinished, || {
                let database = builder().create(&unfinished)?;
                prepare(&database)?;
                Ok(database)
            })
        };
        let database = match make() {
            // What a crash left of an earlier attempt.
            Err(Error::Damaged { .. }) => {
                fs::remove_file(&unfinished).map_err(io)?;
                make()?
            }
            other => other?,
        };
        fs::rename(&unfinished, &self.path).map_err(io)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(database)
    }

    fn damaged(&self, why: String) -> Error {
        Error::Damaged { place: self.path.display().to_string(), why }
    }
}

impl Store for Local {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn peek(&mut self) -> Result<Vec<Record>, Error> {
        if let Err(source) = fs::metadata(&self.path) {
            return Err(Error::Io { doing: "reading", place: self.place(), source });
        }
        self.load()
    }

    fn load(&mut self) -> Result<Vec<Record>, Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open()?,
        };
        let records = guarded(&self.path, || read(&database));
        self.database = Some(database);
        records
    }

    fn write(&mut self, batch: &[Change]) -> Result<(), Error> {
        let Some(database) = &self.database else {
            return Err(self.damaged("it was not opened".to_owned()));
        };
        guarded(&self.path, || {
            let transaction = database.begin_write()?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                for change in batch {
                    match &change.value {
                        Some(value) => drop(records.insert(&*change.key, &**value)?),
                        None => drop(records.remove(&*change.key)?),
                    }
                }
            }
            Ok(transaction.commit()?)
        })
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn prepare(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    Ok(transaction.commit()?)
}

fn read(database: &Database) -> Result<Vec<Record>, Trouble> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(RECORDS)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        records.push((key.value().to_owned(), Bytes::copy_from_slice(value.value())));
    }
    Ok(records)
}

/// What redb says, in one type.
struct Trouble(redb::Error);

macro_rules! from {
    ($($kind:ty)*) => {$(
        impl From<$kind> for Trouble {
            fn from(error: $kind) -> Trouble {
                Trouble(error.into())
            }
        }
    )*};
}

from!(CommitError DatabaseError StorageError TableError TransactionError);

/// Runs what asks the database something. On a file that is not what it seems the library may panic.
fn guarded<T>(path: &Path, ask: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Error> {
    let place = || path.display().to_string();
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Trouble(error))) => Err(match error {
            redb::Error::DatabaseAlreadyOpen => Error::InUse { place: place() },
            // Not the file's beginning, as the library says it.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
                Error::Damaged { place: place(), why: source.to_string() }
            }
            redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Error::Damaged { place: place(), why: "it ends too early".to_owned() }
            }
            redb::Error::Io(source) => Error::Io { doing: "reading or writing", place: place(), source },
            other => Error::Damaged { place: place(), why: other.to_string() },
        }),
        Err(cause) => Err(Error::Damaged { place: place(), why: said(&*cause) }),
    }
}

fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
