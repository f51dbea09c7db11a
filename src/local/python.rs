//! The Python of this machine that pods are run with: there is no image.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Says which Python and which Dask these are, in two lines, or fails on the import.
const QUESTION: &str = "import sys; print(sys.executable, sys.version.split()[0]); import distributed; \
                        print(distributed.__version__)";

/// A Python that has Dask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The interpreter.
    pub path: PathBuf,
    /// Its version, such as `3.11.7`.
    pub version: String,
    /// The version of `distributed`.
    pub distributed: String,
}

/// There is no Python to run pods with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be started.
    #[error("{path} cannot be started: install Python, or name one with --python")]
    Start {
        /// What was tried.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It has no Dask.
    #[error(
        "{path} has no distributed, which all of Dask's processes need: run {path} -m pip install distributed, or name \
         another Python with --python"
    )]
    NoDask {
        /// The interpreter.
        path: String,
    },
    /// It fails where it should answer.
    #[error("{path} cannot import distributed: {message}")]
    Broken {
        /// The interpreter.
        path: String,
        /// The last line that it wrote.
        message: String,
    },
}

/// The Python that is named, else that of the active virtual environment, else `python3`.
fn choose(named: Option<&Path>, environment: Option<&OsStr>) -> PathBuf {
    let active = environment.filter(|folder| !folder.is_empty());
    let active = active.map(|folder| Path::new(folder).join("bin/python"));
    named.map(Path::to_owned).or(active).unwrap_or_else(|| PathBuf::from("python3"))
}

/// Chooses a Python and asks it for Dask.
///
/// # Errors
///
/// It cannot be started, or has no Dask.
pub async fn find(named: Option<&Path>) -> Result<Python, Error> {
    let chosen = choose(named, env::var_os("VIRTUAL_ENV").as_deref());
    let path = chosen.display().to_string();
    let answer = Command::new(&chosen).args(["-c", QUESTION]).output().await;
    let answer = answer.map_err(|source| Error::Start { path: path.clone(), source })?;
    let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    let last = err.trim().lines().last().unwrap_or_default();
    if last.contains("No module named 'distributed'") {
        return Err(Error::NoDask { path });
    }
    let mut lines = out.lines();
    let (Some((executable, version)), Some(distributed)) =
        (lines.next().and_then(|line| line.rsplit_once(' ')), lines.next())
    else {
        return Err(Error::Broken { path, message: last.to_owned() });
    };
    Ok(Python {
        path: PathBuf::from(executable),
        version: version.to_owned(),
        distributed: distributed.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_counts_before_the_environment() {
        let named = Path::new("/opt/python");
        assert_eq!(choose(Some(named), Some(OsStr::new("/venv"))), named);
        assert_eq!(choose(None, Some(OsStr::new("/venv"))), Path::new("/venv/bin/python"));
        assert_eq!(choose(None, Some(OsStr::new(""))), Path::new("python3"));
    }

    #[tokio::test]
    async fn what_is_no_python_is_refused_with_what_to_do() {
        let error = find(Some(Path::new("/nowhere/python"))).await.unwrap_err().to_string();
        assert!(error.contains("--python"), "{error}");
        let error = find(Some(Path::new("true"))).await.unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
    }
}
