//! `daskflow run`

use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt;

use super::access::Access;
use super::failure::Failure;
use super::follow::{self, Waits};
use super::format::Output;
use super::parameters::Parameters;
use super::session::Session;
use crate::cli::instant::instant;
use crate::client::find::{self, Named};
use crate::client::runs::{self, Wish};

/// Exit code 0: the run is created; with --follow or --wait, it succeeded, else the exit code of the run: see
/// the table in docs/commands.md. 1: it could not be created. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The Flow.
    flow: Named,
    #[command(flatten)]
    parameters: Parameters,
    /// The logical time of the run, such as 2026-03-29T00:00:00Z; a date is its midnight in UTC. Default:
    /// now.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    logical_time: Option<Timestamp>,
    /// The clock of the Flow whose parameters the run has.
    #[arg(long, value_name = "NAME")]
    clock: Option<String>,
    #[command(flatten)]
    waits: Waits,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let flow = find::flow(&session.cluster, &arguments.flow).await?;
    if let Some(clock) = &arguments.clock {
        runs::find_clock(&flow, clock)?;
    }
    let wish = Wish {
        parameters: arguments.parameters.read()?,
        logical_time: arguments.logical_time,
        clock: arguments.clock.clone(),
        ..Wish::default()
    };
    let created = runs::create(&session.cluster, &flow.name_any(), "now", wish).await?;
    if flow.spec.suspend {
        session.note(&format!(
            "the Flow {name} is suspended, and starts no run by its clocks: this one runs all the same; `daskflow resume flow/{name}`",
            name = flow.name_any()
        ));
    }
    follow::created(&created, &arguments.waits, session).await
}
