//! `daskflow version`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::session::Session;
use crate::client::version;

/// Exit code 0: the versions are shown; what cannot be asked is said. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Only that of this program; no cluster is asked.
    #[arg(long)]
    pub(super) client: bool,
    #[command(flatten)]
    pub(super) access: Access,
}

/// The version of this program.
pub(super) fn own() -> String {
    format!("client: {}", env!("CARGO_PKG_VERSION"))
}

pub(super) async fn run(_: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    writeln!(session.out, "{}", own())?;
    let operators = match version::operators(&session.cluster).await {
        Ok(versions) if versions.is_empty() => "no pod of one was found".to_owned(),
        Ok(versions) => versions.join(", "),
        Err(error) => format!("unknown: {error}"),
    };
    writeln!(session.out, "operator: {operators}")?;
    let server = version::api_server(&session.cluster).await;
    let server = server.unwrap_or_else(|error| format!("unknown: {error}"));
    writeln!(session.out, "Kubernetes: {server}")?;
    Ok(0)
}
