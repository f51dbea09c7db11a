//! An API whose objects outlive its process, in a file.

use std::error::Error;
use std::sync::Arc;

use jiff::Timestamp;

use super::api::ClusterApi;
use super::built_in;
use super::disk::{Disk, DiskError};
use super::kinds;
use super::names::Names;
use super::state::State;
use super::status::Refusal;
use super::store::Store;

/// How far versions go on after a restart. Those that were given out and lost in a crash have been fewer, so
/// that none has two meanings.
const VERSIONS_LEFT_OUT: u64 = 1_000_000;

impl ClusterApi {
    /// As [`Self::new`], with the objects of a file, in which all changes are kept: each is on the disk
    /// before its answer is given. Versions go on from those of before, and watches and pages that begin at
    /// these get 410.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn kept(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        seed: u64,
        disk: Disk,
    ) -> Result<Self, DiskError> {
        let saved = disk.load()?;
        let address = |stored: usize| kinds::stored_at(stored).is_some_and(|kind| kind.is("Service"));
        let services = saved.objects.iter().filter(|(stored, ..)| address(*stored));
        let number = services.filter_map(|(_, _, service)| built_in::number_of(service)).max();
        let names = Names::after(seed, number.unwrap_or_default());
        let store = Store::restored(saved.version + VERSIONS_LEFT_OUT, saved.objects);
        let api = Self::begin(clock, State::new(store, names), Some(disk));
        api.tell();
        Ok(api)
    }

    /// Waits until all that has changed up to now is on the disk, where there is one.
    ///
    /// # Errors
    ///
    /// It cannot be written there. Nothing that is answered from then on lasts: this API is at its end.
    pub async fn written(&self) -> Result<(), Arc<DiskError>> {
        match &self.shared.writer {
            Some(writer) => writer.written(self.version()).await,
            None => Ok(()),
        }
    }

    /// Waits for a fault of the disk, for ever if there is none.
    pub async fn disk_fault(&self) -> Arc<DiskError> {
        if let Some(writer) = &self.shared.writer
            && let Err(fault) = writer.written(u64::MAX).await
        {
            return fault;
        }
        std::future::pending().await
    }
}

/// The answer where a change may not last.
pub(super) fn not_kept(fault: &DiskError) -> Refusal {
    let cause = fault.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Refusal {
        code: 500,
        reason: "InternalError",
        message: format!("Internal error occurred: the objects cannot be kept: {fault}{cause}"),
        details: serde_json::Value::Null,
    }
}
