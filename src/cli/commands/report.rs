//! `daskflow report`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::access::Access;
use super::failure::{Failure, INTERRUPTED};
use super::session::{Session, interrupted};
use super::status;
use super::temporary::Temporary;
use crate::client::find::{self, Found, Named};
use crate::client::report;
use crate::view::counted;

/// Exit code 0: the report is written; what could not be read is said, and is in `missing.txt`. 1: there is
/// no such object, or the folder is there already: nothing is written. 2: the command line is wrong. 130:
/// Ctrl-C.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A Flow, a run, a cluster or a backfill, with its kind before its name where several have it:
    /// flow/nightly.
    #[arg(value_name = "[KIND/]NAME")]
    object: Named,
    /// The folder to write, which must not be there yet. Default: daskflow-report-KIND-NAME.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: Access,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let found = find::find(&session.cluster, &arguments.object, &status::KINDS).await?;
    let folder = arguments.dir.clone().unwrap_or_else(|| report::name(&found).into());
    if folder.symlink_metadata().is_ok() {
        return Err(unmade(&folder, &io::ErrorKind::AlreadyExists.into()));
    }
    // A report is there as a whole, or not at all. The folder is made before anything is asked: that may
    // take a while.
    let temporary = Temporary::new(begun(&folder)).map_err(|error| unmade(&folder, &error))?;
    let report = tokio::select! {
        report = Box::pin(written(&found, &temporary, session)) => report?,
        () = interrupted() => return Ok(INTERRUPTED),
    };
    temporary.keep(&folder).map_err(|error| unmade(&folder, &error))?;
    for note in &report.notes {
        session.note(note);
    }
    writeln!(session.out, "{} written: {}", folder.display(), counted(report.files.len(), "file"))?;
    session.note(
        "Secrets, scripts and values of variables are not in it. Look through the logs before you send it",
    );
    Ok(0)
}

/// Where a report is until it is whole: beside its place, under a name of this process.
fn begun(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn unmade(folder: &Path, error: &io::Error) -> Failure {
    let path = folder.display();
    Failure::Senseless(match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} is there already: name another folder with --dir, or delete it")
        }
        _ => format!("the folder {path} cannot be made ({error}): name another one with --dir"),
    })
}

/// Asks for all that is in it, and writes it there.
async fn written(
    found: &Found,
    folder: &Temporary,
    session: &mut Session<'_>,
) -> Result<report::Report, Failure> {
    let (tree, _) = status::tree(found, session).await?;
    let drawn = tree.draw(&|_, sign| sign.to_owned());
    let report = report::report(&session.cluster, found, &drawn).await?;
    for (name, text) in &report.files {
        fs::write(folder.path().join(name), text).map_err(|error| {
            Failure::Senseless(format!("{name} of the report cannot be written: {error}"))
        })?;
    }
    Ok(report)
}
