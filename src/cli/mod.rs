//! The commands of the program, one file each.

mod crds;
mod files;
mod local;
mod metrics;
mod next;
mod operator;
mod output;
mod rbac;
mod ready;
mod reference;
mod signals;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Deploys flows onto Dask clusters.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Operator(operator::Arguments),
    /// Write the custom resource definitions, or a page about their fields.
    Crds(crds::Arguments),
    /// Write the table of all metrics, as Markdown.
    Metrics,
    /// Check manifests without a cluster: one line for each fault, with file, line and field.
    Validate(validate::Arguments),
    /// List the upcoming runs of the Flows in manifests, without a cluster.
    Next(next::Arguments),
    /// Run Flows and Dask clusters on this machine, with its own Python, until Ctrl-C.
    Local(local::Arguments),
    /// Ask a running operator whether it is ready, and the API server whether it serves the custom resources.
    Ready(ready::Arguments),
    /// Write the rights that the operator needs, as the chart and the documentation have them.
    #[command(hide = true)]
    Rbac(rbac::Arguments),
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Operator(arguments) => operator::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::Metrics => metrics::run(),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Next(arguments) => next::run(&arguments),
        Command::Local(arguments) => local::run(arguments),
        Command::Ready(arguments) => ready::run(&arguments),
        Command::Rbac(arguments) => rbac::run(&arguments),
    }
}
