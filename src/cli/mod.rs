//! The commands of the program, one file each.

mod commands;
mod env_file;
mod files;
mod generate;
mod init;
mod instant;
mod local;
mod migrate;
mod next;
mod operator;
mod out;
mod output;
mod parameter;
mod ready;
mod script;
mod signals;
mod terminal;
mod validate;

use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Deploys flows onto Dask clusters.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    OnCluster(commands::Command),
    /// Write a first manifest for a script, with comments: a Dask cluster, and a Flow of the script.
    Init(init::Arguments),
    /// Check manifests without a cluster, or objects of a cluster: one line for each fault.
    Validate(validate::Arguments),
    /// List the upcoming runs of Flows: of manifests without a cluster, or of a cluster.
    Next(next::Arguments),
    /// Write manifests for those of dask-kubernetes, without a cluster, with comments on what changes.
    Migrate(migrate::Arguments),
    /// Run Flows and Dask clusters on this machine, with its own Python, until Ctrl-C.
    Local(Box<local::Arguments>),
    /// Run the operator.
    Operator(operator::Arguments),
    /// Ask a running operator whether it is ready, and the API server whether it serves the custom resources.
    Ready(ready::Arguments),
    /// Write files of daskflow's own repository.
    #[command(hide = true)]
    Generate(generate::Arguments),
}

/// The name under which kubectl finds the program as its plugin: `kubectl daskflow`.
const PLUGIN: &str = "kubectl-daskflow";

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    if let Some(completions) = commands::of_plugin(Cli::command) {
        return out::print(completions.as_bytes());
    }
    match parsed().command {
        Command::OnCluster(command) => commands::run(&command, Cli::command),
        Command::Operator(arguments) => operator::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Next(arguments) => next::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Local(arguments) => local::run(*arguments),
        Command::Ready(arguments) => ready::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
    }
}

/// The command line. Usage is shown as the program was called.
fn parsed() -> Cli {
    let is_plugin = std::env::args_os()
        .next()
        .is_some_and(|program| Path::new(&program).file_stem().is_some_and(|name| name == PLUGIN));
    let command = Cli::command();
    let command = if is_plugin { command.bin_name("kubectl daskflow") } else { command };
    let matches = command.try_get_matches().unwrap_or_else(|error| without_hidden(error).exit());
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// An error that proposes no command which help does not show.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(proposed)) = error.get(ContextKind::SuggestedSubcommand) {
        let all = Cli::command();
        let is_shown = |name: &&String| all.find_subcommand(name).is_none_or(|found| !found.is_hide_set());
        let shown: Vec<String> = proposed.iter().filter(is_shown).cloned().collect();
        error.remove(ContextKind::SuggestedSubcommand);
        if !shown.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hidden_command_is_proposed() {
        let said = |word: &str| {
            let error = Cli::command().try_get_matches_from(["daskflow", word]).unwrap_err();
            without_hidden(error).to_string()
        };
        for word in ["genrate", "delete"] {
            assert!(
                !said(word).contains("generate") && said(word).contains("unrecognized"),
                "{}",
                said(word)
            );
        }
        assert!(said("statu").contains("'status'"), "{}", said("statu"));
    }
}
