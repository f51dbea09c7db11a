//! `daskflow generate`: files of this repository that are made from its sources. `tests/generate.sh` calls
//! it.

mod crds;
mod metrics;
mod rbac;
mod reference;

use std::process::ExitCode;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the custom resource definitions, or a page about their fields.
    Crds(crds::Arguments),
    /// Write the table of all metrics, as Markdown.
    Metrics,
    /// Write the rights that the operator needs, as the chart and the documentation have them.
    Rbac(rbac::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.what {
        What::Crds(arguments) => crds::run(arguments),
        What::Metrics => metrics::run(),
        What::Rbac(arguments) => rbac::run(arguments),
    }
}
