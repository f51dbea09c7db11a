//! What is so at the moment of a scrape, read from the caches.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Because, OfKind, PLANNED, of_kind, register, table};
use crate::api::{ConditionType, Phase, Reason};
use crate::operator::caches::Stores;
use crate::operator::schedulers::Connections;
use crate::plan::conditions::is_true;
use crate::plan::facts::phase_of;

/// The phases of a run.
const PHASES: [Phase; 9] = [
    Phase::Queued,
    Phase::Provisioning,
    Phase::Running,
    Phase::Retrying,
    Phase::Succeeded,
    Phase::Failed,
    Phase::Cancelled,
    Phase::TimedOut,
    Phase::Skipped,
];
/// What an object without a phase is, by its conditions.
const STATES: [&str; 4] = ["Ready", "Progressing", "Stalled", "Suspended"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Objects {
    kind: &'static str,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Numbers of things.
#[derive(Default)]
pub(in crate::operator) struct Now {
    pub(super) objects: BTreeMap<(&'static str, &'static str), i64>,
    pub(super) queued: BTreeMap<&'static str, i64>,
    pub(super) workers_desired: i64,
    pub(super) workers_ready: i64,
    pub(super) connections: Connections,
    pub(super) in_backoff: BTreeMap<String, i64>,
    pub(super) certificate_end: Option<Timestamp>,
    pub(super) leads: bool,
}

impl Now {
    /// Counts what the caches hold, beside these.
    pub(in crate::operator) fn of(
        stores: &Stores,
        connections: Connections,
        in_backoff: BTreeMap<String, i64>,
        leads: bool,
    ) -> Self {
        let mut now = Self { connections, in_backoff, leads, ..Self::default() };
        now.count_objects(stores);
        now
    }

    fn count_objects(&mut self, stores: &Stores) {
        for cluster in stores.clusters.all() {
            let status = cluster.status.as_ref();
            self.add("DaskCluster", state(status.map(|status| status.conditions.as_slice())));
            let Some(status) = status else { continue };
            self.workers_desired += i64::from(status.workers.desired);
            self.workers_ready += i64::from(status.workers.ready);
            let end = status.tls.as_ref().and_then(|tls| tls.not_after.as_ref()).map(|end| end.0);
            self.certificate_end = [self.certificate_end, end].into_iter().flatten().min();
        }
        for flow in stores.flows.all() {
            let conditions = flow.status.as_ref().map(|status| status.conditions.as_slice());
            self.add("Flow", if flow.spec.suspend { "Suspended" } else { state(conditions) });
        }
        for backfill in stores.backfills.all() {
            let conditions = backfill.status.as_ref().map(|status| status.conditions.as_slice());
            let conditions = conditions.unwrap_or_default();
            let phase = if is_true(conditions, ConditionType::Complete) {
                "Complete"
            } else if is_true(conditions, ConditionType::Failed) {
                "Failed"
            } else if backfill.spec.suspend {
                "Suspended"
            } else {
                state(Some(conditions))
            };
            self.add("FlowBackfill", phase);
        }
        for run in stores.runs.all() {
            let phase = phase_of(&run);
            self.add("FlowRun", phase.as_str());
            if phase == Phase::Queued {
                let word = run.status.as_ref().and_then(|status| status.reason.as_deref());
                let reason = word.and_then(Reason::from_word).unwrap_or(Reason::Progressing);
                *self.queued.entry(reason.as_str()).or_default() += 1;
            }
        }
    }

    fn add(&mut self, kind: &'static str, phase: &'static str) {
        *self.objects.entry((kind, phase)).or_default() += 1;
    }

    /// Registers them all, those that are zero too: a graph is to fall and not to break off.
    pub(super) fn register(&self, registry: &mut Registry) {
        let objects: Family<Objects, Gauge> = Family::default();
        let states = STATES.iter().flat_map(|phase| ["DaskCluster", "Flow"].map(|kind| (kind, *phase)));
        let backfills =
            STATES.iter().skip(1).chain(&["Complete", "Failed"]).map(|phase| ("FlowBackfill", *phase));
        let runs = PHASES.iter().map(|phase| ("FlowRun", phase.as_str()));
        for (kind, phase) in states.chain(backfills).chain(runs) {
            drop(objects.get_or_create(&Objects { kind, phase }));
        }
        for ((kind, phase), count) in &self.objects {
            objects.get_or_create(&Objects { kind, phase }).set(*count);
        }
        let queued: Family<Because, Gauge> = Family::default();
        for (reason, count) in &self.queued {
            queued.get_or_create(&Because { reason }).set(*count);
        }
        let connections: Family<State, Gauge> = Family::default();
        let Connections { answering, unreachable, connecting } = self.connections;
        for (state, count) in
            [("answering", answering), ("unreachable", unreachable), ("connecting", connecting)]
        {
            connections.get_or_create(&State { state }).set(count);
        }
        let in_backoff: Family<OfKind, Gauge> = Family::default();
        for kind in PLANNED {
            in_backoff.get_or_create(&of_kind(kind)).set(self.in_backoff.get(kind).copied().unwrap_or(0));
        }
        register(registry, &table::RUNS_QUEUED, queued);
        register(registry, &table::OBJECTS, objects);
        register(registry, &table::WORKERS_DESIRED, gauge(self.workers_desired));
        register(registry, &table::WORKERS_READY, gauge(self.workers_ready));
        register(registry, &table::SCHEDULER_CONNECTIONS, connections);
        if let Some(end) = self.certificate_end {
            register(registry, &table::CERTIFICATE_END, gauge(end.as_second()));
        }
        register(registry, &table::BACKOFF, in_backoff);
        register(registry, &table::LEADER, gauge(i64::from(self.leads)));
    }
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

/// What an object is, by its conditions; none were written yet where it is new.
fn state(conditions: Option<&[Condition]>) -> &'static str {
    let conditions = conditions.unwrap_or_default();
    let is = |condition| is_true(conditions, condition);
    if is(ConditionType::Suspended) {
        "Suspended"
    } else if is(ConditionType::Stalled) {
        "Stalled"
    } else if is(ConditionType::Ready) {
        "Ready"
    } else {
        "Progressing"
    }
}
