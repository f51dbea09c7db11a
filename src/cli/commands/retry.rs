//! `daskflow retry`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::follow::{self, Waits};
use super::format::Output;
use super::parameters::Parameters;
use super::session::Session;
use crate::client::find::{self, Named};
use crate::client::runs::{self, Wish};

/// Exit codes as of `daskflow run`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A run that has ended. It stays as it is, and another one is created.
    run: Named,
    #[command(flatten)]
    parameters: Parameters,
    #[command(flatten)]
    waits: Waits,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let earlier = find::run(&session.cluster, &arguments.run).await?;
    let wish = Wish { parameters: arguments.parameters.read()?, ..Wish::default() };
    let created = runs::retry(&session.cluster, &earlier, wish).await?;
    follow::created(&created, &arguments.waits, session).await
}
