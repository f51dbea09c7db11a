//! The table of all metrics: their names, types, labels and what they measure.
//!
//! Everything that is served is registered from here; `docs/metrics.md` is written from here; the dashboard
//! and the alerts of the chart are checked against it. No label holds the name of an object or free text:
//! each has few values, which Kubernetes, Dask or this program fixes.

use std::fmt::Write;

/// What all names begin with.
pub const PREFIX: &str = "daskflow_";

/// The type of a metric, as `OpenMetrics` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows while the operator lives.
    Counter,
    /// The current value.
    Gauge,
    /// How often what was measured lay below each bound.
    Histogram,
    /// A text that does not change while the operator lives.
    Info,
}

impl Type {
    /// The word in the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// When a metric has samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// From the start.
    Always,
    /// Once it has happened, or is there.
    Once(&'static str),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name of the family, without [`PREFIX`] and the ending of its type.
    pub(super) family: &'static str,
    /// Its type.
    pub kind: Type,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it measures, in a sentence.
    pub help: &'static str,
    /// When it has samples.
    pub served: Served,
}

impl Metric {
    /// The name as it is documented: of a histogram, without the endings of its three series.
    pub fn name(&self) -> String {
        let ending = match self.kind {
            Type::Counter => "_total",
            Type::Info => "_info",
            Type::Gauge | Type::Histogram => "",
        };
        format!("{PREFIX}{}{ending}", self.family)
    }

    /// The names of its series, as queries write them, each with whether it has the label `le` besides.
    pub fn series(&self) -> Vec<(String, bool)> {
        let name = self.name();
        if self.kind != Type::Histogram {
            return vec![(name, false)];
        }
        [("_bucket", true), ("_sum", false), ("_count", false)]
            .map(|(ending, le)| (format!("{name}{ending}"), le))
            .into()
    }
}

/// Declares the metrics, and [`ALL`] of them in the same order.
macro_rules! metrics {
    ($($name:ident = $kind:ident $family:literal $labels:tt $served:expr, $help:literal;)+) => {
        $(pub(super) const $name: Metric = Metric {
            family: $family, kind: Type::$kind, labels: &$labels, help: $help, served: $served,
        };)+
        /// Every metric that is served.
        pub const ALL: &[Metric] = &[$($name),+];
    };
}

use Served::{Always, Once};

metrics! {
    START_SKEW = Histogram "start_skew_seconds" ["stage"] Once("a tick is started"),
        "How long after the moment of a tick (its time and the Flow's share of jitter) its run was created (stage=created), first admitted to its cluster (stage=admitted, which includes waiting for other runs), and its first Job was created (stage=job, which includes waiting for the cluster)";
    MISSED_TICKS = Counter "missed_ticks" ["reason"] Always,
        "Ticks that passed without a run: too late to start (StartingDeadlineExceeded), or left to newer ones by catchUp (Superseded)";
    RUNS_ENDED = Counter "runs_ended" ["result", "reason"] Always,
        "Runs that ended, by their final phase and the reason word of their status";
    RUN_DURATION = Histogram "run_duration_seconds" ["result"] Once("a run ends whose runner had started"),
        "How long the runner of a run's last attempt ran, by the final phase";
    RUNNER_WAIT = Histogram "runner_wait_seconds" [] Always,
        "How long an attempt waited from its admission to the start of its runner's container: for its cluster, and for the runner's node and image";
    RUNS_QUEUED = Gauge "runs_queued" ["reason"] Once("a run is Queued"),
        "Runs in phase Queued, by what they wait for";
    OBJECTS = Gauge "objects" ["kind", "phase"] Always,
        "Objects: FlowRuns by their phase, the other kinds by their conditions (Ready, Complete, Progressing, Stalled, Suspended)";
    WORKERS_DESIRED = Gauge "workers_desired" [] Always,
        "Workers that all DaskClusters together should have";
    WORKERS_READY = Gauge "workers_ready" [] Always,
        "Workers that are registered with the schedulers of all DaskClusters";
    SCHEDULER_CONNECTIONS = Gauge "scheduler_connections" ["state"] Always,
        "Dask schedulers that the operator listens to: answering, unreachable, or connecting for the first time";
    CERTIFICATE_END = Gauge "certificate_not_after_seconds" [] Once("a DaskCluster has TLS"),
        "When the first of the certificates that clusters use ends, in seconds since the epoch";
    RECONCILES = Counter "reconcile" ["kind", "result"] Always,
        "Reconciles by kind and result: success, failure, timeout, conflict (the cache was behind) or stopped";
    RECONCILE_DURATION = Histogram "reconcile_duration_seconds" ["kind"] Always,
        "Duration of reconciles";
    RECONCILES_WAITING = Gauge "reconciles_waiting" ["kind"] Always,
        "Objects that are due to be reconciled and wait for their turn";
    BACKOFF = Gauge "objects_in_backoff" ["kind"] Always,
        "Objects whose last reconcile failed and is retried with increasing delays";
    UNDECODABLE = Gauge "undecodable_objects" ["kind"] Always,
        "Objects that the operator ignores because it cannot decode them";
    EVENTS_LOST = Counter "events_lost" [] Always,
        "Kubernetes events that could not be published";
    CLUSTERS_LEFT = Counter "gateway_clusters_left" [] Always,
        "Clusters of Dask Gateways that may go on after their run was deleted";
    API_REQUESTS = Counter "api_requests" ["verb", "resource", "code"] Always,
        "Requests to the API server by verb, resource and HTTP status code; code=none: no answer came";
    API_LIMIT = Gauge "api_requests_limit" [] Always,
        "How many requests to the API server may be under way at the same time; it follows how fast the API server answers. Watches do not count";
    API_WAITING = Gauge "api_requests_waiting" ["class"] Always,
        "Requests that wait for their turn: what a run or a cluster waits for (class=work), what is reported after the fact (status), and events (event)";
    API_DURATION = Histogram "api_request_duration_seconds" ["verb"] Always,
        "How long the API server took to answer, not counting what a request waited for its turn; of a watch, to begin it";
    WATCH_RESTARTS = Counter "watch_restarts" ["kind"] Always,
        "Watches that failed and were started anew";
    LEADER = Gauge "leader" [] Always,
        "Whether this replica is the one that reconciles: 1 or 0";
    BUILD = Info "build" ["version"] Always,
        "The version of the operator";
}

/// The table as a page of the documentation.
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Written by `make generate` from src/operator/metrics/table.rs: change that file, not this one. -->\n\
         # Metrics\n\n\
         The operator serves them at `/metrics` of its port 8080, in the text format of OpenMetrics, which Prometheus reads. No\n\
         label holds the name of an object or free text, so their number does not grow with the objects.\n\n\
         Counters and histograms begin at zero when the operator starts. What happens to a run or a tick is counted when its\n\
         status is written, so a reconcile that is repeated counts nothing twice; where the operator ends in that very moment,\n\
         it is not counted.\n\n\
         Every replica exports gauges. **Aggregate gauges with `max`, counters and histograms with `sum`.** Only the leader\n\
         (`daskflow_leader == 1`) has connections to schedulers and objects in backoff.\n\n\
         A histogram has the series `_bucket` (with the label `le`), `_sum` and `_count`.\n\n\
         The dashboard `charts/daskflow/files/dashboard.json` and the alert rules `charts/daskflow/files/alerts.yaml` use all of\n\
         them, and no others.\n\n\
         | Name | Type | Labels | Has samples | Help |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let served = match metric.served {
            Served::Always => "always".to_owned(),
            Served::Once(when) => format!("once {when}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {served} | {} |",
            metric.name(),
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
    }
    page
}
