//! A tree in a database below a folder: redb, one file, synced to the disk before a write returns.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::Error;
use crate::zk::core::records::{HEAD, Head};
use crate::zk::core::turn::Key;

const FILE: &str = "zookeeper.redb";

/// What it is called until it is whole.
const UNFINISHED: &str = "zookeeper.redb.new";

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// Bytes of pages in memory; records are read once and then only written.
const CACHE: usize = 4 << 20;

pub struct File {
    path: PathBuf,
    database: Database,
}

impl File {
    /// Opens the database below a folder, which is made if need be.
    pub fn open(folder: &Path) -> Result<File, Error> {
        let path = folder.join(FILE);
        let place = path.display().to_string();
        let io = |doing| {
            let place = place.clone();
            move |source| Error::Io { doing, place, source }
        };
        fs::create_dir_all(folder).map_err(io("making the folder of"))?;
        let failed = |error: DatabaseError| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::InUse { place: place.clone() },
            error => Error::Damaged { place: place.clone(), why: error.to_string() },
        };
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        if path.exists() {
            let database = builder.open(&path).map_err(failed)?;
            return Ok(File { path, database });
        }
        // A new one gets its name when it is whole, so that a crash leaves none or a good one.
        let unfinished = folder.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_file(&unfinished).map_err(io("removing what is left of"))?;
        }
        let database = builder.create(&unfinished).map_err(failed)?;
        let file = File { path: path.clone(), database };
        file.write([])?;
        fs::rename(&unfinished, &path).map_err(io("naming"))?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("syncing the folder of"))?;
        Ok(file)
    }

    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub fn damaged(&self, why: String) -> Error {
        Error::Damaged { place: self.place(), why }
    }

    pub fn read(&self) -> Result<Vec<(String, Bytes)>, Error> {
        let all = || -> Result<Vec<(String, Bytes)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(RECORDS)?;
            let records = table.iter()?;
            records
                .map(|record| {
                    let (name, value) = record?;
                    Ok((name.value().to_owned(), Bytes::copy_from_slice(value.value())))
                })
                .collect()
        };
        all().map_err(|error| self.damaged(error.to_string()))
    }

    /// Has these records when it returns, and the number of the last change. Blocks.
    pub fn keep(&self, records: &[(Key, Option<Bytes>)], zxid: i64) -> Result<(), Error> {
        // What the last change told of is of use to other front ends only.
        let head = Head { zxid, ..Head::default() };
        let records = records.iter().map(|(key, record)| (key.name(), record.clone()));
        self.write(records.chain([(HEAD.to_owned(), Some(head.write()))]))
    }

    /// Writes and removes records, all or none, and has them on the disk.
    fn write(&self, records: impl IntoIterator<Item = (String, Option<Bytes>)>) -> Result<(), Error> {
        let all = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(RECORDS)?;
                for (name, record) in records {
                    match record {
                        Some(record) => drop(table.insert(&*name, &*record)?),
                        None => drop(table.remove(&*name)?),
                    }
                }
            }
            Ok(transaction.commit()?)
        };
        all().map_err(|error| self.damaged(error.to_string()))
    }
}
