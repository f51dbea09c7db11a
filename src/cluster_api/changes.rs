//! What has happened to the objects, in order, for whoever looks on beside the API: it costs no request, and
//! misses nothing between two looks.

use std::sync::Arc;

use serde_json::Value;

use super::api::ClusterApi;
use super::kinds;
use super::store::Change;

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The version that the change has made.
    pub version: u64,
    /// The kind of the object, such as `Pod`.
    pub kind: &'static str,
    /// The namespace; empty for a kind without.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object as it was; none when it was created.
    pub before: Option<Arc<Value>>,
    /// The object as it is; none when it went.
    pub after: Option<Arc<Value>>,
}

impl ClusterApi {
    /// All changes after that version, the oldest first; none if some of them are forgotten already
    /// ([`Self::compact`]).
    pub fn changes_after(&self, version: u64) -> Option<Vec<Changed>> {
        let state = self.lock();
        let all = state.store.changes_after(version).ok()?;
        let changed = |change: &Change| Changed {
            version: change.version,
            kind: kinds::stored_at(change.stored).map_or("", |kind| kind.kind.as_str()),
            namespace: change.key.namespace.clone(),
            name: change.key.name.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        };
        Some(all.map(changed).collect())
    }
}
