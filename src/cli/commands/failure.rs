//! Why a command ends without having done what it was asked for.

use std::io;

use crate::client;

/// The exit code of a wait whose time is over, as `timeout(1)` has it.
pub(super) const OUT_OF_TIME: u8 = crate::view::exit::TIMED_OUT;
/// The exit code of a wait that Ctrl-C has ended, as of a program that it ends.
pub(super) const INTERRUPTED: u8 = 130;

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Failure {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Access(#[from] super::access::Error),
    #[error("the output cannot be written")]
    Write(#[from] io::Error),
    #[error("the object cannot be written as it is")]
    Encode(#[from] serde_json::Error),
    #[error("the object cannot be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
    #[error("nothing can be waited for on this machine")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Random(#[from] crate::web::NoRandomness),
    #[error("{0}")]
    Senseless(String),
}
