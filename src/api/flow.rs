//! `Flow`: run this program on that cluster, at these times, with these parameters.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::common::{CodeEngine, ConfigMapKey, Entrypoint, NameRef, PullPolicy, Resources};
use super::count::Count;
use super::dask_cluster::DaskClusterSpec;
use super::duration::{self, Duration};
use super::flow_run::Phase;
use super::gateway::Gateway;
pub use super::run_policy::{CatchUp, CatchUpPolicy, Concurrency, History, Retries};
use super::schema;
use super::tls::ClientTls;

pub use super::schedule::{ClockEntry, Schedule};

/// What a `Flow` is to be: a program, the cluster that it runs on, and its times.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "daskflow.dev",
    version = "v1alpha1",
    kind = "Flow",
    plural = "flows",
    shortname = "fl",
    category = "daskflow",
    namespaced,
    status = "FlowStatus",
    derive = "PartialEq",
    doc = "A program that runs on a Dask cluster, at the times of its schedule or on demand.",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".status.schedule"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(name = "Last", type_ = "string", json_path = ".status.lastRun.phase"),
    printcolumn(name = "Ended", type_ = "date", json_path = ".status.lastRun.finishedAt"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextTick"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Concurrency", type_ = "string", json_path = ".spec.concurrency", priority = 1),
    printcolumn(name = "Missed", type_ = "integer", json_path = ".status.missed", priority = 1),
    printcolumn(name = "Skipped", type_ = "integer", json_path = ".status.skipped", priority = 1),
    printcolumn(name = "Last Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"LastRunSucceeded\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 38")
        .message("the name of a Flow has at most 38 characters, because the names of its runs and Jobs are built on it: choose a shorter one"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a Flow becomes part of other names: write lower-case letters, digits and '-', with a letter first and no dot")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.code) && has(self.command) && self.command.size() > 0)")
        .message("write either code or command, not both"),
    validation = Rule::new("has(self.code) || !has(self.engine) || self.engine == 'Auto'")
        .message("engine is for a flow with code: what a command of your own runs cannot be observed"),
    validation = Rule::new("!has(self.cluster.address) || has(self.image)")
        .message("a Flow on a cluster.address needs an image of its own: there is no DaskCluster to take it from"),
    validation = Rule::new("!has(self.cluster.gateway) || has(self.image)")
        .message("a Flow on a cluster.gateway needs an image of its own, with the same versions of Python and Dask as the gateway's"),
    validation = Rule::new("!has(self.cluster.gateway) || has(self.code)")
        .message("a Flow on a cluster.gateway needs code: a command of your own would not find the way through the gateway's proxy"),
    validation = Rule::new("!(has(self.maxActive) || has(self.maxQueued)) || (has(self.concurrency) && self.concurrency == 'Queue')")
        .message("maxActive and maxQueued are for concurrency: Queue; the other policies have one place, or no limit")
)]
pub struct FlowSpec {
    /// The image of the runner. Default: the image of the cluster, which is also the safest, as Dask needs
    /// the same versions on both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When the image is pulled. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets to pull the image with. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<core::LocalObjectReference>,
    /// The Python that starts the script in the image: a name that is looked for in its `PATH`, or a path,
    /// such as `python3` or `/opt/venv/bin/python`. Default: `python`, or the cluster's where the image is
    /// the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub python: Option<String>,
    /// Whether the `ENTRYPOINT` of the image runs, with the script or `command` as its arguments. Default:
    /// `Python`, it does not, or as the cluster has it where the image is the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Entrypoint>,
    /// The script to run. Default: the image's own command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Instead of `code`: a command that is run as it is, and finds the cluster by environment variables
    /// only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,
    /// Arguments of the script or the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<String>,
    /// What counts as a run: with `Prefect`, a run in which no Prefect flow ran is a failure.
    #[serde(default)]
    pub engine: CodeEngine,
    /// Parameters of the flow: names and JSON values. A clock or a run may override them one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub parameters: Option<serde_json::Value>,
    /// Environment variables of the runner only; tasks run on the workers, which have `env` of the
    /// `DaskCluster`. They take precedence over the cluster's and over the generated ones, except for the
    /// scheduler's address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<core::EnvVar>,
    /// ConfigMaps and Secrets whose keys become environment variables of the runner only, as with `env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<core::EnvFromSource>,
    /// Compute resources of the runner's container.
    #[serde(default)]
    pub resources: Resources,
    /// The service account of the runner. Default: the namespace's `default`, with no token mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// A pod template that is merged over the generated one last. The runner's container is called `runner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub template: Option<serde_json::Value>,
    /// The cluster that the flow runs on.
    pub cluster: ClusterSource,
    /// When the flow runs. Default: only on demand, by creating a `FlowRun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What happens when a run is due while another one is active.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Under `Queue`: how many runs are active at once. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_active: Option<Count<1>>,
    /// Under `Queue`: how many runs may wait; one more is skipped as `QueueFull`. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_queued: Option<Count>,
    /// What happens to ticks that passed while no run could be created. Default: the latest of them runs.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How late a run may start; afterwards its tick counts as missed. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("5m or 1h30m"))]
    pub starting_deadline: Option<Duration>,
    /// How long one attempt of a run may take, from the creation of its Job on, so the pull of its image
    /// included; afterwards it is stopped, and tried again where `retries` allows, else the run has
    /// `TimedOut`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("5m or 1h30m"))]
    pub timeout: Option<Duration>,
    /// How long a run may take in all, from its creation to its end: waiting, its cluster, all attempts and
    /// the delays between them. Afterwards it is stopped as `TimedOut`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("5m or 1h30m"))]
    pub deadline: Option<Duration>,
    /// Whether an attempt that failed is tried again. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// How long an attempt waits for its cluster and for its runner's container to start. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("5m or 1h30m"))]
    pub cluster_timeout: Option<Duration>,
    /// How many finished runs are kept, with their Jobs, pods and logs.
    #[serde(default)]
    pub history: History,
    /// True: no tick starts a run, and ticks that have become runs and wait go on waiting. Runs that have
    /// begun go on, and runs created by hand still run.
    #[serde(default)]
    pub suspend: bool,
}

/// Where a flow's script comes from: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.path), has(self.inline), has(self.configMap)].filter(x, x).size() == 1")
    .message("write exactly one of code.path (a script in the image), code.inline (the script itself) and code.configMap"))]
pub struct Code {
    /// The path of a script in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub path: Option<String>,
    /// The script itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 524_288))]
    pub inline: Option<String>,
    /// A key of a ConfigMap that holds the script. A run takes the content as it is when the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
}

/// Which cluster a flow runs on: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.ref), has(self.template), has(self.address), has(self.gateway)].filter(x, x).size() == 1")
        .message("write exactly one of cluster.ref (a DaskCluster of this namespace), cluster.template (a cluster for each run), cluster.address and cluster.gateway"),
    validation = Rule::new("!has(self.keepOnFailure) || has(self.template) || (has(self.gateway) && !has(self.gateway.cluster))")
        .message("keepOnFailure is for cluster.template and cluster.gateway: a cluster that is not the run's own is kept anyway"),
    validation = Rule::new("has(self.tls) == (has(self.address) && self.address.startsWith('tls://'))")
        .message("cluster.tls goes with an address of the form tls://HOST:PORT, and such an address needs it: the Secret with ca.crt, tls.crt and tls.key")
)]
pub struct ClusterSource {
    /// A `DaskCluster` of this namespace.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub ref_: Option<NameRef>,
    /// A `DaskCluster` that is created for each run and deleted after it: the same fields as in the `spec` of
    /// one, see `kubectl explain daskcluster.spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "embedded_cluster")]
    pub template: Option<DaskClusterSpec>,
    /// How long the cluster of a run that ended without success is kept, for debugging. Default: not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("5m or 1h30m"))]
    pub keep_on_failure: Option<Duration>,
    /// The address of any Dask scheduler, such as `tcp://10.0.0.41:8786` or `tls://dask.example.org:8786`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^(tcp|tls)://[^/ ]+:[0-9]+$')").message("write the address of a Dask scheduler as tcp://HOST:PORT or tls://HOST:PORT; a cluster of Dask Gateway has no other: write tls:// and the address of its scheduler, and not gateway://"))]
    pub address: Option<String>,
    /// With an address that begins with `tls://`: the certificate for the scheduler there, and the CA that is
    /// trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// A Dask Gateway, which makes a cluster for each run; it is ended after the run. Or one of its clusters
    /// that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
}

/// What is known of a `Flow`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the spec that was looked at last had been written, as far as the API server says; else when it
    /// was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub spec_written_at: Option<Time>,
    /// The schedule in a few words, for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When the next run is created: its tick, and the Flow's share of `jitter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_tick: Option<Time>,
    /// The newest tick that became a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tick: Option<Time>,
    /// Ticks that passed without a run, since the flow was created.
    #[serde(default)]
    pub missed: i64,
    /// Runs that were given up before they started, since the flow was created: superseded by a newer tick of
    /// their clock, too late, or too many for the queue.
    #[serde(default)]
    pub skipped: i64,
    /// The runs that are counted in `skipped` and were there when the last one was counted: the beginning of
    /// a hash of each one's uid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_runs: Vec<String>,
    /// Runs that have started and not ended.
    #[serde(default)]
    pub active: i32,
    /// Under any policy but `Allow`: the runs that are admitted. A run starts only when it is listed here.
    /// The list is written with the object's resourceVersion, so that the limit is never exceeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// How the newest finished run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// How the last runs ended, at most 50 and 5 KiB of them, the newest first, also of those that are
    /// deleted: `NAME|TICK|PHASE|REASON|STARTED|FINISHED`. Instants are seconds since 1970; a name that
    /// begins with `-` has the Flow's name before it. Runs that were skipped are counted in `skipped`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub recent: Vec<String>,
    /// State of each clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clocks: Vec<ClockStatus>,
    /// The latest observations of the object, as Kubernetes conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// The run's name.
    pub name: String,
    /// Its final phase.
    pub phase: Phase,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub finished_at: Option<Time>,
}

/// State of a clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClockStatus {
    /// The clock's name.
    pub name: String,
    /// Hash of what decides its ticks. When it changes, the clock counts as new.
    pub hash: String,
    /// Ticks up to this instant do not count: the clock was created, edited or resumed then, or as much
    /// earlier as `jitter` starts it later.
    #[schemars(schema_with = "schema::timestamp")]
    pub since: Time,
    /// The newest tick for which a run was created, or that was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub last_tick: Option<Time>,
    /// Its next tick. If the clock is edited before that is dealt with, it counts as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub next_tick: Option<Time>,
    /// The ticks that have succeeded, at most the newest 2,000: instants, each followed by steps of seconds
    /// to later ones such as `+3600*24`. A FlowBackfill does not run them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<String>,
    /// From when on `succeeded` is complete. Default: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub recorded_since: Option<Time>,
    /// Hash of its times alone. While it stays, `runs` counts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_hash: Option<String>,
    /// How many runs it has started, for `maxRuns`.
    #[serde(default)]
    pub runs: i32,
}

/// The spec of a `DaskCluster` inside another kind: its types, bounds and rules, without its descriptions.
///
/// They are told by `kubectl explain daskcluster.spec`. A second copy of them would be a sixth of the Flow's
/// CRD, and leave it no room to grow below the limit that `tests/files/crd_size.rs` holds.
fn embedded_cluster(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Option<DaskClusterSpec>>::json_schema(generator);
    RecursiveTransform(|schema: &mut Schema| {
        schema.remove("description");
    })
    .transform(&mut schema);
    schema
}
