//! `daskflow next`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::files::Files;
use super::validate::{FileFault, Output};
use crate::api::Flow;
use crate::manifest::{self, Kind};
use crate::operator::clock;
use crate::plan::flow::coming::{self, ComingRun, Outlook};

/// Exit code 0: all Flows are told. 1: one has faults, or a file cannot be read, or there is no Flow. 2: the command
/// line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Only runs later than this instant, such as 2026-03-29T00:00:00Z. Default: now.
    #[arg(long, value_name = "INSTANT")]
    after: Option<Timestamp>,
    /// So many runs of each Flow.
    #[arg(long, short = 'n', default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// How runs are written.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A run as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    flow: String,
    run: String,
    tick: String,
    start: String,
    local: String,
    zone: String,
    clocks: Vec<String>,
    parameters: Map<String, Value>,
}

const HEADER: [&str; 7] = ["FLOW", "RUN", "TICK", "LOCAL", "ZONE", "CLOCKS", "PARAMETERS"];

/// What is told of all files.
#[derive(Debug, Default)]
struct Told {
    rows: Vec<Row>,
    /// Sentences about Flows of which there is less to show than was asked for.
    notes: Vec<String>,
    faults: Vec<FileFault>,
    flows: usize,
    unreadable: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let after = arguments.after.unwrap_or_else(clock::now);
    let mut told = Told::default();
    for source in arguments.files.read() {
        match source {
            Ok(source) => told.file(&source.name, &source.text, (after, arguments.count.into())),
            Err(error) => {
                super::fail(&error);
                told.unreadable = true;
            }
        }
    }
    // Who reads no further than the first lines still gets the right exit code.
    let _ = told.write(arguments.output);
    let nothing = told.flows == 0 && told.faults.is_empty();
    if nothing && !told.unreadable {
        eprintln!("daskflow: there is no Flow in what was given");
    }
    if nothing || told.unreadable || !told.faults.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Told {
    fn file(&mut self, file: &str, text: &str, (after, count): (Timestamp, usize)) {
        let checked = manifest::check(text);
        let mut faults = checked.faults;
        for manifest in checked.manifests.into_iter().filter(|manifest| manifest.kind == Kind::Flow) {
            self.flows += 1;
            if !manifest.faults.is_empty() {
                faults.extend(manifest.faults);
                continue;
            }
            let Ok(flow) = serde_json::from_value::<Flow>(manifest.object) else { continue };
            // A Flow without faults has an outlook.
            if let Ok(outlook) = coming::coming(&flow, after, count) {
                self.notes.extend(notes(&flow, &outlook, (after, count)));
                let name = name(&flow);
                self.rows.extend(outlook.runs.iter().map(|run| row(&name, run)));
            }
        }
        faults.sort_by_key(|fault| fault.line);
        self.faults.extend(faults.into_iter().map(|fault| FileFault { file: file.to_owned(), fault }));
    }

    fn write(&self, output: Output) -> io::Result<()> {
        for fault in &self.faults {
            eprintln!("{fault}");
        }
        for note in &self.notes {
            eprintln!("{note}");
        }
        let mut out = io::stdout().lock();
        match output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut out, &self.rows)?;
                writeln!(out)
            }
            Output::Text if self.rows.is_empty() => Ok(()),
            Output::Text => {
                let rows = self.rows.iter().map(Row::cells);
                let header = HEADER.map(str::to_owned);
                super::write_table(&mut out, &[header].into_iter().chain(rows).collect::<Vec<_>>())
            }
        }
    }
}

/// A Flow to which the API server gives its name is called by what that begins with.
fn name(flow: &Flow) -> String {
    let metadata = &flow.metadata;
    metadata.name.clone().or_else(|| metadata.generate_name.clone()).unwrap_or_default()
}

/// Why there is less to show than was asked for.
fn notes(flow: &Flow, outlook: &Outlook, (after, count): (Timestamp, usize)) -> Vec<String> {
    let name = name(flow);
    if flow.spec.schedule.is_none() {
        return vec![format!("{name} has no schedule: it runs when a FlowRun is created")];
    }
    if flow.spec.suspend {
        return vec![format!("{name} is suspended: no tick starts a run")];
    }
    let clock = |clock: &String| format!("{name}: the clock {clock} is suspended");
    let mut notes: Vec<String> = outlook.suspended.iter().map(clock).collect();
    if let Some(run) = outlook.runs.first().filter(|run| run.start > run.tick) {
        let late = run.start.duration_since(run.tick);
        notes.push(format!("{name}: by its jitter its runs start {late:#} later than their ticks"));
    }
    if outlook.runs.is_empty() {
        notes.push(format!("{name}: no clock ticks after {after}"));
    } else if outlook.runs.len() < count {
        notes.push(format!("{name}: no clock ticks after these"));
    }
    notes
}

fn row(flow: &str, run: &ComingRun) -> Row {
    let local = run.tick.to_zoned(run.zone.clone());
    Row {
        flow: flow.to_owned(),
        run: run.run.clone(),
        tick: run.tick.to_string(),
        start: run.start.to_string(),
        local: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        zone: run.zone_name.clone(),
        clocks: run.clocks.clone(),
        parameters: run.parameters.clone(),
    }
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
