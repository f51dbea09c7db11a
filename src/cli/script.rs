//! `daskflow local SCRIPT.py`: a script alone, and the manifest that is made of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::output::fail;
use crate::causes::chain;
use crate::local;
use crate::manifest::first::{self, Fit, Imports, Installed, Times};

/// The longest script that a Flow takes (`code.inline`), in characters.
const LETTERS_MAX: usize = 524_288;
/// The time zone that a schedule has without being asked.
const UTC: &str = "Etc/UTC";

// Each says that it does not go with -f: clap does not ask for what one `requires` where that may not be
// there.
#[derive(Clone, Debug, Args)]
pub(super) struct ScriptArguments {
    /// Instead of -f: a script, for which a Flow and a DaskCluster are made. Without --every and --cron it
    /// runs once, now, as with --once.
    #[arg(value_name = "SCRIPT")]
    script: Option<PathBuf>,
    /// A parameter of the script's flow. VALUE is JSON, or else a text. May be given several times.
    #[arg(
        short,
        long = "parameter",
        value_name = "NAME=VALUE",
        requires = "script",
        conflicts_with = "filename"
    )]
    parameters: Vec<Parameter>,
    /// How many workers the script's cluster has.
    #[arg(
        long,
        requires = "script",
        conflicts_with = "filename",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    workers: u16,
    /// Run the script once in such an interval, such as 1m, 36h or 1d.
    #[arg(long, value_name = "INTERVAL", requires = "script", conflicts_with_all = ["cron", "filename"])]
    every: Option<String>,
    /// Run the script at the times of a cron pattern, such as `0 8 * * 1-5`, in the time zone of this
    /// machine.
    #[arg(long, value_name = "PATTERN", requires = "script", conflicts_with = "filename")]
    cron: Option<String>,
    /// Print the manifest of the script, and run nothing.
    #[arg(long, requires = "script", conflicts_with = "filename")]
    print: bool,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq)]
struct Parameter(String, Value);

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or("write a name and a value, such as count=3")?;
        // What is no JSON is meant as it is written.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self(name.to_owned(), value))
    }
}

/// A script that no manifest can be made of, or that cannot run here.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{0} is not a text of Unicode in UTF-8")]
    Text(String),
    #[error("{0} is empty: there is nothing to run")]
    Empty(String),
    #[error("{0} is a manifest, or a folder: write daskflow local -f {0}")]
    Manifest(String),
    #[error(
        "{path} has {length} characters, and a manifest takes {max}: move a part of it into a module",
        max = LETTERS_MAX
    )]
    Long { path: String, length: usize },
    #[error("{0}")]
    Missing(String),
}

/// What is made of a script.
pub(super) enum Made {
    /// The manifest is printed: that is all.
    Printed(ExitCode),
    /// It is run.
    Run(Box<Run>),
}

/// A script that is to run.
pub(super) struct Run {
    /// What its manifest is called in messages.
    pub name: String,
    /// Its manifest.
    pub manifest: String,
    /// Whether it runs once, now.
    pub once: bool,
    /// The folder in which modules are that it imports, if it imports any from beside it; that of a script
    /// which runs again, in any case, since it may import one once it is saved.
    pub folder: Option<PathBuf>,
    /// The script, which may be made into a manifest again.
    pub recipe: Recipe,
}

/// A script, and how a manifest is made of it.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    arguments: ScriptArguments,
    script: PathBuf,
    /// What is installed in the Python that it runs with, where that is known.
    installed: Option<Installed>,
}

/// A manifest that was made of a script.
struct Written {
    manifest: String,
    /// The modules of the script's folder that it imports.
    beside: Vec<String>,
    /// What may keep it from running.
    doubt: Option<String>,
}

impl ScriptArguments {
    /// Makes the manifest of the script; none where there is no script.
    ///
    /// # Errors
    ///
    /// The reason was printed; this is the exit code.
    pub fn make(&self, python: Option<&Path>) -> Result<Option<Made>, ExitCode> {
        let Some(script) = &self.script else { return Ok(None) };
        self.make_of(script, python).map(Some).map_err(|error| fail(&error))
    }

    fn make_of(&self, script: &Path, python: Option<&Path>) -> Result<Made, Error> {
        // Whatever is wrong with the script is found before a Python is looked for.
        read(script)?;
        let installed = local::installed(python);
        let recipe = Recipe { arguments: self.clone(), script: script.to_owned(), installed };
        let Written { manifest, beside, doubt } = recipe.write()?;
        if let Some(doubt) = doubt {
            eprintln!("daskflow: hint: {doubt}");
        }
        if self.print {
            // Who reads no further than the first lines has what was wanted.
            let _ = io::stdout().lock().write_all(manifest.as_bytes());
            return Ok(Made::Printed(ExitCode::SUCCESS));
        }
        let once = self.every.is_none() && self.cron.is_none();
        let folder = std::path::absolute(folder_of(script).join(".")).ok();
        let folder = folder.filter(|_| !once || !beside.is_empty());
        Ok(Made::Run(Box::new(Run { name: recipe.name(), manifest, once, folder, recipe })))
    }

    fn parameters(&self) -> Map<String, Value> {
        self.parameters.iter().map(|Parameter(name, value)| (name.clone(), value.clone())).collect()
    }

    fn times<'a>(&'a self, zone: Option<&'a str>) -> Times<'a> {
        match (&self.every, &self.cron) {
            (Some(interval), _) => Times::Every(interval),
            (None, Some(pattern)) => Times::Cron(pattern, zone),
            (None, None) => Times::OnDemand,
        }
    }
}

impl Recipe {
    /// What the manifest is called in messages.
    pub fn name(&self) -> String {
        format!("the manifest of {}", self.script.display())
    }

    /// The script.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// The manifest of the script as it is now.
    ///
    /// # Errors
    ///
    /// Why none can be made of it, or why it cannot run here, in one line.
    pub fn manifest(&self) -> Result<String, String> {
        self.write().map(|written| written.manifest).map_err(|error| chain(&error))
    }

    fn write(&self) -> Result<Written, Error> {
        let (arguments, installed) = (&self.arguments, self.installed.as_ref());
        let file = self.script.display().to_string();
        let text = read(&self.script)?;
        let imports = Imports::of(&text);
        let fit = installed.filter(|_| !arguments.print).map(|found| Fit::of(&file, &imports, found));
        let doubt = match fit {
            Some(Fit::Missing(why)) => return Err(Error::Missing(why)),
            Some(Fit::Doubtful(why)) => Some(why),
            Some(Fit::Well) | None => None,
        };
        let beside = beside(folder_of(&self.script), &imports.modules);
        let zone =
            TimeZone::system().iana_name().filter(|zone| *zone != UTC && *zone != "UTC").map(str::to_owned);
        let manifest = first::write(&first::Script {
            file: &file,
            text: &text,
            beside: &beside,
            parameters: &arguments.parameters(),
            workers: arguments.workers,
            times: arguments.times(zone.as_deref()),
            installed,
        });
        Ok(Written { manifest, beside, doubt })
    }
}

fn folder_of(script: &Path) -> &Path {
    script.parent().unwrap_or(Path::new(""))
}

fn read(script: &Path) -> Result<String, Error> {
    let path = script.display().to_string();
    let kind = script.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    if ["yaml", "yml", "json"].contains(&kind) || script.is_dir() {
        return Err(Error::Manifest(path));
    }
    let bytes = fs::read(script).map_err(|source| Error::Read { path: path.clone(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Text(path.clone()))?;
    if text.trim().is_empty() {
        return Err(Error::Empty(path));
    }
    match text.chars().count() {
        length if length > LETTERS_MAX => Err(Error::Long { path, length }),
        _ => Ok(text),
    }
}

/// The modules that are files or packages in a folder.
fn beside(folder: &Path, modules: &BTreeSet<String>) -> Vec<String> {
    let is_there = |module: &&String| {
        folder.join(module).join("__init__.py").is_file() || folder.join(format!("{module}.py")).is_file()
    };
    modules.iter().filter(is_there).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_is_json_or_a_text() {
        for (text, name, value) in [
            ("count=3", "count", json!(3)),
            ("name=three", "name", json!("three")),
            ("name=\"3\"", "name", json!("3")),
            ("days=[1, 2]", "days", json!([1, 2])),
            ("url=http://a?b=c", "url", json!("http://a?b=c")),
            ("empty=", "empty", json!("")),
        ] {
            assert_eq!(text.parse(), Ok(Parameter(name.to_owned(), value)), "{text}");
        }
        for text in ["count", "=3"] {
            assert!(text.parse::<Parameter>().unwrap_err().contains("such as count=3"), "{text}");
        }
    }

    #[test]
    fn a_script_that_cannot_be_used_is_refused_with_a_cure() {
        let folder = std::env::temp_dir().join(format!("daskflow-scripts-{}", std::process::id()));
        fs::create_dir_all(folder.join("tables")).unwrap();
        let long = "#".repeat(LETTERS_MAX + 1);
        for (file, text, words) in [
            ("empty.py", b" \n".as_slice(), "is empty"),
            ("latin.py", b"# \xe9\n", "UTF-8"),
            ("flow.yaml", b"kind: Flow\n", "write daskflow local -f"),
            ("long.py", long.as_bytes(), "524289 characters"),
        ] {
            fs::write(folder.join(file), text).unwrap();
            let error = read(&folder.join(file)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(read(&folder).unwrap_err().to_string().contains("a folder"));
        assert!(read(&folder.join("nowhere.py")).unwrap_err().to_string().contains("cannot be read"));
        fs::write(folder.join("tables/__init__.py"), "").unwrap();
        let modules = ["empty", "tables", "dask"].map(str::to_owned).into();
        assert_eq!(beside(&folder, &modules), ["empty", "tables"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
