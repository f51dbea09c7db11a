//! `daskflow local`

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

use super::env_file;
use super::files::{self, Files, Source};
use super::out::code;
use super::output::{FileFault, fail, say};
use super::script::{Made, Recipe, ScriptArguments, with_script};
use super::signals;
use super::terminal::Terminal;
use crate::causes::chain;
use crate::daemon::log;
use crate::local::{self, Manifests, Options, Stop};
use crate::manifest::{self, Checked, Fault};

/// What is logged where nothing else is asked for.
const LOG: &str = "error";
/// The exit code of a command line that is wrong.
const WRONG_COMMAND_LINE: u8 = 2;

/// Exit code 0: it was ended with Ctrl-C, or all runs of `--once` or `--until-idle` succeeded; with these
/// otherwise that of the first run that failed. 1: a file has a fault, or something is missing on this
/// machine. 2: the command line is wrong.
#[derive(Debug, Args)]
#[command(mut_arg("filename", |files| files.required(false).required_unless_present_any(["script", "dask_kubernetes"]).conflicts_with("script")))]
#[command(mut_args(with_script))]
pub(super) struct Arguments {
    #[command(flatten)]
    script: ScriptArguments,
    #[command(flatten)]
    files: Files,
    /// The Python that all runs with: it needs distributed. Default: that of the active virtual environment,
    /// else python3.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Run each Flow once, now, show its log, and exit with the exit code of the first run that failed.
    #[arg(long)]
    once: bool,
    /// Keep objects and logs in this folder, over restarts: what was due meanwhile is caught up with as after
    /// an outage of the operator.
    #[arg(long, value_name = "DIR", conflicts_with = "once")]
    state: Option<PathBuf>,
    /// End when nothing is left to do: when all FlowRuns, FlowBackfills and due ticks have ended, and the
    /// clocks that have an end. Exit with the exit code of the first run that failed.
    #[arg(long, conflicts_with = "once")]
    until_idle: bool,
    #[command(flatten)]
    terminal: Terminal,
    /// Where a path of the image is on this machine, such as `/flows=./src`. May be given several times.
    #[arg(long, value_name = "PATH=DIR")]
    map: Vec<Map>,
    /// Where the kubeconfig for kubectl is written. Default: a file that is deleted at the end.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A file with variables for all processes, NAME=VALUE in each line. Those of the manifest take
    /// precedence. May be given several times.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Serve the kinds of dask-kubernetes (`kubernetes.dask.org/v1`) too: for its client, and for its
    /// manifests by `kubectl apply`.
    #[arg(long, conflicts_with = "once")]
    dask_kubernetes: bool,
    /// The log filter of the operator.
    #[arg(long, env = "DASKFLOW_LOG", default_value = LOG)]
    log: String,
}

/// A path of an image, and a folder of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map(String, PathBuf);

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(path, _)| path.starts_with('/') && path.len() > 1);
        let (path, folder) = pair.ok_or("write a path of the image and a folder, such as /flows=./src")?;
        let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
        if !folder.exists() {
            return Err(format!("{} is not there", folder.display()));
        }
        Ok(Self(path.to_owned(), folder))
    }
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let made = match arguments.script.make(arguments.python.as_deref()) {
        Ok(Some(Made::Printed(code))) | Err(code) => return code,
        Ok(Some(Made::Run(run))) => Some(run),
        Ok(None) => None,
    };
    let env = match env_file::read(&arguments.env_file) {
        Ok(env) => env,
        Err(error) => return fail(&error),
    };
    let mut sources = arguments.files.read();
    let input = sources.iter().flatten().find(|source| source.is_input()).cloned();
    sources
        .extend(made.iter().map(|made| Ok(Source { name: made.name.clone(), text: made.manifest.clone() })));
    let files = match checked(sources) {
        Ok(files) => files,
        Err(lines) => {
            for line in &lines {
                say(line);
            }
            return ExitCode::FAILURE;
        }
    };
    for line in passed_over(&files) {
        say(&line);
    }
    let is_once = arguments.once || made.as_ref().is_some_and(|made| made.once);
    if is_once && arguments.state.is_some() {
        say(
            "daskflow: a script that runs once has nothing to go on with: leave --state out, or add --every or --cron",
        );
        return ExitCode::from(WRONG_COMMAND_LINE);
    }
    let watched = match &made {
        Some(made) => Some(Watched::Script(made.recipe.clone())),
        None => arguments.files.without_input().map(|files| Watched::Files { files, input }),
    };
    if let Err(error) = log::start(&arguments.log, log::Format::Text, None) {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let options = Options {
        files,
        watched: watched.map(|watched| Arc::new(watched) as Arc<dyn Manifests>),
        kubeconfig: arguments.kubeconfig,
        python: arguments.python,
        maps: arguments.map.into_iter().map(|Map(path, folder)| (path, folder)).collect(),
        once: is_once,
        state: arguments.state,
        until_idle: arguments.until_idle,
        table: arguments.terminal.table(arguments.log != LOG).filter(|_| !is_once),
        env,
        modules: made.and_then(|made| made.folder),
        dask_kubernetes: arguments.dask_kubernetes,
    };
    let stop = Stop::default();
    let ended = runtime.block_on(async {
        signals::stop(stop.clone());
        Box::pin(local::run(options, stop)).await
    });
    // Tasks that hang must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => ExitCode::from(code(ended.written, ended.code)),
        Err(error) => fail(&error),
    }
}

/// What is read again when it changes.
#[derive(Debug)]
enum Watched {
    /// Files, and what came from standard input.
    Files { files: Files, input: Option<Source> },
    /// A script, of which a manifest is made.
    Script(Recipe),
}

impl Manifests for Watched {
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { files, .. } => files.paths(),
            Self::Script(recipe) => vec![recipe.script().to_owned()],
        }
    }

    fn read(&self) -> Result<Vec<(String, Checked)>, Vec<String>> {
        match self {
            Self::Files { files, input } => {
                checked(input.clone().map(Ok).into_iter().chain(files.read()).collect())
            }
            Self::Script(recipe) => {
                let text = recipe.manifest().map_err(|why| vec![why])?;
                checked(vec![Ok(Source { name: recipe.name(), text })])
            }
        }
    }
}

/// What is in the files; all that is wrong, as `validate` shows it, if one of them has a fault.
fn checked(sources: Vec<Result<Source, files::Error>>) -> Result<Vec<(String, Checked)>, Vec<String>> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for source in sources {
        match source {
            Ok(source) => {
                let checked = manifest::check(&source.text);
                let of_objects = checked.manifests.iter().flat_map(|manifest| &manifest.faults);
                let of_text = checked.faults.iter().filter(|fault| !fault.hint);
                wrong.extend(of_objects.chain(of_text).map(|fault| line(&source.name, fault)));
                all.push((source.name, checked));
            }
            Err(error) => wrong.push(chain(&error)),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

/// Why something in the files is passed over that may be meant, such as an apiVersion that is almost ours.
fn passed_over(files: &[(String, Checked)]) -> Vec<String> {
    let of = |(name, checked): &(String, Checked)| {
        checked.faults.iter().map(|fault| line(name, fault)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

fn line(file: &str, fault: &Fault) -> String {
    FileFault { file: file.to_owned(), fault: fault.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_almost_ours_is_said_to_be_passed_over() {
        let source = |version: &str| {
            let text = format!(
                "apiVersion: {version}\nkind: DaskCluster\nmetadata: {{name: a}}\nspec: {{image: a, workers: {{}}}}\n"
            );
            Ok(Source { name: "a.yaml".to_owned(), text })
        };
        let files = checked(vec![source("daskflow.dev/v1alpha1"), source("daskflow.io/v1beta1")]).unwrap();
        let said = passed_over(&files);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("a.yaml:1: hint: ") && said[0].contains("daskflow.dev/v1alpha1"),
            "{said:?}"
        );
    }

    #[test]
    fn a_map_is_a_path_and_a_folder_that_is_there() {
        let map: Map = "/flows=src".parse().unwrap();
        assert!(map.0 == "/flows" && map.1.is_absolute() && map.1.ends_with("src"), "{map:?}");
        for text in ["/flows", "flows=src", "/=src"] {
            assert!(text.parse::<Map>().unwrap_err().contains("such as /flows=./src"), "{text}");
        }
        assert!("/flows=/nowhere/src".parse::<Map>().unwrap_err().contains("is not there"));
    }
}
