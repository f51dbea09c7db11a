//! `daskflow report`

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::session::Session;
use super::status;
use crate::cli::output::counted;
use crate::client::find::{self, Named};
use crate::client::report;

/// Exit code 0: the report is written; what could not be read is said, and is in `missing.txt`. 1: there is
/// no such object, or the folder is there already. 2: the command line is wrong.
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
    let path = folder.display().to_string();
    // Before anything is asked: it may take a while.
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| {
        Failure::Senseless(match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{path} is there already: name another folder with --dir, or delete it")
            }
            _ => format!("the folder {path} cannot be made ({error}): name another one with --dir"),
        })
    })?;
    let (tree, _) = status::tree(&found, session).await?;
    let drawn = tree.draw(&|_, sign| sign.to_owned());
    let report = report::report(&session.cluster, &found, &drawn).await?;
    for (name, text) in &report.files {
        let file = folder.join(name);
        fs::write(&file, text)
            .map_err(|error| Failure::Senseless(format!("{} cannot be written: {error}", file.display())))?;
    }
    for note in &report.notes {
        session.note(note);
    }
    writeln!(session.out, "{path} written: {}", counted(report.files.len(), "file"))?;
    session.note(
        "Secrets, scripts and values of variables are not in it. Look through the logs before you send it",
    );
    Ok(0)
}
