//! `daskflow migrate`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::files::{Files, Source};
use super::out::print;
use super::output::{FileFault, fail};
use crate::manifest::migration::{Migration, migrate};
use crate::view::counted;

/// The manifests are printed on standard output, and what is wrong on standard error: one line for each
/// fault, with its file and line, and one with the number of objects.
///
/// Give everything that belongs together at once: a `DaskWorkerGroup` and a `DaskAutoscaler` become a part of
/// their `DaskCluster`. Objects of other kinds stay as they are, and are not printed.
///
/// Exit code 0: everything is printed. 1: something cannot be moved, a file cannot be read, or there is no
/// object of dask-kubernetes. 2: the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut is_complete = true;
    let mut sources: Vec<Source> = Vec::new();
    for source in arguments.files.read() {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => {
                fail(&error);
                is_complete = false;
            }
        }
    }
    let texts: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
    let migration = migrate(&texts);
    let printed = print(migration.text.as_bytes());
    // That nothing listens there does not change what was printed.
    let _ = say(&migration, &sources);
    let has_faults = migration.faults.iter().any(|(_, fault)| !fault.hint);
    if !is_complete || has_faults || migration.theirs == 0 { ExitCode::FAILURE } else { printed }
}

fn say(migration: &Migration, sources: &[Source]) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for (text, fault) in &migration.faults {
        let file = sources.get(*text).map(|source| source.name.clone()).unwrap_or_default();
        writeln!(out, "{}", FileFault { file, fault: fault.clone() })?;
    }
    if migration.theirs == 0 {
        return writeln!(out, "daskflow: there is no object of dask-kubernetes in what was given");
    }
    let faults = migration.faults.iter().filter(|(_, fault)| !fault.hint).count();
    let mut words = vec![
        format!("{} of dask-kubernetes", counted(migration.theirs, "object")),
        format!("{} written", counted(migration.ours, "object")),
    ];
    if migration.others > 0 {
        words.push(format!("{} of other kinds passed over", migration.others));
    }
    if faults > 0 {
        words.push(counted(faults, "fault"));
    }
    writeln!(out, "{}", words.join(", "))
}
