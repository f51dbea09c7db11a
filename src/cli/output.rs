//! How commands answer: in lines, tables or JSON, and with an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use crate::causes::chain;
use crate::manifest::Fault;
use crate::view::plain::plain;

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Lines for people.
    Text,
    /// One JSON list.
    Json,
}

/// A fault, or a hint, and the file that it is in, or the object of a cluster.
#[derive(Debug, Serialize)]
pub(super) struct FileFault {
    pub file: String,
    #[serde(flatten)]
    pub fault: Fault,
}

impl std::fmt::Display for FileFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { line, field, message, hint, .. } = &self.fault;
        let hint = if *hint { "hint: " } else { "" };
        // A message of several lines would be several faults to whoever counts them.
        let message = message.replace('\n', " ");
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        // An object of a cluster has no lines.
        let line = if *line == 0 { String::new() } else { format!(":{line}") };
        f.write_str(&plain(&format!("{}{line}: {hint}{field}{message}", self.file)))
    }
}

/// Prints why the program ends, with the whole chain of causes.
pub(super) fn fail(error: &dyn std::error::Error) -> ExitCode {
    say(&format!("daskflow: {}", chain(error)));
    ExitCode::FAILURE
}

/// Says something beside the output.
pub(super) fn say(text: &str) {
    // That its terminal was closed must not end the program in another way.
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// Writes rows as kubectl does: every column but the last as wide as its widest cell, and three spaces more.
pub(super) fn write_table<const COLUMNS: usize>(
    out: &mut dyn Write,
    rows: &[[String; COLUMNS]],
) -> io::Result<()> {
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    Ok(())
}
