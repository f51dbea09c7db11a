//! `daskflow validate`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::files::Files;
use super::output::{FileFault, Output, counted, fail};
use crate::manifest::{self, Fault};

/// Exit code 0: no faults; there may be hints about what is right and may be meant otherwise. 1: there are
/// faults, or a file cannot be read, or there is no object. 2: the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// The output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What was found in all files.
#[derive(Debug, Default)]
struct Report {
    objects: usize,
    others: usize,
    /// Hints among them.
    faults: Vec<FileFault>,
    unreadable: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let report = report(&arguments.files);
    // Who reads no further than the first lines still gets the right exit code.
    let _ = report.write(arguments.output);
    let nothing = report.objects == 0 && report.others == 0 && report.faults.is_empty();
    if nothing && !report.unreadable {
        eprintln!("daskflow: there is no object in what was given");
    }
    if nothing || report.unreadable || report.faults.iter().any(|found| !found.fault.hint) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn report(files: &Files) -> Report {
    let mut report = Report::default();
    for source in files.read() {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                fail(&error);
                report.unreadable = true;
                continue;
            }
        };
        let checked = manifest::check(&source.text);
        report.objects += checked.manifests.len();
        report.others += checked.others;
        let of_objects = checked.manifests.into_iter().flat_map(|manifest| [manifest.faults, manifest.hints]);
        let of_objects = of_objects.flatten();
        let mut faults: Vec<Fault> = of_objects.chain(checked.faults).collect();
        faults.sort_by_key(|fault| fault.line);
        report.faults.extend(faults.into_iter().map(|fault| FileFault { file: source.name.clone(), fault }));
    }
    report
}

impl Report {
    fn write(&self, output: Output) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if output == Output::Json {
            serde_json::to_writer_pretty(&mut out, &self.faults)?;
            return writeln!(out);
        }
        for fault in &self.faults {
            writeln!(out, "{fault}")?;
        }
        if self.objects > 0 || self.others > 0 {
            writeln!(out, "{}", self.summary())?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let mut words = vec![format!("{} checked", counted(self.objects, "object"))];
        if self.others > 0 {
            words.push(format!("{} of other kinds passed over", self.others));
        }
        let hints = self.faults.iter().filter(|found| found.fault.hint).count();
        for (count, word) in [(self.faults.len() - hints, "fault"), (hints, "hint")] {
            if count > 0 {
                words.push(counted(count, word));
            }
        }
        words.join(", ")
    }
}
