//! `daskflow check`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::session::Session;
use crate::client::preflight::{self, Level};
use crate::view::tree::{Mark, Tone, Tree};

/// Exit code 0: nothing stands in the way. 1: something does, or the API server cannot be asked. 2: the
/// command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub(super) access: Access,
}

pub(super) async fn run(_: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let found = preflight::check(&session.cluster).await?;
    for finding in &found {
        let (sign, tone) = match finding.level {
            Level::Good => ('✔', Tone::Good),
            Level::Note => ('!', Tone::Waiting),
            Level::Fault => ('✖', Tone::Bad),
        };
        session.draw(&Tree::line(finding.text.clone()).marked(Mark { sign, tone }))?;
    }
    Ok(u8::from(found.iter().any(|finding| finding.level == Level::Fault)))
}
