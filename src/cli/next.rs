//! `daskflow next`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::commands::{self, Access, Failure};
use super::files::{Files, object, without_files};
use super::instant::instant;
use super::out::{code, print_by};
use super::output::{FileFault, Output, fail, say, write_table};
use crate::api::{Flow, Kind};
use crate::client::find::{self, Named};
use crate::daemon::clock::Clock;
use crate::manifest::{self, Fault};
use crate::plan::flow::coming::{self, ComingRun, Outlook};
use crate::plan::pods::Violation;

/// Exit code 0: the runs of all Flows are listed. 1: a Flow has faults, or a file cannot be read, or there is
/// no Flow. 2: the command line is wrong.
#[derive(Debug, Args)]
#[command(mut_arg("filename", |files| files.required(false).required_unless_present("flows").conflicts_with("flows")))]
#[command(mut_arg("namespace", |namespace| namespace.help(NAMESPACE)))]
#[command(mut_args(without_files))]
pub(super) struct Arguments {
    /// Instead of -f: Flows of the cluster.
    #[arg(value_name = "FLOW", value_parser = object)]
    flows: Vec<Named>,
    #[command(flatten)]
    files: Files,
    /// Only runs that start later than this instant, such as 2026-03-29T00:00:00Z; a date is its midnight in
    /// UTC. Default: now.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    after: Option<Timestamp>,
    /// How many runs to list for each Flow.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    #[command(flatten)]
    access: Access,
    /// The output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What -n is for here.
const NAMESPACE: &str = "The namespace of the Flows. Default: that of the context, else default; of manifests \
                         that name none, it is needed to compute their jitter";

/// A run as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    flow: String,
    run: String,
    tick: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    local: String,
    zone: String,
    clocks: Vec<String>,
    parameters: Map<String, Value>,
    /// Whether it starts at another time than its tick.
    #[serde(skip)]
    delayed: bool,
}

const HEADER: [&str; 7] = ["FLOW", "RUN", "TICK", "LOCAL", "ZONE", "CLOCKS", "PARAMETERS"];

/// The result for all files.
#[derive(Debug, Default)]
struct Told {
    rows: Vec<Row>,
    /// Sentences about Flows of which there is less to show than was asked for.
    notes: Vec<String>,
    faults: Vec<FileFault>,
    flows: usize,
    unreadable: bool,
}

/// What is asked of each Flow.
#[derive(Clone, Copy)]
struct Question<'a> {
    after: Timestamp,
    count: usize,
    namespace: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let question = Question {
        after: arguments.after.unwrap_or_else(|| Clock::of_machine().now()),
        count: arguments.count.into(),
        namespace: arguments.access.namespace.as_deref(),
    };
    let mut told = Told::default();
    if let Err(failure) = told.objects(arguments, question) {
        return arguments.access.fail(&failure);
    }
    let sources = if arguments.flows.is_empty() { arguments.files.read() } else { Vec::new() };
    for source in sources {
        match source {
            Ok(source) => told.file(&source.name, &source.text, question),
            Err(error) => {
                fail(&error);
                told.unreadable = true;
            }
        }
    }
    told.say();
    let written = print_by(|out| told.write(arguments.output, out));
    let nothing = told.flows == 0 && told.faults.is_empty();
    if nothing && !told.unreadable {
        say("daskflow: there is no Flow in what was given");
    }
    // Who reads no further than the first lines still gets the right exit code.
    ExitCode::from(code(written, u8::from(nothing || told.unreadable || !told.faults.is_empty())))
}

impl Told {
    fn file(&mut self, file: &str, text: &str, question: Question<'_>) {
        let checked = manifest::check(text);
        let (hints, mut faults): (Vec<_>, Vec<_>) = checked.faults.into_iter().partition(|fault| fault.hint);
        self.hint(file, hints);
        for manifest in checked.manifests.into_iter().filter(|manifest| manifest.kind == Kind::Flow) {
            self.flows += 1;
            if !manifest.faults.is_empty() {
                faults.extend(manifest.faults);
                continue;
            }
            self.hint(file, manifest.hints);
            let Ok(mut flow) = serde_json::from_value::<Flow>(manifest.object) else { continue };
            let namespace = &mut flow.metadata.namespace;
            *namespace = namespace.take().or_else(|| question.namespace.map(str::to_owned));
            // A Flow without faults has an outlook.
            let _ = self.outlook(&flow, question);
        }
        faults.sort_by_key(|fault| fault.line);
        self.faults.extend(faults.into_iter().map(|fault| FileFault { file: file.to_owned(), fault }));
    }

    fn hint(&mut self, file: &str, hints: Vec<Fault>) {
        let lines = hints.into_iter().map(|fault| FileFault { file: file.to_owned(), fault }.to_string());
        self.notes.extend(lines);
    }

    /// The Flows of the cluster that are named.
    fn objects(&mut self, arguments: &Arguments, question: Question<'_>) -> Result<(), Failure> {
        if arguments.flows.is_empty() {
            return Ok(());
        }
        let flows = commands::ask(&arguments.access, async |cluster| {
            let mut flows = Vec::new();
            for named in &arguments.flows {
                flows.push(find::flow(&cluster, named).await?);
            }
            Ok(flows)
        })?;
        for flow in &flows {
            self.flows += 1;
            let file = format!("flow/{}", name(flow));
            for violation in self.outlook(flow, question).err().unwrap_or_default() {
                let (message, reason) = (violation.said().to_owned(), Some(violation.reason.as_str()));
                let fault = Fault { line: 0, field: violation.field, reason, message, hint: false };
                self.faults.push(FileFault { file: file.clone(), fault });
            }
        }
        Ok(())
    }

    /// The runs of a Flow.
    ///
    /// # Errors
    ///
    /// What is wrong with its schedule.
    fn outlook(&mut self, flow: &Flow, question: Question<'_>) -> Result<(), Vec<Violation>> {
        let outlook = coming::coming(flow, question.after, question.count)?;
        self.notes.extend(notes(flow, &outlook, question));
        let name = name(flow);
        self.rows.extend(outlook.runs.iter().map(|run| row(&name, run)));
        Ok(())
    }

    /// What is beside the runs.
    fn say(&self) {
        for fault in &self.faults {
            say(&fault.to_string());
        }
        for note in &self.notes {
            say(note);
        }
    }

    fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        match output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.rows)?;
                writeln!(out)
            }
            Output::Text if self.rows.is_empty() => Ok(()),
            Output::Text => {
                let header = HEADER.map(str::to_owned);
                if !self.rows.iter().any(|row| row.delayed) {
                    let rows = self.rows.iter().map(Row::cells);
                    return write_table(out, &[header].into_iter().chain(rows).collect::<Vec<_>>());
                }
                let header = with_start(header, "START");
                let start = |row: &Row| row.start.clone().unwrap_or_else(|| "<unknown>".to_owned());
                let rows = self.rows.iter().map(|row| with_start(row.cells(), &start(row)));
                write_table(out, &[header].into_iter().chain(rows).collect::<Vec<_>>())
            }
        }
    }
}

/// A Flow to which the API server gives its name is called by what that begins with.
fn name(flow: &Flow) -> String {
    let metadata = &flow.metadata;
    metadata.name.clone().or_else(|| metadata.generate_name.clone()).unwrap_or_default()
}

/// What the runs themselves do not show: why they are fewer than was asked for, and when they start.
fn notes(flow: &Flow, outlook: &Outlook, question: Question<'_>) -> Vec<String> {
    let name = name(flow);
    if flow.spec.schedule.is_none() {
        return vec![format!("{name} has no schedule: it runs when a FlowRun is created")];
    }
    if flow.spec.suspend {
        return vec![format!("{name} is suspended: no tick starts a run")];
    }
    let clock = |clock: &String| format!("{name}: the clock {clock} is suspended");
    let mut notes: Vec<String> = outlook.suspended.iter().map(clock).collect();
    // The nanoseconds of now are of no use to a reader.
    let after = Timestamp::from_second(question.after.as_second()).unwrap_or(question.after);
    let entries = flow.spec.schedule.iter().flat_map(|schedule| &schedule.clocks);
    let ended = entries.filter(|entry| outlook.ended.contains(&entry.name)).map(|entry| {
        let (_, why) = coming::why_ended(flow, entry, question.after);
        format!("{name}: the clock {} has no tick after {after}: {why}", entry.name)
    });
    notes.extend(ended);
    if outlook.runs.is_empty() {
        if outlook.ended.is_empty() {
            notes.push(format!("{name}: no clock ticks after {after}"));
        }
        return notes;
    }
    notes.extend(late(flow, outlook).map(|late| format!("{name}: by its jitter its runs start {late}")));
    if outlook.runs.len() < question.count {
        notes.push(format!("{name}: no clock ticks after these"));
    }
    notes
}

/// By how much the runs of a Flow start later than their ticks, in words; none if they do not.
fn late(flow: &Flow, outlook: &Outlook) -> Option<String> {
    let run = outlook.runs.first()?;
    if let Some(start) = run.start {
        let late = start.duration_since(run.tick);
        return (start > run.tick).then(|| format!("{late:#} later than their ticks"));
    }
    let jitter = flow.spec.schedule.as_ref().and_then(|schedule| schedule.jitter.as_ref())?;
    let depends = match flow.metadata.name {
        Some(_) => "the namespace (--namespace)",
        None => "the name that the API server will give it",
    };
    Some(format!("up to {jitter} later than their ticks; by how much depends on {depends}"))
}

fn row(flow: &str, run: &ComingRun) -> Row {
    let local = run.tick.to_zoned(run.zone.clone());
    Row {
        flow: flow.to_owned(),
        run: run.run.clone(),
        tick: run.tick.to_string(),
        start: run.start.map(|start| start.to_string()),
        local: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        zone: run.zone_name.clone(),
        clocks: run.clocks.clone(),
        parameters: run.parameters.clone(),
        delayed: run.start.is_some_and(|start| start > run.tick),
    }
}

/// The cells of a row with its start behind its tick.
fn with_start(cells: [String; 7], start: &str) -> [String; 8] {
    let [flow, run, tick, local, zone, clocks, parameters] = cells;
    [flow, run, tick, start.to_owned(), local, zone, clocks, parameters]
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let parameters = if self.parameters.is_empty() {
            "<none>".to_owned()
        } else {
            Value::Object(self.parameters.clone()).to_string()
        };
        [
            self.flow.clone(),
            self.run.clone(),
            self.tick.clone(),
            self.local.clone(),
            self.zone.clone(),
            self.clocks.join(","),
            parameters,
        ]
    }
}
