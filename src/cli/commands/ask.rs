//! A question to a cluster, for what else needs none.

use super::access::Access;
use super::failure::Failure;
use crate::client::{self, Cluster};

/// Asks a cluster something, for a command that has one only where objects are named.
pub(in crate::cli) fn ask<T>(
    access: &Access,
    question: impl AsyncFnOnce(Cluster) -> Result<T, client::Error>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    runtime.block_on(async { Ok(question(access.cluster().await?).await?) })
}
