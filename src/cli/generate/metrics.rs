//! `daskflow generate metrics`

use std::io::{self, Write};
use std::process::ExitCode;

use crate::operator::metrics::table;

pub(super) fn run() -> ExitCode {
    match io::stdout().lock().write_all(table::markdown().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::cli::output::fail(&error),
    }
}
