//! The Python of this machine that pods are run with: there is no image.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Says which Python and which Dask these are, in two lines, and in a third which modules of Dask's processes
/// files of the working directory hide; or fails on the import. The working directory is not imported from.
///
/// Importing Dask takes as long as all else until the first task, so it is imported only where something has
/// to be found out by it: there is no metadata of it, or the working directory has a name that is a module's.
const QUESTION: &str = r#"
import os, sys
here = os.path.realpath(os.getcwd())
sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != here]
print(sys.executable, sys.version.split()[0])
def module(entry):
    if os.path.isfile(os.path.join(entry, "__init__.py")):
        return entry
    return entry[:-3] if entry.endswith(".py") else ""
def quickly():
    from importlib import metadata, util
    version = metadata.version("distributed")
    names = set(map(module, os.listdir(here))) - {"__main__"}
    if util.find_spec("distributed") and not any(util.find_spec(name) for name in names if name.isidentifier()):
        return version
try:
    version = quickly()
except Exception:
    version = None
if version:
    print(version)
    print()
    sys.exit()
import distributed.cli.dask_scheduler
import distributed.cli.dask_worker
print(distributed.__version__)
def hides(name):
    if os.path.realpath(getattr(sys.modules[name], "__file__", None) or "").startswith(here + os.sep):
        return False
    return os.path.isfile(name + ".py") or os.path.isfile(os.path.join(name, "__init__.py"))
print(" ".join(sorted(name for name in list(sys.modules) if "." not in name and name != "__main__" and hides(name))))
"#;

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
    #[error(
        "{path} cannot be started: install Python, activate a virtual environment that is there (VIRTUAL_ENV), or \
         name one with --python"
    )]
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
    /// Files of the working directory are imported in the place of what Dask imports.
    #[error(
        "the working directory has files of the names {names}, which would be imported in the place of modules that \
         Dask's processes need: give them other names, or start daskflow in another folder"
    )]
    Hidden {
        /// The modules that they hide.
        names: String,
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
pub(super) fn choose(named: Option<&Path>, environment: Option<&OsStr>) -> PathBuf {
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
    let answer = Command::new(&chosen).args(["-c", QUESTION]).kill_on_drop(true).output().await;
    let answer = answer.map_err(|source| Error::Start { path: path.clone(), source })?;
    let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    let last = err.trim().lines().last().unwrap_or_default();
    if last.contains("No module named 'distributed'") {
        return Err(Error::NoDask { path });
    }
    let lines: Vec<&str> = out.lines().collect();
    let broken = || Error::Broken { path: path.clone(), message: last.to_owned() };
    let [first, distributed, hidden] = lines.as_slice() else { return Err(broken()) };
    let (executable, version) =
        first.rsplit_once(' ').filter(|_| answer.status.success()).ok_or_else(broken)?;
    if !hidden.is_empty() {
        return Err(Error::Hidden { names: hidden.replace(' ', ", ") });
    }
    Ok(Python {
        path: PathBuf::from(executable),
        version: version.to_owned(),
        distributed: (*distributed).to_owned(),
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
