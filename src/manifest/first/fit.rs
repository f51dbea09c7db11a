//! Whether a Python has what a script is written for.

use super::imports::{Generation, Imports};
use super::{Installed, text};

/// Whether a script can run with a Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Nothing speaks against it.
    Well,
    /// It looks as if it could not: why, and what to do.
    Doubtful(String),
    /// It cannot: why, and what to do.
    Missing(String),
}

impl Fit {
    /// Of the script of this file, with these imports.
    pub fn of(file: &str, imports: &Imports, installed: &Installed) -> Self {
        let (file, path) = (text::comment(file), &installed.path);
        let prefect = installed.packages.get("prefect");
        let cure = |package: &str| {
            format!("run {path} -m pip install {package}, or name another Python with --python")
        };
        // Only what is imported in any case is surely missed.
        let lacks = |module: &str, package: &str| {
            imports.always.contains(module) && !installed.packages.contains_key(package)
        };
        if lacks("prefect", "prefect") {
            let wanted = match imports.generation {
                Some(Generation::First) => "'prefect<2'",
                Some(Generation::Later) => "prefect prefect-dask",
                None => "prefect",
            };
            return Self::Missing(format!(
                "{file} imports prefect, which {path} does not have: {}",
                cure(wanted)
            ));
        }
        if lacks("prefect_dask", "prefect-dask") {
            return Self::Missing(format!(
                "{file} imports prefect_dask, which {path} does not have: {}",
                cure("prefect-dask")
            ));
        }
        let is_first = prefect.map(|version| version.starts_with("0.") || version.starts_with("1."));
        match (imports.generation, is_first, prefect) {
            (Some(Generation::First), Some(false), Some(version)) => Self::Doubtful(format!(
                "{file} looks as if it was written for Prefect 1, and {path} has Prefect {version}: name a Python with \
                 Prefect 1 with --python"
            )),
            (Some(Generation::Later), Some(true), Some(version)) => Self::Doubtful(format!(
                "{file} looks as if it was written for Prefect 2 or later, and {path} has Prefect {version}: name a \
                 Python with that Prefect with --python"
            )),
            _ => Self::Well,
        }
    }
}
