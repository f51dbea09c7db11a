//! The kinds of dask-kubernetes, `kubernetes.dask.org/v1`, as far as its documentation describes them: what
//! its clients and manifests write, and what its clients wait for.
//!
//! They are not kinds of ours: [`crate::api::Kind`] has none of them, and no rule of ours is asked of them. A
//! `DaskCluster` here is another one than [`crate::api::DaskCluster`].
//!
//! Pods and Services stay as they were written: their definitions have the types of the fields that people
//! write most ([`parts`]), and keep all others. Nothing is dropped that a newer Kubernetes knows.
//!
//! What is as in their own definitions, since their clients and their operator rest on it:
//! - Status is written with the object. Only a `DaskJob` has a subresource for it: their operator patches the
//!   others as a whole, and must still be able to, in other namespaces or after a way back.
//! - No name is refused. One that cannot be had is an `Error` in `status.phase`.
//! - A field that is null is one that was not written.

mod parts;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{CustomResource, CustomResourceExt, ResourceExt};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::group_of;
use super::schema;

/// The API group of their kinds.
pub const GROUP: &str = "kubernetes.dask.org";
/// Its one version.
pub const VERSION: &str = "v1";

/// Their kinds, in the order of [`crds`].
pub const KINDS: [&str; 4] = ["DaskCluster", "DaskWorkerGroup", "DaskAutoscaler", "DaskJob"];

/// What the API server calls their lists, in the same order.
pub const PLURALS: [&str; 4] = ["daskclusters", "daskworkergroups", "daskautoscalers", "daskjobs"];

/// The object of dask-kubernetes that a cluster is made for, and follows: its controller. Others of the group
/// may own it besides, and then say no more than that it goes when they do.
pub fn leader(cluster: &super::DaskCluster) -> Option<&OwnerReference> {
    let mut owners = cluster.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true) && group_of(owner) == GROUP)
}

/// The definitions of their kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        with_status_inside(DaskCluster::crd()),
        with_status_inside(DaskWorkerGroup::crd()),
        DaskAutoscaler::crd(),
        DaskJob::crd(),
    ]
}

/// Takes the subresource `status` away, which a definition that is derived has as soon as its type has a
/// status.
fn with_status_inside(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for subresources in crd.spec.versions.iter_mut().filter_map(|version| version.subresources.as_mut()) {
        subresources.status = None;
    }
    crd
}

/// `DaskCluster`: a scheduler, and a group of workers called `default`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernetes.dask.org",
    version = "v1",
    kind = "DaskCluster",
    plural = "daskclusters",
    shortname = "daskcluster",
    shortname = "dsk",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A Dask cluster of dask-kubernetes.",
    scale(spec_replicas_path = ".spec.worker.replicas", status_replicas_path = ".status.replicas"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".spec.worker.replicas"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["scheduler", "worker"]))]
pub struct ClusterSpec {
    /// Seconds after which an idle cluster is deleted. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "idle_timeout")]
    pub idle_timeout: Option<i64>,
    /// The scheduler.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The workers of the default group.
    #[serde(default)]
    pub worker: WorkerSpec,
}

/// The scheduler of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["spec", "service"]))]
pub struct SchedulerSpec {
    /// Labels and annotations of its Deployment, pod and Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// Its pod.
    #[serde(default)]
    #[schemars(schema_with = "parts::pod")]
    pub spec: Value,
    /// Its Service.
    #[serde(default)]
    #[schemars(schema_with = "parts::service")]
    pub service: Value,
}

/// A group of workers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["spec"]))]
pub struct WorkerSpec {
    /// Labels and annotations of their Deployments and pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// How many there are. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "replicas")]
    pub replicas: Option<i64>,
    /// Their pod.
    #[serde(default)]
    #[schemars(schema_with = "parts::pod")]
    pub spec: Value,
}

/// Labels and annotations that are added to those of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// How a cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// `Created`: it was seen. `Pending`: its Service has no address yet. `Running`: its Service is there,
    /// which says nothing of pods. `Error`: it cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// `DaskWorkerGroup`: further workers of a cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernetes.dask.org",
    version = "v1",
    kind = "DaskWorkerGroup",
    plural = "daskworkergroups",
    shortname = "daskworkers",
    namespaced,
    status = "WorkerGroupStatus",
    derive = "PartialEq",
    doc = "A group of workers of a Dask cluster of dask-kubernetes.",
    scale(spec_replicas_path = ".spec.worker.replicas", status_replicas_path = ".status.replicas"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".spec.worker.replicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["cluster", "worker"]))]
pub struct WorkerGroupSpec {
    /// The name of the cluster, in the same namespace.
    #[serde(default)]
    pub cluster: String,
    /// The workers.
    #[serde(default)]
    pub worker: WorkerSpec,
}

impl WorkerGroupSpec {
    /// The name of the cluster that it belongs to.
    pub fn cluster_name(&self) -> &str {
        &self.cluster
    }
}

/// How a group is, of which nothing is said.
// Without a status kube derives no subresource `scale`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct WorkerGroupStatus {}

/// `DaskAutoscaler`: scales the default group of a cluster.
#[allow(clippy::duplicated_attributes, reason = "two of its columns are integers")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernetes.dask.org",
    version = "v1",
    kind = "DaskAutoscaler",
    plural = "daskautoscalers",
    namespaced,
    derive = "PartialEq",
    doc = "How many workers a Dask cluster of dask-kubernetes may have, as its scheduler asks for them.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Minimum", type_ = "integer", json_path = ".spec.minimum"),
    printcolumn(name = "Maximum", type_ = "integer", json_path = ".spec.maximum"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["cluster", "minimum", "maximum"]))]
pub struct AutoscalerSpec {
    /// The name of the cluster, in the same namespace.
    #[serde(default)]
    pub cluster: String,
    /// The fewest workers.
    #[schemars(schema_with = "count")]
    pub minimum: u32,
    /// The most workers.
    #[schemars(schema_with = "count")]
    pub maximum: u32,
}

impl AutoscalerSpec {
    /// The name of the cluster that it belongs to.
    pub fn cluster_name(&self) -> &str {
        &self.cluster
    }
}

/// `DaskJob`: a pod, and a cluster for it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernetes.dask.org",
    version = "v1",
    kind = "DaskJob",
    plural = "daskjobs",
    shortname = "djb",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    doc = "A program, and a Dask cluster of dask-kubernetes that is there for as long as it runs.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.jobStatus"),
    printcolumn(
        name = "Number Of Workers",
        type_ = "integer",
        json_path = ".spec.cluster.spec.worker.replicas"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["job", "cluster"]))]
pub struct JobSpec {
    /// The pod.
    #[serde(default)]
    pub job: JobPod,
    /// The cluster.
    #[serde(default)]
    pub cluster: JobCluster,
}

/// The pod of a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["spec"]))]
pub struct JobPod {
    /// Its labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// Its spec. Default of `restartPolicy`: `OnFailure`.
    #[serde(default)]
    #[schemars(schema_with = "parts::pod_of_job")]
    pub spec: Value,
}

/// The cluster of a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Required(&["spec"]))]
pub struct JobCluster {
    /// Labels and annotations of the cluster. The documentation of dask-kubernetes shows them, and its own
    /// definition drops them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Extra>,
    /// The spec of a `DaskCluster`.
    #[serde(default)]
    pub spec: ClusterSpec,
}

/// How a job is: these five fields and no others, which its users compare as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// `JobCreated`, `ClusterCreated`, `Running`, `Successful` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_status: Option<String>,
    /// The name of its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The name of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_runner_pod_name: Option<String>,
    /// When its pod began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Time>,
    /// When its pod ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub end_time: Option<Time>,
}

/// Says which fields must be written. The types have a value for each of them all the same: a translator of
/// manifests says more of one that is missing than a parser does.
struct Required(&'static [&'static str]);

impl Transform for Required {
    fn transform(&mut self, schema: &mut Schema) {
        schema.insert("required".to_owned(), json!(self.0));
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for name in self.0 {
            if let Some(property) = properties.get_mut(*name).and_then(Value::as_object_mut) {
                property.remove("default");
            }
        }
    }
}

// These are not nullable: the API server takes null for not written, and fills the default in. Their client
// writes null for what it was not given.

fn idle_timeout(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "default": 0})
}

fn replicas(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 0, "default": 1})
}

fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 0})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(kind: &str) -> Value {
        let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let version = crd.spec.versions.into_iter().next().unwrap();
        serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
    }

    #[test]
    fn kinds_are_called_and_scaled_as_their_clients_know_them() {
        let found: Vec<Value> = crds()
            .into_iter()
            .map(|crd| {
                let (names, version) = (crd.spec.names, &crd.spec.versions[0]);
                let parts = version.subresources.clone().unwrap_or_default();
                let scale = parts.scale.map(|scale| (scale.spec_replicas_path, scale.status_replicas_path));
                json!([names.kind, names.plural, names.short_names, scale, parts.status.is_some()])
            })
            .collect();
        let scale = [".spec.worker.replicas", ".status.replicas"];
        let wanted = [
            json!(["DaskCluster", "daskclusters", ["daskcluster", "dsk"], scale, false]),
            json!(["DaskWorkerGroup", "daskworkergroups", ["daskworkers"], scale, false]),
            json!(["DaskAutoscaler", "daskautoscalers", null, null, false]),
            json!(["DaskJob", "daskjobs", ["djb"], null, true]),
        ];
        assert_eq!(found, wanted);
        assert_eq!(crds().iter().map(|crd| crd.spec.names.kind.as_str()).collect::<Vec<_>>(), KINDS);
        assert_eq!(crds().iter().map(|crd| crd.spec.names.plural.as_str()).collect::<Vec<_>>(), PLURALS);
    }

    #[test]
    fn what_must_be_written_has_no_default_and_what_has_one_is_not_null() {
        let spec = &schema("DaskJob")["properties"]["spec"];
        let cluster = &spec["properties"]["cluster"]["properties"]["spec"];
        let worker = &cluster["properties"]["worker"];
        assert_eq!(spec["required"], json!(["cluster", "job"]));
        assert_eq!(cluster["required"], json!(["scheduler", "worker"]));
        assert_eq!(cluster["properties"]["scheduler"]["required"], json!(["service", "spec"]));
        for part in [&spec["properties"]["job"], cluster, worker] {
            assert_eq!(part.get("default"), None, "{part}");
        }
        for (field, default) in [
            (&worker["properties"]["replicas"], json!(1)),
            (&cluster["properties"]["idleTimeout"], json!(0)),
            (
                &spec["properties"]["job"]["properties"]["spec"]["properties"]["restartPolicy"],
                json!("OnFailure"),
            ),
        ] {
            assert_eq!((&field["default"], field.get("nullable")), (&default, None), "{field}");
        }
    }

    #[test]
    fn pods_and_services_keep_all_fields_and_no_name_is_refused() {
        for kind in KINDS {
            let text = schema(kind).to_string();
            assert!(!text.contains("x-kubernetes-validations") && !text.contains("$ref"), "{kind}: {text}");
            assert!(text.len() < 16_000, "{kind} has {} bytes", text.len());
        }
        let scheduler = &schema("DaskCluster")["properties"]["spec"]["properties"]["scheduler"]["properties"];
        for part in ["spec", "service"] {
            assert_eq!(scheduler[part]["x-kubernetes-preserve-unknown-fields"], json!(true), "{part}");
        }
    }
}
