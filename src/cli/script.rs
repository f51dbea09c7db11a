//! `daskflow local SCRIPT.py`: a script alone, and the manifest that is made of it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, Args};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::out::print;
use super::output::{fail, say};
use super::parameter::{Parameter, by_name};
use crate::api::interval::parse_interval;
use crate::causes::chain;
use crate::local;
use crate::manifest::first::{self, Fit, Imports, Installed, Times};
use crate::manifest::shell::word;
use crate::plan::schedule::{Clock, ClockSpec, Timing, find_zone};

/// The longest script that a Flow takes (`code.inline`), in characters.
const LETTERS_MAX: usize = 524_288;
/// The most bytes that so many characters have in UTF-8.
const BYTES_MAX: u64 = 4 * 524_288;
/// The time zone that a schedule has without being asked.
const UTC: &str = "Etc/UTC";

#[derive(Debug, Args)]
pub(super) struct ScriptArguments {
    /// Instead of -f: a script, for which a Flow and a DaskCluster are made. Without --every and --cron it
    /// runs once, now, as with --once.
    #[arg(value_name = "SCRIPT")]
    script: Option<PathBuf>,
    #[command(flatten)]
    wishes: Wishes,
    /// Print the manifest of the script, and run nothing.
    #[arg(long, requires = "script", conflicts_with = "filename")]
    print: bool,
}

/// What the manifest of a script is to have.
#[derive(Clone, Debug, Args)]
pub(super) struct Wishes {
    /// A parameter of the script's flow. VALUE is JSON, or else a text. May be given several times.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<Parameter>,
    /// How many workers the script's cluster has.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: u16,
    /// Run the script once in such an interval, such as 1m, 36h or 1d.
    #[arg(long, value_name = "INTERVAL", conflicts_with = "cron", value_parser = interval)]
    every: Option<String>,
    /// Run the script at the times of a cron pattern, such as `0 8 * * 1-5`, in the time zone of this
    /// machine.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    cron: Option<String>,
    /// Arguments of the script itself.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// An interval as it is written, where a clock can have it.
fn interval(text: &str) -> Result<String, String> {
    let every = parse_interval(text).map_err(|error| error.to_string())?;
    of_a_clock(text, every.into())
}

/// A cron pattern as it is written, where a clock can have it.
fn pattern(text: &str) -> Result<String, String> {
    of_a_clock(text, Timing::Cron(text.to_owned()))
}

fn of_a_clock(text: &str, timing: Timing) -> Result<String, String> {
    let clock = Clock::parse(&ClockSpec::new("every", timing, UTC));
    clock.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Where -f may stand instead of a script, wishes are for a script. Each says that it does not go with -f:
/// clap does not ask for what one `requires` where that may not be there.
pub(super) fn with_script(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "parameters" | "workers" | "every" | "cron" | "arguments" => {
            argument.requires("script").conflicts_with("filename")
        }
        _ => argument,
    }
}

/// A script that no manifest can be made of, or that cannot run here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{0} is no file: name a script of Python")]
    Special(String),
    #[error("{0} is a notebook: `jupyter nbconvert --to script {file}` makes a script of it", file = word(.0))]
    Notebook(String),
    #[error("{0} is no script of Python by its name: it would end in .py")]
    Foreign(String),
    #[error(
        "{0} is not a text of Unicode in UTF-8: save it as UTF-8, and delete a line on top that names another coding"
    )]
    Text(String),
    #[error("{0} is empty: there is nothing to run")]
    Empty(String),
    #[error("{0} is a manifest already: daskflow local -f {file} runs it", file = word(.0))]
    Manifest(String),
    #[error(
        "{0} is a folder: name a script in it; daskflow local -f {folder} runs the manifests of a folder",
        folder = word(.0)
    )]
    Folder(String),
    #[error(
        "{path} has {bytes} bytes, and a manifest takes {max} characters: move a part of it into a module",
        max = LETTERS_MAX
    )]
    Large { path: String, bytes: u64 },
    #[error(
        "{path} has {length} characters, and a manifest takes {max}: move a part of it into a module",
        max = LETTERS_MAX
    )]
    Long { path: String, length: usize },
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    Parameters(String),
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
    wishes: Wishes,
    script: PathBuf,
    /// What is installed in the Python that it runs with, where that is known.
    installed: Option<Installed>,
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
        let read = ScriptFile::new(script, python)?;
        let recipe = Recipe {
            wishes: self.wishes.clone(),
            script: script.to_owned(),
            installed: read.installed.clone(),
        };
        let manifest = read.manifest(&self.wishes)?;
        if let Some(doubt) = self.wishes.doubt() {
            say(&format!("daskflow: hint: {doubt}"));
        }
        if self.print {
            return Ok(Made::Printed(print(manifest.as_bytes())));
        }
        if let Some(doubt) = read.doubt()? {
            say(&format!("daskflow: hint: {doubt}"));
        }
        let once = self.wishes.every.is_none() && self.wishes.cron.is_none();
        let folder = std::path::absolute(folder_of(script).join(".")).ok();
        let folder = folder.filter(|_| !once || !read.beside.is_empty());
        Ok(Made::Run(Box::new(Run { name: recipe.name(), manifest, once, folder, recipe })))
    }
}

/// A script that was read, and what is beside it and on this machine.
pub(super) struct ScriptFile {
    file: String,
    text: String,
    imports: Imports,
    beside: Vec<String>,
    installed: Option<Installed>,
}

impl ScriptFile {
    /// Reads a script, and asks the Python what it has.
    ///
    /// # Errors
    ///
    /// No manifest can be made of it.
    pub fn new(script: &Path, python: Option<&Path>) -> Result<Self, Error> {
        // Whatever is wrong with the script is found before a Python is looked for.
        let text = read(script)?;
        Ok(Self::of(script, text, local::installed(python)))
    }

    fn of(script: &Path, text: String, installed: Option<Installed>) -> Self {
        let imports = Imports::of(&text);
        let beside = beside(folder_of(script), &imports.modules);
        Self { file: script.display().to_string(), text, imports, beside, installed }
    }

    /// What may keep it from running here.
    ///
    /// # Errors
    ///
    /// It cannot run here.
    fn doubt(&self) -> Result<Option<String>, Error> {
        match self.installed.as_ref().map(|found| Fit::of(&self.file, &self.imports, found)) {
            Some(Fit::Missing(why)) => Err(Error::Missing(why)),
            Some(Fit::Doubtful(why)) => Ok(Some(why)),
            Some(Fit::Well) | None => Ok(None),
        }
    }

    /// The manifest of the script.
    ///
    /// # Errors
    ///
    /// The wishes do not go together.
    pub fn manifest(&self, wishes: &Wishes) -> Result<String, Error> {
        let zone = zone_of(&TimeZone::system()).filter(|zone| ![UTC, "UTC"].contains(&zone.as_str()));
        Ok(first::write(&first::Script {
            file: &self.file,
            text: &self.text,
            beside: &self.beside,
            parameters: &wishes.parameters()?,
            arguments: &wishes.arguments,
            workers: wishes.workers,
            times: wishes.times(zone.as_deref()),
            installed: self.installed.as_ref(),
        }))
    }
}

/// The name of a zone, where it has one that a clock can have: not where it is a rule, as in `TZ=UTC-3`.
fn zone_of(zone: &TimeZone) -> Option<String> {
    zone.iana_name().filter(|name| find_zone(name).is_ok()).map(str::to_owned)
}

impl Wishes {
    fn parameters(&self) -> Result<Map<String, Value>, Error> {
        by_name(&self.parameters).map_err(Error::Parameters)
    }

    /// What may not be meant by a cron pattern on this machine, whose zone the manifest has.
    pub fn doubt(&self) -> Option<&'static str> {
        let is_known = zone_of(&TimeZone::system()).is_some();
        (self.cron.is_some() && !is_known).then_some(
            "the time zone of this machine has no name, and the cron pattern counts in UTC: set TZ to one such as \
             Europe/Paris, or write timeZone into the manifest",
        )
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
        let made = self.read().and_then(|read| read.doubt().and_then(|_| read.manifest(&self.wishes)));
        made.map_err(|error| chain(&error))
    }

    fn read(&self) -> Result<ScriptFile, Error> {
        Ok(ScriptFile::of(&self.script, read(&self.script)?, self.installed.clone()))
    }
}

/// The folder in which a script is.
fn folder_of(script: &Path) -> &Path {
    script.parent().unwrap_or(Path::new(""))
}

fn read(script: &Path) -> Result<String, Error> {
    let path = script.display().to_string();
    let kind = script.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    if script.is_dir() {
        return Err(Error::Folder(path));
    }
    if ["yaml", "yml", "json"].contains(&kind) {
        return Err(Error::Manifest(path));
    }
    if kind == "ipynb" {
        return Err(Error::Notebook(path));
    }
    // A script without an ending may be one that is started by its name.
    if !["py", "pyw", ""].contains(&kind) {
        return Err(Error::Foreign(path));
    }
    let found = fs::metadata(script).map_err(|source| Error::Read { path: path.clone(), source })?;
    if !found.is_file() {
        return Err(Error::Special(path));
    }
    // What has more bytes than that has too many characters, and is not read for it.
    if found.len() > BYTES_MAX {
        return Err(Error::Large { path, bytes: found.len() });
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
    use super::*;

    #[test]
    fn a_zone_without_a_name_is_none() {
        assert_eq!(zone_of(&TimeZone::get("Europe/Paris").unwrap()).as_deref(), Some("Europe/Paris"));
        assert_eq!(zone_of(&TimeZone::posix("UTC-3").unwrap()), None, "a rule");
        assert_eq!(zone_of(&TimeZone::unknown()), None);
    }

    #[test]
    fn times_are_those_that_a_clock_can_have() {
        for (text, words) in [
            ("90", "`90` lacks a unit"),
            ("1 h", "is no interval"),
            ("0s", "is too short; write at least 1s"),
            ("0d", "is too short"),
            ("1d12h", "write one of them alone"),
            ("often", "is no interval"),
        ] {
            assert!(interval(text).unwrap_err().contains(words), "{text}: {:?}", interval(text));
        }
        for (text, words) in
            [("every day", "needs five"), ("0 25 * * *", "25"), ("0 0 30 2 *", "never comes")]
        {
            assert!(pattern(text).unwrap_err().contains(words), "{text}: {:?}", pattern(text));
        }
        for text in ["1m", "36h", "1d", "1mo"] {
            assert_eq!(interval(text).as_deref(), Ok(text));
        }
        assert_eq!(pattern("0 8 * * 1-5").as_deref(), Ok("0 8 * * 1-5"));
    }

    #[test]
    fn a_script_that_cannot_be_used_is_refused_with_a_cure() {
        let folder = std::env::temp_dir().join(format!("daskflow-scripts-{}", std::process::id()));
        fs::create_dir_all(folder.join("tables")).unwrap();
        let long = "#".repeat(LETTERS_MAX + 1);
        let larger = "#".repeat(4 * LETTERS_MAX + 1);
        for (file, text, words) in [
            ("empty.py", b" \n".as_slice(), "is empty"),
            ("latin.py", b"# \xe9\n", "save it as UTF-8"),
            ("flow.yaml", b"kind: Flow\n", "is a manifest already: daskflow local -f"),
            ("long.py", long.as_bytes(), "524289 characters"),
            ("large.py", larger.as_bytes(), "has 2097153 bytes"),
            ("flow.ipynb", b"{}", "jupyter nbconvert --to script"),
            ("flow.sh", b"echo\n", "would end in .py"),
        ] {
            fs::write(folder.join(file), text).unwrap();
            let error = read(&folder.join(file)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(read(&folder).unwrap_err().to_string().contains("is a folder: name a script"));
        assert!(read(Path::new("/dev/null")).unwrap_err().to_string().contains("is no file"));
        assert!(read(&folder.join("nowhere.py")).unwrap_err().to_string().contains("cannot be read"));
        fs::write(folder.join("tables/__init__.py"), "").unwrap();
        let modules = ["empty", "tables", "dask"].map(str::to_owned).into();
        assert_eq!(beside(&folder, &modules), ["empty", "tables"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
