//! `daskflow completion`, and what kubectl asks of a plugin when it completes.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches, ValueEnum};
use clap_complete::{Shell, generate};

use super::access::Access;
use super::ask::ask;
use crate::api::Kind;
use crate::cli::out::print;
use crate::client::find::{self, Named, shown};

/// The name under which kubectl asks a plugin for completions
/// (<https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>).
const OF_PLUGIN: &str = "kubectl_complete-daskflow";
/// The word with which the shells' scripts ask for completions: that of cobra's programs.
const ASKS: &str = "__complete";
/// What cobra, and so kubectl, ends a list of completions with: files are no completions.
const NO_FILES: &str = ":4";
/// How long names are waited for: whoever presses Tab does not want to wait.
const NAMES_MAX: Duration = Duration::from_secs(2);

/// Bash asks for names, and takes what clap has where there are none. macOS has bash 3.2, which knows neither
/// `mapfile` nor, as all before 4.4, `nosort`.
const BASH: &str = r#"
_daskflow_names() {
    local names name
    COMPREPLY=()
    if [[ ${COMP_WORDS[COMP_CWORD]} != -* ]]; then
        names=$(daskflow __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:' | cut -f 1)
        while IFS= read -r name; do
            [[ -z $name ]] || COMPREPLY+=("$name")
        done <<< "$names"
    fi
    [[ ${#COMPREPLY[@]} -gt 0 ]] || _daskflow "$@"
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _daskflow_names -o nosort -o bashdefault -o default daskflow
else
    complete -F _daskflow_names -o bashdefault -o default daskflow
fi
"#;

/// Where clap's script for zsh chooses: a file in `fpath` is run as the function of its name, once.
const ZSH_CHOOSES: &str = "\nif [ \"$funcstack[1]\" = \"_daskflow\" ]";
/// What stands in its place. Commands and options are clap's, which has their descriptions.
const ZSH: &str = r#"
_daskflow_names() {
    local -a names
    if (( CURRENT > 2 )) && [[ "${words[CURRENT]}" != -* ]]; then
        names=( ${(f)"$(daskflow __complete "${(@)words[2,CURRENT]}" 2>/dev/null | grep -v '^:' | cut -f 1)"} )
    fi
    if (( ${#names} )); then
        compadd -a names
    else
        _daskflow "$@"
    fi
}
compdef _daskflow_names daskflow
if [ "$funcstack[1]" = "_daskflow" ]; then
    _daskflow_names "$@"
fi
"#;

/// Fish is given names in the place of files; the commands that take names are written behind it.
const FISH: &str = r#"
function __daskflow_names
    set -l words (commandline -opc) (commandline -ct)
    daskflow __complete $words[2..-1] 2>/dev/null | string match -v -r '^:'
end
complete -c daskflow -f -a '(__daskflow_names)' -n 'not string match -q -- "-*" (commandline -ct); and __fish_seen_subcommand_from"#;

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
    let of_clap = String::from_utf8_lossy(&script);
    let script = match arguments.shell {
        For::Bash => format!("{of_clap}{BASH}"),
        For::Zsh => {
            format!("{}{ZSH}", of_clap.rsplit_once(ZSH_CHOOSES).map_or(&*of_clap, |(before, _)| before))
        }
        For::Fish => format!("{of_clap}{FISH} {}'\n", with_names(&whole).join(" ")),
    };
    print(script.as_bytes())
}

/// The commands that take names of objects.
fn with_names(whole: &Command) -> Vec<&str> {
    let takes_names = |command: &&Command| !command.is_hide_set() && !kinds_of(command, "").1.is_empty();
    whole.get_subcommands().filter(takes_names).map(Command::get_name).collect()
}

/// The answer to kubectl or a shell where the program was called to complete; none where it was not. `whole`
/// is all commands.
pub(in crate::cli) fn of_plugin(whole: impl FnOnce() -> Command) -> Option<String> {
    let mut arguments = std::env::args_os().peekable();
    let program = arguments.next()?;
    let of_kubectl = Path::new(&program).file_stem().is_some_and(|name| name == OF_PLUGIN);
    let is_meant = of_kubectl || arguments.next_if(|word| word == ASKS).is_some();
    is_meant.then(|| completions(&whole(), &arguments.collect::<Vec<OsString>>(), names))
}

/// The names of the objects of these kinds; none where they cannot be read, or not soon.
fn names(access: &Access, kinds: &[Kind]) -> Vec<String> {
    let listed = ask(access, async |cluster| {
        let listed = find::names(&cluster, kinds);
        Ok(tokio::time::timeout(NAMES_MAX, listed).await.unwrap_or_default())
    });
    listed.unwrap_or_default()
}

/// What may stand in the place of the last word, one a line, and how kubectl is to take it. `names` lists
/// objects.
fn completions(
    whole: &Command,
    words: &[OsString],
    names: impl FnOnce(&Access, &[Kind]) -> Vec<String>,
) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = whole;
    for word in before {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    if before.last().is_some_and(|word| takes_value(command, word)) {
        return NO_FILES.to_owned() + "\n";
    }
    let (head, kinds) = kinds_of(command, last);
    let objects = if kinds.is_empty() || last.starts_with('-') {
        Vec::new()
    } else {
        names(&access(whole, before), &kinds)
    };
    let objects = objects.into_iter().map(|name| (format!("{head}{name}"), String::new()));
    let commands = command.get_subcommands().filter(|inner| !inner.is_hide_set()).map(|inner| {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        (inner.get_name().to_owned(), about)
    });
    let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(|option| {
        let about = option.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", option.get_long()?), about))
    });
    let found = commands.chain(options).chain(objects).filter(|(name, _)| name.starts_with(last));
    // Options are shown to whoever begins one.
    let found = found.filter(|(name, _)| last.starts_with('-') || !name.starts_with('-'));
    let lines = found.map(|(name, about)| match about.lines().next() {
        Some(about) => format!("{name}\t{about}\n"),
        None => format!("{name}\n"),
    });
    lines.collect::<String>() + NO_FILES + "\n"
}

/// Whether a word is an option behind which its value stands.
fn takes_value(command: &Command, word: &str) -> bool {
    let Some(name) = word.strip_prefix('-') else { return false };
    let option = command.get_arguments().find(|option| match name.strip_prefix('-') {
        Some(long) => option.get_long() == Some(long),
        None => option.get_short().is_some_and(|short| name == short.to_string()),
    });
    option.is_some_and(|option| option.get_action().takes_values())
}

/// The kinds whose names a command takes, by what its help calls them, and what stands before a name: the
/// word for its kind.
fn kinds_of<'a>(command: &Command, last: &'a str) -> (&'a str, Vec<Kind>) {
    let values = command.get_positionals().flat_map(|value| value.get_value_names().unwrap_or_default());
    let text = values.map(|name| format!("{name} ")).collect::<Vec<_>>().concat();
    let takes = |kind: &Kind| text.contains("[KIND/]NAME") || text.contains(&shown(*kind).to_uppercase());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(takes).collect();
    let Some((word, _)) = last.split_once('/') else { return ("", kinds) };
    let named: Option<Named> = format!("{word}/a").parse().ok();
    let kind = named.and_then(|named| named.kind).filter(|kind| kinds.contains(kind));
    (last.get(..=word.len()).unwrap_or_default(), kind.into_iter().collect())
}

/// Which cluster the words before the last one choose.
fn access(whole: &Command, before: &[String]) -> Access {
    let words = ["daskflow"].into_iter().chain(before.iter().map(String::as_str));
    let matches = whole.clone().ignore_errors(true).try_get_matches_from(words);
    let of_command = matches.ok().and_then(|mut matches| Some(matches.remove_subcommand()?.1));
    of_command.and_then(|matches| Access::from_arg_matches(&matches).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn of(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let names = |line: &str| line.split('\t').next().unwrap().to_owned();
        let listed = |access: &Access, kinds: &[Kind]| {
            let namespace = access.namespace.clone().unwrap_or_else(|| "default".to_owned());
            kinds.iter().map(|kind| format!("{namespace}-{}", shown(*kind))).collect()
        };
        completions(&Cli::command(), &words, listed).lines().map(names).collect()
    }

    #[test]
    fn kubectl_gets_the_commands_and_their_options() {
        let commands = of(&[""]);
        assert!(
            commands.contains(&"status".to_owned()) && commands.contains(&"logs".to_owned()),
            "{commands:?}"
        );
        assert!(!commands.contains(&"generate".to_owned()), "hidden: {commands:?}");
        assert_eq!(of(&["stat"]), ["status", NO_FILES]);
        assert_eq!(of(&["run", "nightly", "--fol"]), ["--follow", NO_FILES]);
    }

    #[test]
    fn kubectl_gets_the_names_of_the_kinds_that_a_command_takes() {
        assert_eq!(of(&["run", ""]), ["default-flow", NO_FILES]);
        assert_eq!(of(&["run", "-n", "team", "te"]), ["team-flow", NO_FILES]);
        assert_eq!(of(&["run", "x"]), [NO_FILES]);
        assert_eq!(of(&["logs", "d"]), ["default-flow", "default-run", NO_FILES]);
        assert_eq!(of(&["dashboard", "d"]), ["default-cluster", "default-run", NO_FILES]);
        assert_eq!(of(&["status", "d"]).len(), 5);
        assert_eq!(of(&["status", "run/d"]), ["run/default-run", NO_FILES]);
        assert_eq!(of(&["run", "cluster/"]), [NO_FILES]);
        assert_eq!(of(&["run", "-n", ""]), [NO_FILES], "a namespace stands there");
        assert_eq!(of(&["completion", ""]), [NO_FILES]);
    }
}
