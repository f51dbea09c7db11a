//! `daskflow connect`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::sleep;

use super::access::Access;
use super::failure::Failure;
use super::forward::{self, Local, Signals};
use super::session::Session;
use super::temporary::Temporary;
use crate::client::Error;
use crate::client::certificate::{self, Certificate};
use crate::client::find::Named;
use crate::client::forward::{Port, Scheduler, is_here};

/// Exit code 0: it ended with Ctrl-C; or nothing needs to be forwarded, as on `daskflow local`. 1: there is
/// no scheduler, or it may not be reached, or the cluster was deleted. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A cluster, or a run for its cluster.
    #[arg(value_name = "CLUSTER|RUN")]
    object: Named,
    #[command(flatten)]
    local: Local,
    /// With TLS: the folder that the certificate and its key are written into. Default: a new one that only
    /// you can read, which is deleted at the end. On `daskflow local` it has to be named: there the command
    /// ends at once.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: Access,
}

/// How many names are tried for a folder: others may have left theirs.
const FOLDERS_MAX: u32 = 100;

/// How long the Secret is waited for.
const SECRET_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let scheduler = Scheduler::find(&session.cluster, &arguments.object).await?;
    let address = scheduler.address(Port::Comm)?.to_owned();
    let is_here = is_here(&address);
    if !is_here {
        // Whether it can be reached at all is said at once, and not when a client connects.
        drop(scheduler.dial(Port::Comm).await?);
    }
    let mut signals = Signals::new().await?;
    let mut temporary = None;
    let files = match scheduler.secret() {
        Some(secret) => {
            let folder = match &arguments.dir {
                Some(folder) => folder.clone(),
                // Files that are deleted at once are of no use to a client.
                None if is_here => return Err(no_folder(&scheduler)),
                None => temporary.insert(new_folder()?).path().to_owned(),
            };
            tokio::select! {
                files = certificate::write(&session.cluster, secret, &folder) => Some(files?),
                () = signals.any() => return Ok(0),
                () = sleep(SECRET_MAX) => return Err(no_answer(secret)),
            }
        }
        None => None,
    };
    if is_here {
        arguments.local.note_unused("the scheduler is on this machine", session);
        write!(session.out, "{}", lines(&address, files.as_ref()))?;
        return Ok(0);
    }
    let (listener, local) = arguments.local.listen(Port::Comm).await?;
    let scheme = address.split_once("://").map_or("tcp", |(scheme, _)| scheme);
    write!(session.out, "{}", lines(&format!("{scheme}://{local}"), files.as_ref()))?;
    session.out.flush()?;
    let ended = forward::forward((&scheduler, Port::Comm), listener, signals, session).await;
    drop(temporary);
    ended
}

fn no_folder(scheduler: &Scheduler) -> Failure {
    Failure::Senseless(format!(
        "the cluster {} has TLS: name a folder for its certificate and its key with --dir, as this command ends at once",
        scheduler.name()
    ))
}

fn no_answer(secret: &str) -> Failure {
    Failure::Client(Error::Unreachable {
        why: format!("no answer for {} s to a request for the Secret {secret}", SECRET_MAX.as_secs()),
    })
}

/// A new folder that only the user may read.
fn new_folder() -> Result<Temporary, Failure> {
    let below = std::env::temp_dir();
    let path = |number| below.join(format!("daskflow-connect-{}-{number}", std::process::id()));
    let made = (0..FOLDERS_MAX).map(path).find_map(|path| Temporary::new(path).ok());
    made.ok_or_else(|| {
        let below = below.display();
        Failure::Senseless(format!("no folder can be made in {below}: name one with --dir"))
    })
}

/// What connects a client, in Python.
fn lines(address: &str, files: Option<&Certificate>) -> String {
    let Some(Certificate { authority, certificate, key }) = files else {
        return format!("from distributed import Client\nclient = Client({})\n", text(address));
    };
    let path = |path: &Path| text(&path.display().to_string());
    format!(
        "from distributed import Client\n\
         from distributed.security import Security\n\
         security = Security(\n    \
         tls_ca_file={},\n    tls_client_cert={},\n    tls_client_key={},\n    require_encryption=True,\n)\n\
         client = Client({}, security=security)\n",
        path(authority),
        path(certificate),
        path(key),
        text(address)
    )
}

/// A text as Python has it: JSON's is one.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}
