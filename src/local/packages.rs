//! Which packages a Python has, by their names in `pip`: no module is imported for it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use super::python::choose;
use crate::manifest::first::{Installed, PACKAGES};

/// Writes a line for the interpreter, and one for each package that is there. The working directory is not
/// imported from.
const QUESTION: &str = r"
import sys
sys.path[:] = [path for path in sys.path if path]
try:
    from importlib.metadata import version
except ImportError:  # Python 3.7
    from pkg_resources import get_distribution
    version = lambda name: get_distribution(name).version
print(sys.executable, sys.version.split()[0])
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except Exception:
        pass
";

/// What the Python has that pods would be run with; none where there is no such Python, or one that does not
/// say.
pub fn installed(python: Option<&Path>) -> Option<Installed> {
    let chosen = choose(python, env::var_os("VIRTUAL_ENV").as_deref());
    let answer =
        Command::new(chosen).args(["-c", QUESTION]).args(PACKAGES).stdin(Stdio::null()).output().ok()?;
    let out = String::from_utf8_lossy(&answer.stdout);
    let mut lines = out.lines().filter_map(|line| line.rsplit_once(' '));
    let (path, version) = lines.next().filter(|_| answer.status.success())?;
    let packages = lines.map(|(name, version)| (name.to_owned(), version.to_owned())).collect();
    Some(Installed { path: path.to_owned(), version: version.to_owned(), packages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_python_says_nothing() {
        assert_eq!(installed(Some(Path::new("/nowhere/python"))), None);
        assert_eq!(installed(Some(Path::new("true"))), None);
    }
}
