//! The labels and annotations that daskflow writes, in one place.

/// `app.kubernetes.io/name`: always [`APP`].
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// `app.kubernetes.io/instance`: the `DaskCluster` or `Flow` that the object serves.
pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
/// `app.kubernetes.io/component`: as [`COMPONENT`].
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// `app.kubernetes.io/managed-by`: always [`APP`].
pub const APP_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `app.kubernetes.io/part-of`: always [`APP`].
pub const APP_PART_OF: &str = "app.kubernetes.io/part-of";
/// The value of the labels that name this program.
pub const APP: &str = "daskflow";

/// The `DaskCluster` that a pod belongs to; the label that dask-kubernetes uses as well.
pub const CLUSTER_NAME: &str = "dask.org/cluster-name";
/// `scheduler`, `worker` or `runner`.
pub const COMPONENT: &str = "dask.org/component";
/// The worker group of a worker pod.
pub const WORKER_GROUP: &str = "dask.org/workergroup-name";
/// The group of a worker pod of a cluster that is made for one of dask-kubernetes, as our spec names it:
/// there [`WORKER_GROUP`] is the name of the `DaskWorkerGroup`.
pub const GROUP: &str = "daskflow.dev/group";
/// Of a worker pod of such a cluster: its own name, by which a Deployment selects it alone.
pub const WORKER_NAME: &str = "daskflow.dev/worker-name";
/// Annotation on a Deployment that shows a pod of such a cluster: the uid of the pod.
pub const SHOWN_POD: &str = "daskflow.dev/shown-pod";

/// The full name of the Flow that an object serves.
pub const FLOW: &str = "daskflow.dev/flow";
/// The full name of the FlowRun that an object serves.
pub const RUN: &str = "daskflow.dev/run";
/// The FlowBackfill that a FlowRun belongs to.
pub const BACKFILL: &str = "daskflow.dev/backfill";
/// Annotation on a FlowRun: the uid of its FlowBackfill. One of the same name that came after it is another
/// one.
pub const BACKFILL_UID: &str = "daskflow.dev/backfill-uid";
/// Annotation on a FlowRun: the FlowBackfill that cancelled it, rather than a user.
pub const CANCELLED_BY: &str = "daskflow.dev/cancelled-by";
/// Annotation on a FlowRun or a FlowBackfill: what a person made it with, as [`BY_PAGE`]. It does not say who
/// that was, and nothing is decided by it.
pub const REQUESTED_BY: &str = "daskflow.dev/requested-by";
/// The value of [`REQUESTED_BY`] on what was made with the page (`daskflow ui`).
pub const BY_PAGE: &str = "ui";
/// On a Job: the name of the ConfigMap with the flow's code.
pub const CODE: &str = "daskflow.dev/code";
/// On a pod: the hash of the part of the spec that shaped it. A pod with another hash is outdated.
pub const TEMPLATE_HASH: &str = "daskflow.dev/template-hash";
/// Annotation on runs, Jobs and runner pods: the logical time of the run, RFC 3339 in UTC.
pub const SCHEDULED_TIME: &str = "daskflow.dev/scheduled-time";
/// Annotation on runs, Jobs and runner pods: the tick of the run's clock before this one.
pub const PREVIOUS_TICK: &str = "daskflow.dev/previous-tick";
/// Annotation on runs, Jobs and runner pods: the tick of the run's clock after this one.
pub const NEXT_TICK: &str = "daskflow.dev/next-tick";

/// Annotation on a pod of a cluster with TLS: the authorities that it trusts, as a hash. Pods of others
/// cannot talk to it.
pub const TRUST: &str = "daskflow.dev/trust";
/// Annotation on a pod of a cluster with TLS: the Secret that its certificate is in.
pub const CERTIFICATE: &str = "daskflow.dev/certificate";
/// Annotation on a pod of a cluster with TLS: when its certificate begins, RFC 3339 in UTC.
pub const CERTIFICATE_BEGINS: &str = "daskflow.dev/certificate-begins";
/// Annotation on a pod of a cluster with TLS: when its certificate ends, RFC 3339 in UTC.
pub const CERTIFICATE_ENDS: &str = "daskflow.dev/certificate-ends";

/// Annotation on a worker's pod: since when it is waited for its tasks to end, so that it can leave. It gets
/// new ones as before, and may be wanted again.
pub const DRAINING_SINCE: &str = "daskflow.dev/draining-since";
/// Annotation on a worker's pod: since when it is waited for its tasks to end, and it gets no new ones. It is
/// never wanted again.
pub const CLOSED_SINCE: &str = "daskflow.dev/closed-since";

/// Annotation on a worker's pod: since when its worker is known not to be registered though it runs.
pub const UNREGISTERED_SINCE: &str = "daskflow.dev/unregistered-since";

/// Annotation on the default `DaskWorkerGroup` of a cluster of dask-kubernetes: how many workers its
/// `DaskCluster` asked for when the group was last given that number.
pub const CLUSTER_REPLICAS: &str = "daskflow.dev/cluster-replicas";

/// Annotation on a cluster that is made for one of dask-kubernetes: the labels and annotations that its pods
/// are created with, as the `metadata` of a pod template. A change of it replaces no pod.
pub const POD_METADATA: &str = "daskflow.dev/pod-metadata";

/// The value of [`COMPONENT`] on a scheduler.
pub const SCHEDULER: &str = "scheduler";
/// The value of [`COMPONENT`] on a worker.
pub const WORKER: &str = "worker";
/// The value of [`COMPONENT`] on a runner.
pub const RUNNER: &str = "runner";
/// The value of [`APP_COMPONENT`] on the operator's own pods; the Helm chart writes it.
pub const OPERATOR: &str = "operator";
