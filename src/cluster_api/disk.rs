//! Objects in a file, so that they are there after the end of the process, however it ended.
//!
//! The file is one of redb's. What always holds: after any end, of the process or of the machine, it has the
//! objects as they were after some change, and none that was saved before is missing. Definitions of our
//! kinds are those of the program, and are not kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use serde_json::Value;

use super::kinds::{self, Kind};
use super::store::{Change, Key};

/// Objects as JSON, by plural and group, namespace and name: `flows.daskflow.dev/default/etl`.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// What is counted.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
/// The number of the format.
const FORMAT: &str = "format";
/// The format that is written, and the newest that is read.
const FORMAT_NOW: u64 = 1;
/// The version of the last change.
const VERSION: &str = "version";
/// How much of the file is kept in memory, in bytes: the objects are in memory themselves.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The name of an object in the file, and its JSON.
type Row = (String, Vec<u8>);

/// The objects cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A later release has written the file.
    #[error(
        "its format is {0}, and this daskflow knows no later one than {FORMAT_NOW}: use the release that wrote it"
    )]
    Newer(u64),
    /// An object is of no kind that is here.
    #[error(
        "it has an object {0}, of a kind that this daskflow does not know: use the release that wrote it"
    )]
    Unknown(String),
    /// An object is no JSON.
    #[error("its object {0} cannot be read")]
    Unreadable(String, #[source] serde_json::Error),
    /// The file cannot be read or written.
    #[error("its file cannot be read or written")]
    Storage(#[source] Box<redb::Error>),
    /// What writes the file has ended.
    #[error("what writes its file has ended")]
    Ended,
}

impl DiskError {
    /// What the disk said, if it was the disk.
    pub fn of_disk(&self) -> Option<&io::Error> {
        match self {
            Self::Storage(error) => match &**error {
                redb::Error::Io(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> Self {
        Self::Storage(Box::new(error))
    }
}

/// What was saved.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Saved {
    /// The version of the last change.
    pub version: u64,
    /// The objects with the places of their kinds.
    pub objects: Vec<(usize, Key, Value)>,
}

/// A file of objects, open.
#[derive(Debug)]
pub struct Disk(Database);

impl Disk {
    /// Opens a file, or makes a new one that only this user can read.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or is open already, or is of a later format.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let opened = |path: &Path| -> Result<FileBackend, redb::Error> {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            Ok(FileBackend::new(file)?)
        };
        if !path.exists() {
            // An end in between leaves no half of a file behind.
            let new = path.with_extension("new");
            let _ = fs::remove_file(&new);
            drop(Self::on(opened(&new)?)?);
            fs::rename(&new, path).map_err(redb::Error::from)?;
            if let Some(folder) = path.parent() {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(redb::Error::from)?;
            }
        }
        Self::on(opened(path)?)
    }

    /// On a file, or what a test has in its place.
    fn on(backend: impl StorageBackend) -> Result<Self, DiskError> {
        let disk = Self(database(backend)?);
        match disk.format()? {
            FORMAT_NOW => Ok(disk),
            newer => Err(DiskError::Newer(newer)),
        }
    }

    /// The format, which a new file is given.
    fn format(&self) -> Result<u64, redb::Error> {
        let transaction = self.0.begin_write()?;
        let mut numbers = transaction.open_table(NUMBERS)?;
        let known = numbers.get(FORMAT)?.map(|known| known.value());
        if let Some(known) = known {
            return Ok(known);
        }
        numbers.insert(FORMAT, FORMAT_NOW)?;
        drop(numbers);
        drop(transaction.open_table(OBJECTS)?);
        transaction.commit()?;
        Ok(FORMAT_NOW)
    }

    /// Reads all that was saved.
    pub(super) fn load(&self) -> Result<Saved, DiskError> {
        let (version, rows) = self.rows()?;
        let read = |(name, json): Row| {
            let Some((stored, key)) = placed(&name) else { return Err(DiskError::Unknown(name)) };
            let object = serde_json::from_slice(&json);
            Ok((stored, key, object.map_err(|error| DiskError::Unreadable(name, error))?))
        };
        Ok(Saved { version, objects: rows.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    fn rows(&self) -> Result<(u64, Vec<Row>), redb::Error> {
        let transaction = self.0.begin_read()?;
        let version = transaction.open_table(NUMBERS)?.get(VERSION)?.map(|version| version.value());
        let mut rows = Vec::new();
        for row in transaction.open_table(OBJECTS)?.iter()? {
            let (name, json) = row?;
            rows.push((name.value().to_owned(), json.value().to_vec()));
        }
        Ok((version.unwrap_or_default(), rows))
    }

    /// Saves changes, the oldest first, and the version of the last: all of them or none. When it returns,
    /// they are on the disk.
    pub(super) fn save(&self, changes: &[Change], version: u64) -> Result<(), DiskError> {
        let mut last: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for change in changes {
            let Some(kind) = kinds::stored_at(change.stored).filter(|kind| kind.writable) else { continue };
            let json = change.after.as_ref().map(|object| object.to_string().into_bytes());
            last.insert(name(kind, &change.key), json);
        }
        Ok(self.write(&last, version)?)
    }

    fn write(&self, last: &BTreeMap<String, Option<Vec<u8>>>, version: u64) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        let mut objects = transaction.open_table(OBJECTS)?;
        for (name, json) in last {
            match json {
                Some(json) => drop(objects.insert(name.as_str(), json.as_slice())?),
                None => drop(objects.remove(name.as_str())?),
            }
        }
        drop(objects);
        transaction.open_table(NUMBERS)?.insert(VERSION, version)?;
        transaction.commit()?;
        Ok(())
    }
}

fn database(backend: impl StorageBackend) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// The name of an object in the file.
fn name(kind: &Kind, key: &Key) -> String {
    format!("{}/{}/{}", kind.qualified(), key.namespace, key.name)
}

/// The place of the kind, and the key, of an object with this name.
fn placed(name: &str) -> Option<(usize, Key)> {
    let (kind, key) = name.split_once('/')?;
    let (namespace, name) = key.split_once('/')?;
    let kind = kinds::all().iter().find(|one| one.qualified() == kind)?;
    Some((kind.stored, Key::new(namespace, name)))
}

#[cfg(test)]
mod tests;
