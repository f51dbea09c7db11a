//! The commands of the program, one file each.

mod crds;
mod operator;

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
    /// Write the custom resource definitions.
    Crds(crds::Arguments),
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Operator(arguments) => operator::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments),
    }
}

/// Says why the program ends, with all that caused it.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("daskflow: {text}");
    ExitCode::FAILURE
}
