//! The kinds that are served: ours and those of dask-kubernetes from their definitions, and the core kinds
//! that this project uses.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api::{self, dask_kubernetes};
use crate::manifest::admission::Defined;

/// One resource of the API.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table: each says one thing of the kind")]
#[expect(clippy::struct_field_names, reason = "as in Kubernetes")]
pub(super) struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether its status is written through a subresource of its own.
    pub status: bool,
    pub scale: Option<Scale>,
    /// Whether `metadata.generation` counts the changes of its spec.
    pub generation: bool,
    /// Whether an update may leave out the version that it is over.
    pub unconditional: bool,
    /// Whether an update creates what is not there.
    pub creates_on_update: bool,
    /// Whether it may be written: the definitions of our kinds are those of this program.
    pub writable: bool,
    /// What defines it; none for a core kind.
    pub defined: Option<Defined>,
    /// The fields beside name and namespace that its definition lets a request select by.
    pub selectable: Vec<String>,
    /// The columns of `kubectl get` that its definition has.
    pub columns: Vec<Column>,
    /// Where its objects are kept: the place in the table of the kind that keeps them.
    pub stored: usize,
}

/// A column of `kubectl get`.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    /// As in OpenAPI; `date` for an instant that is shown as an age.
    pub type_: String,
    /// 0 for one that is always shown.
    pub priority: i32,
    pub path: String,
}

/// Where a kind has what its `scale` shows.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub spec: String,
    pub status: String,
    pub selector: Option<String>,
}

impl Kind {
    /// As `apiVersion` has it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The plural with its group, as messages have it.
    pub fn qualified(&self) -> String {
        dotted(&self.plural, &self.group)
    }

    /// The kind with its group.
    pub fn qualified_kind(&self) -> String {
        dotted(&self.kind, &self.group)
    }

    /// Whether its objects are events in the form of `events.k8s.io`, which are kept in the form of `v1`.
    pub fn is_new_event(&self) -> bool {
        self.group == "events.k8s.io"
    }

    /// Whether it is this kind of the core group or another built-in one.
    pub fn is(&self, kind: &str) -> bool {
        self.defined.is_none() && self.kind == kind
    }
}

fn dotted(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}

static TABLE: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut all = built_in();
    all.extend(api::crds().into_iter().chain(dask_kubernetes::crds()).filter_map(defined));
    for (at, kind) in all.iter_mut().enumerate() {
        kind.stored = at;
    }
    let events = all.iter().position(|kind| kind.kind == "Event" && kind.group.is_empty());
    if let (Some(events), Some(other)) = (events, all.iter_mut().find(|kind| kind.is_new_event())) {
        other.stored = events;
    }
    all
});

/// All kinds.
pub(super) fn all() -> &'static [Kind] {
    &TABLE
}

/// The kind at a path.
pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    all().iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The kind of an object, or of an owner reference.
pub(super) fn of(api_version: &str, word: &str) -> Option<&'static Kind> {
    all().iter().find(|kind| kind.kind == word && kind.api_version() == api_version)
}

/// The kind that is kept there.
pub(super) fn stored_at(place: usize) -> Option<&'static Kind> {
    all().get(place)
}

/// A built-in kind, named by its group and version, its kind, its plural and its short names.
fn row(group: &str, kind: &str, plural: &str, short: &[&str]) -> Kind {
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short: short.iter().map(|&name| name.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        status: false,
        scale: None,
        generation: false,
        unconditional: true,
        creates_on_update: false,
        writable: true,
        defined: None,
        selectable: Vec::new(),
        columns: Vec::new(),
        stored: 0,
    }
}

fn built_in() -> Vec<Kind> {
    let all = || vec!["all".to_owned()];
    vec![
        Kind { creates_on_update: true, ..row("", "Event", "events", &["ev"]) },
        Kind { creates_on_update: true, ..row("events.k8s.io", "Event", "events", &["ev"]) },
        Kind { status: true, namespaced: false, ..row("", "Namespace", "namespaces", &["ns"]) },
        Kind { status: true, generation: true, categories: all(), ..row("", "Pod", "pods", &["po"]) },
        Kind { status: true, categories: all(), ..row("", "Service", "services", &["svc"]) },
        row("", "ConfigMap", "configmaps", &["cm"]),
        row("", "Secret", "secrets", &[]),
        Kind { unconditional: false, ..row("", "ServiceAccount", "serviceaccounts", &["sa"]) },
        Kind { status: true, generation: true, categories: all(), ..row("batch", "Job", "jobs", &[]) },
        Kind {
            status: true,
            generation: true,
            categories: all(),
            ..row("apps", "Deployment", "deployments", &["deploy"])
        },
        Kind {
            unconditional: false,
            creates_on_update: true,
            ..row("coordination.k8s.io", "Lease", "leases", &[])
        },
        Kind {
            generation: true,
            ..row("networking.k8s.io", "NetworkPolicy", "networkpolicies", &["netpol"])
        },
        Kind {
            namespaced: false,
            generation: true,
            writable: false,
            ..row(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                "customresourcedefinitions",
                &["crd", "crds"],
            )
        },
    ]
}

/// The kind of a definition of ours, each of which has one version.
fn defined(crd: CustomResourceDefinition) -> Option<Kind> {
    let (names, group) = (crd.spec.names, crd.spec.group);
    let version = crd.spec.versions.into_iter().next()?;
    let defined = Defined::named(&group, &names.kind)?;
    let subresources = version.subresources.unwrap_or_default();
    let scale = subresources.scale.map(|scale| Scale {
        spec: scale.spec_replicas_path,
        status: scale.status_replicas_path,
        selector: scale.label_selector_path,
    });
    let columns = version.additional_printer_columns.unwrap_or_default().into_iter().map(|column| Column {
        name: column.name,
        type_: column.type_,
        priority: column.priority.unwrap_or_default(),
        path: column.json_path,
    });
    let selectable = version.selectable_fields.unwrap_or_default().into_iter();
    Some(Kind {
        version: version.name,
        singular: names.singular.unwrap_or_default(),
        short: names.short_names.unwrap_or_default(),
        categories: names.categories.unwrap_or_default(),
        status: subresources.status.is_some(),
        scale,
        generation: true,
        unconditional: false,
        defined: Some(defined),
        selectable: selectable.map(|field| field.json_path.trim_start_matches('.').to_owned()).collect(),
        columns: columns.collect(),
        ..row(&group, &names.kind, &names.plural, &[])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_ours_is_served_and_both_forms_of_events_are_one_store() {
        let defined =
            |group: &str| all().iter().filter(|one| one.defined.is_some() && one.group == group).count();
        assert_eq!(defined(api::GROUP), api::crds().len());
        assert_eq!(defined(dask_kubernetes::GROUP), dask_kubernetes::KINDS.len());
        let old = find("", "v1", "events").unwrap();
        let new = find("events.k8s.io", "v1", "events").unwrap();
        assert_eq!((old.stored, old.is_new_event()), (new.stored, false));
        let cluster = of("daskflow.dev/v1alpha1", "DaskCluster").unwrap();
        assert!(cluster.scale.is_some() && cluster.status);
        assert_eq!(stored_at(cluster.stored).unwrap().plural, "daskclusters");
        assert!(find("apps", "v1", "statefulsets").is_none());
    }
}
