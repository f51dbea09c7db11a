//! `daskflow validate`

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::commands::{self, Access, Failure};
use super::files::{Files, object, without_files};
use super::out::{code, print_by};
use super::output::{FileFault, Output, fail, say};
use crate::api::Kind;
use crate::client::find::{self, Found, Named, shown};
use crate::daemon::clock::Clock;
use crate::manifest::{self, Checked, Fault, kustomization};
use crate::view::counted;

/// Exit code 0: no faults; there may be hints about what is right and may be meant otherwise. 1: there are
/// faults, or a file cannot be read, or there is no object. 2: the command line is wrong.
#[derive(Debug, Args)]
#[command(mut_arg("filename", |files| files.required(false).required_unless_present("objects").conflicts_with("objects")))]
#[command(mut_arg("namespace", |namespace| namespace.conflicts_with("filename")))]
#[command(mut_args(without_files))]
pub(super) struct Arguments {
    /// Instead of -f: objects of the cluster, with the kind before the name where several have it:
    /// flow/nightly.
    #[arg(value_name = "[KIND/]NAME", value_parser = object)]
    objects: Vec<Named>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    access: Access,
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
    let report = match of_cluster(arguments) {
        Ok(Some(report)) => report,
        Ok(None) => report(&arguments.files),
        Err(failure) => return arguments.access.fail(&failure),
    };
    let written = print_by(|out| report.write(arguments.output, out));
    let nothing = report.objects == 0 && report.others == 0 && report.faults.is_empty();
    if nothing && !report.unreadable {
        say("daskflow: there is no object in what was given");
    }
    let is_bad = nothing || report.unreadable || report.faults.iter().any(|found| !found.fault.hint);
    // Who reads no further than the first lines still gets the right exit code.
    ExitCode::from(code(written, u8::from(is_bad)))
}

fn report(files: &Files) -> Report {
    let (mut report, now) = (Report::default(), Clock::of_machine().now());
    for source in files.read() {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                fail(&error);
                report.unreadable = true;
                continue;
            }
        };
        report.add(&source.name, manifest::check_at(&source.text, now));
    }
    report
}

/// What is found in the objects of the cluster that are named; none where none are.
fn of_cluster(arguments: &Arguments) -> Result<Option<Report>, Failure> {
    if arguments.objects.is_empty() {
        return Ok(None);
    }
    let kinds = [Kind::Flow, Kind::FlowRun, Kind::DaskCluster, Kind::FlowBackfill];
    let found = commands::ask(&arguments.access, async |cluster| {
        let mut found = Vec::new();
        for named in &arguments.objects {
            found.push(find::find(&cluster, named, &kinds).await?);
        }
        Ok(found)
    })?;
    let (mut report, now) = (Report::default(), Clock::of_machine().now());
    for object in &found {
        let mut checked = manifest::check_at(&written(object)?, now);
        // The lines of a text that was made for this say nothing.
        let of_objects = checked
            .manifests
            .iter_mut()
            .flat_map(|manifest| manifest.faults.iter_mut().chain(&mut manifest.hints));
        for fault in of_objects.chain(&mut checked.faults) {
            fault.line = 0;
        }
        report.add(&format!("{}/{}", shown(object.kind()), object.name()), checked);
    }
    Ok(Some(report))
}

/// What a user has written of an object: without its status, and without what the API server adds.
fn written(object: &Found) -> serde_json::Result<String> {
    let mut value = object.to_value()?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| ["name", "namespace", "labels", "annotations"].contains(&field.as_str()));
    }
    Ok(value.to_string())
}

/// Says of each kustomization that what it makes of other files is not what was checked.
fn kustomized(file: &str, checked: &Checked) -> Vec<FileFault> {
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).display().to_string();
    let hint = |(line, object): &(usize, Value)| {
        let unread = kustomization::unread(object).join(", ");
        let advice = kustomization::advice(&folder, "validate");
        let fault = Fault { hint: true, ..Fault::of_text(*line, format!("{unread}: {advice}")) };
        (!unread.is_empty()).then(|| FileFault { file: file.to_owned(), fault })
    };
    checked.foreign.iter().filter(|(_, object)| kustomization::is_one(object)).filter_map(hint).collect()
}

impl Report {
    fn add(&mut self, file: &str, checked: Checked) {
        self.objects += checked.manifests.len();
        self.others += checked.others;
        self.faults.extend(kustomized(file, &checked));
        let of_objects = checked.manifests.into_iter().flat_map(|manifest| [manifest.faults, manifest.hints]);
        let of_objects = of_objects.flatten();
        let mut faults: Vec<Fault> = of_objects.chain(checked.faults).collect();
        faults.sort_by_key(|fault| fault.line);
        self.faults.extend(faults.into_iter().map(|fault| FileFault { file: file.to_owned(), fault }));
    }

    fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        if output == Output::Json {
            serde_json::to_writer_pretty(&mut *out, &self.faults)?;
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
