//! What is stored of the objects of files: by the manager of their fields.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::objects::{KINDS, Object, Objects};
use crate::api::{GROUP, VERSION};

/// Whose fields those of the files are. It is no name of the operator's (`daskflow…`): a FlowRun that is
/// applied is not deleted by the `history` of its Flow, and so does not run again at the next start.
pub const MANAGER: &str = "local-files";
/// The kind that is left where its file goes, with all that is in it.
pub const NAMESPACE: &str = "Namespace";

/// Whether any field of an object is from the files.
pub fn is_of_files(object: &DynamicObject) -> bool {
    let mut entries = object.metadata.managed_fields.iter().flatten();
    entries
        .any(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"))
}

/// What the files had before: the FlowRuns and FlowBackfills of this record, and what is stored of the files
/// beside them, of which only the names count. In the order of their kinds.
///
/// # Errors
///
/// The API refuses.
pub async fn before(client: &Client, recorded: Vec<Object>) -> kube::Result<Objects> {
    let mut before = Objects::default();
    for kind in KINDS.iter().filter(|kind| **kind != NAMESPACE) {
        before.all.extend(recorded.iter().filter(|object| object.kind() == *kind).cloned());
        let is_core = ["ServiceAccount", "ConfigMap", "Secret"].contains(kind);
        let (group, version) = if is_core { ("", "v1") } else { (GROUP, VERSION) };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for stored in all.list(&ListParams::default()).await?.items.iter().filter(|one| is_of_files(one)) {
            let metadata = json!({"name": stored.name_any(), "namespace": stored.namespace()});
            let value = json!({"apiVersion": resource.api_version, "kind": kind, "metadata": metadata});
            let object = Object { file: String::new(), line: 0, value };
            if before.find(object.key()).is_none() {
                before.all.push(object);
            }
        }
    }
    Ok(before)
}
