//! `daskflow completion`, and what kubectl asks of a plugin when it completes.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// The name under which kubectl asks a plugin for completions
/// (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>).
const OF_PLUGIN: &str = "kubectl_complete-daskflow";
/// What cobra, and so kubectl, ends a list of completions with: files are no completions.
const NO_FILES: &str = ":4";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

/// Exit code 0: the script is written to standard output. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: For,
}

/// Writes the script for all commands, which `whole` is.
pub(super) fn run(arguments: &Arguments, mut whole: Command) -> ExitCode {
    let shell = match arguments.shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut whole, "daskflow", &mut script);
    // Who reads no further has seen enough.
    let _ = std::io::stdout().lock().write_all(&script);
    ExitCode::SUCCESS
}

/// The answer to kubectl where the program was called to complete; none where it was not. `whole` is all
/// commands.
pub(in crate::cli) fn of_plugin(whole: impl FnOnce() -> Command) -> Option<String> {
    let mut arguments = std::env::args_os();
    let program = arguments.next()?;
    let is_meant = Path::new(&program).file_stem().is_some_and(|name| name == OF_PLUGIN);
    is_meant.then(|| completions(&whole(), &arguments.collect::<Vec<OsString>>()))
}

/// What may stand in the place of the last word, one a line, and how kubectl is to take it.
fn completions(whole: &Command, words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = whole;
    for word in before {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    let names = command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(|inner| {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        (inner.get_name().to_owned(), about)
    });
    let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(|option| {
        let about = option.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", option.get_long()?), about))
    });
    let found = names.chain(options).filter(|(name, _)| name.starts_with(last));
    // Options are shown to whoever begins one.
    let found = found.filter(|(name, _)| last.starts_with('-') || !name.starts_with('-'));
    let lines = found.map(|(name, about)| format!("{name}\t{}\n", about.lines().next().unwrap_or_default()));
    lines.collect::<String>() + NO_FILES + "\n"
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn of(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let names = |line: &str| line.split('\t').next().unwrap().to_owned();
        completions(&Cli::command(), &words).lines().map(names).collect()
    }

    #[test]
    fn kubectl_gets_the_commands_and_their_options() {
        let commands = of(&[""]);
        assert!(
            commands.contains(&"status".to_owned()) && commands.contains(&"logs".to_owned()),
            "{commands:?}"
        );
        assert!(!commands.contains(&"rbac".to_owned()), "hidden: {commands:?}");
        assert_eq!(of(&["stat"]), ["status", NO_FILES]);
        assert_eq!(of(&["run", "nightly", "--fol"]), ["--follow", NO_FILES]);
        assert_eq!(of(&["run", "n"]), [NO_FILES], "names are not known here");
    }
}
