//! `daskflow init`

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::out::print;
use super::output::{fail, say};
use super::script::{self, ScriptFile, Wishes};
use crate::manifest::shell;

/// Exit code 0: the manifest is written. 1: there is no script to make one of, or the file is there already.
/// 2: the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The script. It is read, and not run; what it imports decides on the engine.
    #[arg(value_name = "SCRIPT")]
    script: PathBuf,
    #[command(flatten)]
    wishes: Wishes,
    /// The file to write, which must not be there yet. Default: standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The Python whose versions the comments name. Default: that of the active virtual environment, else
    /// python3.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Script(#[from] script::Error),
    #[error("{0} is there already, and is not overwritten: name another file with -o, or delete it")]
    Taken(String),
    #[error("{path} cannot be written")]
    Write { path: String, source: io::Error },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn write(arguments: &Arguments) -> Result<ExitCode, Error> {
    let script = ScriptFile::new(&arguments.script, arguments.python.as_deref())?;
    let manifest = script.manifest(&arguments.wishes)?;
    if let Some(doubt) = arguments.wishes.doubt() {
        say(&format!("daskflow: hint: {doubt}"));
    }
    let Some(file) = &arguments.output else {
        return Ok(print(manifest.as_bytes()));
    };
    let path = file.display().to_string();
    let written = OpenOptions::new().write(true).create_new(true).open(file);
    let written = written.and_then(|mut new| new.write_all(manifest.as_bytes()));
    written.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::Taken(path.clone()),
        _ => Error::Write { path: path.clone(), source },
    })?;
    let word = shell::word(&path);
    say(&format!(
        "{path} written: a Dask cluster, and a Flow of {}\ndaskflow local -f {word}\nkubectl apply -f {word}   # once its image is yours",
        arguments.script.display()
    ));
    Ok(ExitCode::SUCCESS)
}
