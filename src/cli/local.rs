//! `daskflow local`

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::files::Files;
use super::output::{FileFault, fail};
use super::signals;
use crate::daemon::log;
use crate::local::{self, Options, Stop};
use crate::manifest::{self, Checked};

/// Exit code 0: it was ended with Ctrl-C, or all runs of `--once` succeeded; with `--once` otherwise that of
/// the first run that failed. 1: a file has a fault, or something is missing on this machine. 2: the command
/// line is wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
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
    /// Where a path of the image is on this machine, such as `/flows=./src`. May be given several times.
    #[arg(long, value_name = "PATH=DIR")]
    map: Vec<Map>,
    /// The log filter of the operator.
    #[arg(long, env = "DASKFLOW_LOG", default_value = "error")]
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
    let Some(files) = checked(&arguments.files) else { return ExitCode::FAILURE };
    if let Err(error) = log::start(&arguments.log, log::Format::Text, None) {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let options = Options {
        files,
        python: arguments.python,
        maps: arguments.map.into_iter().map(|Map(path, folder)| (path, folder)).collect(),
        once: arguments.once,
        state: arguments.state,
    };
    let stop = Stop::default();
    let ended = runtime.block_on(async {
        signals::stop(stop.clone());
        Box::pin(local::run(options, stop)).await
    });
    // Tasks that hang must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

/// What is in the files; none if one of them has a fault, which is shown as `validate` shows it.
fn checked(files: &Files) -> Option<Vec<(String, Checked)>> {
    let (mut all, mut is_well) = (Vec::new(), true);
    for source in files.read() {
        match source {
            Ok(source) => {
                let checked = manifest::check(&source.text);
                let of_objects = checked.manifests.iter().flat_map(|manifest| &manifest.faults);
                for fault in of_objects.chain(&checked.faults) {
                    eprintln!("{}", FileFault { file: source.name.clone(), fault: fault.clone() });
                    is_well = false;
                }
                all.push((source.name, checked));
            }
            Err(error) => {
                fail(&error);
                is_well = false;
            }
        }
    }
    is_well.then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

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
