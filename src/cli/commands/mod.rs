//! The commands that work on a cluster: `daskflow status`, `run`, `logs` … Each says with its exit code how
//! it went: see [`crate::view::exit`] and `docs/commands.md`.
//!
//! Here is what they print, and how they are called. What they do is in [`crate::client`], what objects look
//! like in [`crate::view`].

mod access;
mod ask;
mod backfill;
mod cancel;
mod check;
mod completion;
mod connect;
mod dashboard;
mod explain;
mod failure;
mod follow;
mod format;
mod forward;
mod logs;
mod parameters;
mod report;
mod retry;
mod run;
mod scale;
mod session;
mod status;
mod suspend;
mod temporary;
mod ui;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

use super::out::{code, print};
use super::output::fail;
use crate::daemon::clock::Clock;
use crate::daemon::out::Out;
use session::Session;

pub(super) use access::Access;
pub(super) use ask::ask;
pub(super) use completion::of_plugin;
pub(super) use failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show Flows, runs and clusters as trees: what they wait for, what is wrong, and what to do.
    Status(status::Arguments),
    /// Run a Flow now.
    Run(run::Arguments),
    /// Show what a run has written: its runner and, if asked for, its workers.
    Logs(logs::Arguments),
    /// Cancel runs.
    Cancel(cancel::Arguments),
    /// Run again what has ended, with the same logical time and parameters.
    Retry(retry::Arguments),
    /// Let a Flow start no runs, a cluster have no pods, a run or a backfill wait.
    Suspend(suspend::Arguments),
    /// Let it go on.
    Resume(suspend::Arguments),
    /// Change how many workers a cluster has.
    Scale(scale::Arguments),
    /// Open the dashboard of a cluster, by a port of this machine.
    Dashboard(dashboard::Arguments),
    /// Open a page with Flows, runs and clusters in a browser, with your own rights.
    Ui(Box<ui::Arguments>),
    /// Forward the scheduler of a cluster to a port of this machine, and print what connects a client to it.
    Connect(connect::Arguments),
    /// Run a Flow for times that have passed.
    Backfill(backfill::Arguments),
    /// Say what a reason means and what to do, without a cluster.
    Explain(explain::Arguments),
    /// Look whether daskflow can be used in a namespace: what is served, rights, what stands in the way.
    Check(check::Arguments),
    /// Write what is known of an object into a folder, without secrets, for a question or a bug report.
    Report(report::Arguments),
    /// Print the versions of this program, of the operator and of the API server.
    Version(version::Arguments),
    /// Write a script that completes commands in a shell.
    Completion(completion::Arguments),
}

/// Runs a command. `whole` is all commands of the program.
pub(super) fn run(command: &Command, whole: impl FnOnce() -> clap::Command) -> ExitCode {
    match command {
        // These ask no cluster.
        Command::Explain(arguments) => return explain::run(arguments),
        Command::Completion(arguments) => return completion::run(arguments, whole()),
        // It may have a cluster for each of many users.
        Command::Ui(arguments) => return ui::run(arguments),
        Command::Version(arguments) if arguments.client => {
            return print(format!("{}\n", version::own()).as_bytes());
        }
        _ => {}
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let ended = runtime.block_on(on_cluster(command));
    // A watch that hangs must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => settings(command).0.fail(&failure),
    }
}

async fn on_cluster(command: &Command) -> Result<u8, Failure> {
    let (access, format) = settings(command);
    let cluster = access.cluster().await?;
    let (mut out, mut err) = (Out::new(std::io::stdout()), std::io::stderr());
    let way = access.way(&cluster.namespace);
    let mut session = Session {
        cluster,
        way,
        clock: Clock::of_machine(),
        out: &mut out,
        err: &mut err,
        format,
        colour: format::has_colour(),
    };
    let ended = Box::pin(execute(command, &mut session)).await?;
    Ok(code(out.ended(), ended))
}

/// How a command reaches its cluster, and in which form it answers.
fn settings(command: &Command) -> (access::Access, format::Format) {
    match command {
        Command::Status(of) => (of.access.clone(), of.output.format),
        Command::Run(of) => (of.access.clone(), of.output.format),
        Command::Cancel(of) => (of.access.clone(), of.output.format),
        Command::Retry(of) => (of.access.clone(), of.output.format),
        Command::Suspend(of) | Command::Resume(of) => (of.access.clone(), of.output.format),
        Command::Scale(of) => (of.access.clone(), of.output.format),
        Command::Backfill(of) => (of.access.clone(), of.output.format),
        Command::Logs(of) => (of.access.clone(), format::Format::Table),
        Command::Dashboard(of) => (of.access.clone(), format::Format::Table),
        Command::Connect(of) => (of.access.clone(), format::Format::Table),
        Command::Report(of) => (of.access.clone(), format::Format::Table),
        Command::Check(of) => (of.access.clone(), format::Format::Table),
        Command::Version(of) => (of.access.clone(), format::Format::Table),
        Command::Explain(_) | Command::Completion(_) | Command::Ui(_) => {
            (access::Access::default(), format::Format::default())
        }
    }
}

/// Runs a command; gives its exit code.
async fn execute(command: &Command, session: &mut Session<'_>) -> Result<u8, Failure> {
    match command {
        Command::Status(arguments) => status::run(arguments, session).await,
        Command::Run(arguments) => run::run(arguments, session).await,
        Command::Logs(arguments) => logs::run(arguments, session).await,
        Command::Cancel(arguments) => cancel::run(arguments, session).await,
        Command::Retry(arguments) => retry::run(arguments, session).await,
        Command::Suspend(arguments) => suspend::run(arguments, true, session).await,
        Command::Resume(arguments) => suspend::run(arguments, false, session).await,
        Command::Scale(arguments) => scale::run(arguments, session).await,
        Command::Backfill(arguments) => backfill::run(arguments, session).await,
        Command::Dashboard(arguments) => dashboard::run(arguments, session).await,
        Command::Connect(arguments) => connect::run(arguments, session).await,
        Command::Report(arguments) => report::run(arguments, session).await,
        Command::Check(arguments) => check::run(arguments, session).await,
        Command::Version(arguments) => version::run(arguments, session).await,
        Command::Explain(_) | Command::Completion(_) | Command::Ui(_) => Ok(0),
    }
}
