//! Metrics for Prometheus: counters that are kept, and gauges that are read from the caches when somebody
//! asks.

mod now;
mod requests;
pub mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{self, Registry};

use super::caches::Stores;
use crate::api::{Kind, Phase, Reason};
use crate::plan::requests::Class;
use crate::plan::{Figure, between};
pub(super) use now::Now;
pub(super) use requests::CountRequests;
use table::Metric;

/// The usual ends of a run.
const ENDS: [(Phase, &[Reason]); 5] = [
    (Phase::Succeeded, &[Reason::Succeeded]),
    (
        Phase::Failed,
        &[
            Reason::ScriptError,
            Reason::ParameterError,
            Reason::FlowFailed,
            Reason::NoFlowRan,
            Reason::RanOutsideCluster,
            Reason::RunnerError,
            Reason::OOMKilled,
            Reason::Evicted,
            Reason::Preempted,
            Reason::NodeLost,
            Reason::ClusterLost,
            Reason::ClusterTimeout,
            Reason::JobDeleted,
            Reason::Terminated,
        ],
    ),
    (Phase::TimedOut, &[Reason::TimeoutExceeded, Reason::DeadlineExceeded]),
    (Phase::Cancelled, &[Reason::Cancelled, Reason::Replaced]),
    (Phase::Skipped, &[Reason::QueueFull, Reason::StartingDeadlineExceeded, Reason::Superseded]),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: &'static str,
    resource: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verb {
    verb: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The counters. A clone counts into the same ones.
#[derive(Clone)]
pub(super) struct Metrics {
    reconciles: Family<Reconcile, Counter>,
    reconcile_durations: Histograms<OfKind>,
    start_skews: Histograms<Stage>,
    runner_waits: Histogram,
    run_durations: Histograms<Outcome>,
    runs_ended: Family<End, Counter>,
    missed_ticks: Family<Because, Counter>,
    events_lost: Counter,
    clusters_left: Counter,
    api_requests: Family<Request, Counter>,
    api_durations: Histograms<Verb>,
    api_limit: Gauge,
    api_waiting: Family<OfClass, Gauge>,
    reconciles_waiting: Family<OfKind, Gauge>,
    watch_restarts: Family<OfKind, Counter>,
    undecodable: Family<OfKind, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            // From 0.1 ms, a plan that changes nothing, to 27 s.
            reconcile_durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 4.0, 10))
            }),
            start_skews: Family::new_with_constructor(|| {
                Histogram::new([
                    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 1_800.0, 7_200.0,
                ])
            }),
            runner_waits: Histogram::new([
                0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1_800.0,
            ]),
            // From a second to a day.
            run_durations: Family::new_with_constructor(|| {
                Histogram::new([
                    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0,
                ])
            }),
            runs_ended: Family::default(),
            missed_ticks: Family::default(),
            events_lost: Counter::default(),
            clusters_left: Counter::default(),
            api_requests: Family::default(),
            // From 2 ms to the 30 s after which a request is given up.
            api_durations: Family::new_with_constructor(|| {
                Histogram::new([0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 30.0])
            }),
            api_limit: Gauge::default(),
            api_waiting: Family::default(),
            reconciles_waiting: Family::default(),
            watch_restarts: Family::default(),
            undecodable: Family::default(),
        };
        // A counter whose first sample is 1 has no rate: those that alerts look at begin at 0.
        for reason in [Reason::StartingDeadlineExceeded, Reason::Superseded] {
            drop(metrics.missed_ticks.get_or_create(&Because { reason: reason.as_str() }));
        }
        for kind in Kind::ALL.map(Kind::as_str) {
            for result in ["success", "failure", "conflict", "timeout", "stopped"] {
                drop(metrics.reconciles.get_or_create(&Reconcile { kind, result }));
            }
            drop(metrics.reconcile_durations.get_or_create(&of_kind(kind)));
            drop(metrics.reconciles_waiting.get_or_create(&of_kind(kind)));
        }
        for (phase, reasons) in ENDS {
            for reason in reasons {
                drop(
                    metrics
                        .runs_ended
                        .get_or_create(&End { result: phase.as_str(), reason: reason.as_str() }),
                );
            }
        }
        for kind in Stores::titles() {
            drop(metrics.watch_restarts.get_or_create(&of_kind(&kind)));
            drop(metrics.undecodable.get_or_create(&of_kind(&kind)));
        }
        metrics
    }
}

fn of_kind(kind: &str) -> OfKind {
    OfKind { kind: kind.to_owned() }
}

impl Metrics {
    /// Counts one reconcile; `result` is `success`, `failure`, `conflict`, `timeout` or `stopped`.
    pub(super) fn reconciled(&self, kind: Kind, result: &'static str, took: Duration) {
        self.reconciled_as(kind.as_str(), result, took);
    }

    /// The same of a kind of another group, by its title.
    pub(super) fn reconciled_as(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { kind, result }).inc();
        self.reconcile_durations.get_or_create(&of_kind(kind)).observe(took.as_secs_f64());
    }

    /// Counts what has happened by a status that was written; what was to be created before that was created
    /// at `done`.
    pub(super) fn count(&self, figure: Figure, done: Timestamp) {
        let start_skew = |stage| self.start_skews.get_or_create(&Stage { stage });
        match figure {
            Figure::TicksMissed { reason, count } => {
                self.missed_ticks.get_or_create(&Because { reason: reason.as_str() }).inc_by(count.into());
            }
            Figure::TickStarted { late } => start_skew("created").observe(late.as_secs_f64()),
            Figure::TickAdmitted { late } => start_skew("admitted").observe(late.as_secs_f64()),
            Figure::JobCreated { start } => start_skew("job").observe(between(start, done).as_secs_f64()),
            Figure::RunnerStarted { waited } => self.runner_waits.observe(waited.as_secs_f64()),
            Figure::RunEnded { phase, reason, took } => {
                let result = phase.as_str();
                self.runs_ended.get_or_create(&End { result, reason: reason.as_str() }).inc();
                if let Some(took) = took {
                    self.run_durations.get_or_create(&Outcome { result }).observe(took.as_secs_f64());
                }
            }
        }
    }

    /// Counts an event that could not be published.
    pub(super) fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// Counts a cluster of a Dask Gateway that may go on without its run.
    pub(super) fn cluster_left(&self) {
        self.clusters_left.inc();
    }

    /// Counts a watch of the kind of this title that failed.
    pub(super) fn watch_failed(&self, kind: &str) {
        self.watch_restarts.get_or_create(&of_kind(kind)).inc();
    }

    /// How many objects of the kind of this title do not decode. Several watches of one kind share it.
    pub(super) fn undecodable(&self, kind: &str) -> Gauge {
        self.undecodable.get_or_create(&of_kind(kind)).clone()
    }

    /// How many objects of this kind wait for their turn.
    pub(super) fn reconciles_waiting(&self, kind: Kind) -> Gauge {
        self.reconciles_waiting_as(kind.as_str())
    }

    /// The same of a kind of another group, by its title.
    pub(super) fn reconciles_waiting_as(&self, kind: &str) -> Gauge {
        self.reconciles_waiting.get_or_create(&of_kind(kind)).clone()
    }

    /// Where to say how requests wait.
    pub(super) fn request_gauges(&self) -> RequestGauges {
        let waiting = Class::ALL
            .map(|class| self.api_waiting.get_or_create(&OfClass { class: class.as_str() }).clone());
        RequestGauges { limit: self.api_limit.clone(), waiting }
    }

    /// Counts a request to the API server; `code` is its answer's, if one came.
    fn requested(&self, (verb, resource): (&'static str, String), code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.api_requests.get_or_create(&Request { verb, resource, code }).inc();
        self.api_durations.get_or_create(&Verb { verb }).observe(took.as_secs_f64());
    }

    /// All metrics in the text format of `OpenMetrics`.
    pub(super) fn text(&self, now: &Now) -> String {
        let mut registry = Registry::with_prefix(table::PREFIX.trim_end_matches('_'));
        let into = &mut registry;
        register(into, &table::START_SKEW, self.start_skews.clone());
        register(into, &table::MISSED_TICKS, self.missed_ticks.clone());
        register(into, &table::RUNS_ENDED, self.runs_ended.clone());
        register(into, &table::RUN_DURATION, self.run_durations.clone());
        register(into, &table::RUNNER_WAIT, self.runner_waits.clone());
        now.register(into);
        register(into, &table::RECONCILES, self.reconciles.clone());
        register(into, &table::RECONCILE_DURATION, self.reconcile_durations.clone());
        register(into, &table::RECONCILES_WAITING, self.reconciles_waiting.clone());
        register(into, &table::UNDECODABLE, self.undecodable.clone());
        register(into, &table::EVENTS_LOST, self.events_lost.clone());
        register(into, &table::CLUSTERS_LEFT, self.clusters_left.clone());
        register(into, &table::API_REQUESTS, self.api_requests.clone());
        register(into, &table::API_DURATION, self.api_durations.clone());
        register(into, &table::API_LIMIT, self.api_limit.clone());
        register(into, &table::API_WAITING, self.api_waiting.clone());
        register(into, &table::WATCH_RESTARTS, self.watch_restarts.clone());
        register(into, &table::BUILD, Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

/// How many requests may be under way, and how many wait.
pub(super) struct RequestGauges {
    limit: Gauge,
    waiting: [Gauge; Class::ALL.len()],
}

impl RequestGauges {
    /// So many may be under way.
    pub(super) fn limit(&self, limit: usize) {
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// So many of a class wait.
    pub(super) fn waiting(&self, class: Class, count: usize) {
        if let Some(gauge) = self.waiting.get(class.index()) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

fn register(registry: &mut Registry, metric: &Metric, value: impl registry::Metric) {
    registry.register(metric.family, metric.help, value);
}
