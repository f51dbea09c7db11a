//! Which FlowRuns and FlowBackfills the files had, over restarts: so one that has run, and that was deleted
//! since, does not run again at the next start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::cure;
use super::objects::{Object, Objects};

/// The kinds that do something once.
pub const ONCE: [&str; 2] = ["FlowRun", "FlowBackfill"];

/// The record cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used: {cure}")]
pub struct Error {
    path: PathBuf,
    /// What can be done about it.
    cure: String,
    source: io::Error,
}

/// A file of them.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
}

impl Record {
    /// The one at this place.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// What the files had when it was written; nothing if it never was.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is another program's.
    pub fn read(&self) -> Result<Vec<Object>, Error> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|error| self.refused(error))?,
        };
        let values: Vec<Value> = serde_json::from_slice(&text)
            .map_err(|error| self.refused(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(values.into_iter().map(|value| Object { file: String::new(), line: 0, value }).collect())
    }

    /// Writes what the files have. After a crash it is the one before, or this one.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn write(&self, objects: &Objects) -> Result<(), Error> {
        let once = objects.all.iter().filter(|object| ONCE.contains(&object.kind()));
        let values: Vec<&Value> = once.map(|object| &object.value).collect();
        self.replace(&values).map_err(|error| self.refused(error))
    }

    fn replace(&self, values: &[&Value]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(values)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn refused(&self, source: io::Error) -> Error {
        Error { path: self.path.clone(), cure: cure::of(&source, cure::KEPT), source }
    }
}
