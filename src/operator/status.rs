//! How a status is written: as a whole, and over one version of its object only.

use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

/// The field manager of statuses.
const MANAGER: &str = "daskflow/status";

/// The write of this status over that version of its object; over another one it is refused with 409.
///
/// It costs the API server as little as an update for a Flow, and less for a run: docs/benchmarks.md, "What a
/// write costs".
pub(super) fn over(
    version: Option<&str>,
    status: &impl Serialize,
) -> Result<(PatchParams, Patch<()>), kube::Error> {
    let operations = json!([
        // A "test" that fails is answered with 422, which says less.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        // It replaces what is there.
        {"op": "add", "path": "/status", "value": status},
    ]);
    let patch = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    Ok((params, Patch::Json(patch)))
}
