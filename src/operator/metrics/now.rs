//! What is so at the moment of a scrape, read from the caches.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Because, OfKind, of_kind, register, table};
use crate::api::kind::Visit;
use crate::api::{Kind, Phase, Reason};
use crate::operator::caches::{Cached, Stores};
use crate::operator::schedulers::Connections;
use crate::plan::facts::phase_of;
use crate::plan::subject::Subject;

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
    pub(super) objects: BTreeMap<(Kind, &'static str), i64>,
    pub(super) queued: BTreeMap<&'static str, i64>,
    pub(super) workers_desired: i64,
    pub(super) workers_ready: i64,
    pub(super) connections: Connections,
    pub(super) in_backoff: BTreeMap<Kind, i64>,
    pub(super) certificate_end: Option<Timestamp>,
    pub(super) leads: bool,
}

impl Now {
    /// Counts what the caches hold, beside these.
    pub(in crate::operator) fn of(
        stores: &Stores,
        connections: Connections,
        in_backoff: BTreeMap<Kind, i64>,
        leads: bool,
    ) -> Self {
        let mut now = Self { connections, in_backoff, leads, ..Self::default() };
        now.count_objects(stores);
        now
    }

    fn count_objects(&mut self, stores: &Stores) {
        Kind::each(&mut Count { now: self, stores });
        for status in stores.clusters.all().iter().filter_map(|cluster| cluster.status.as_ref()) {
            self.workers_desired += i64::from(status.workers.desired);
            self.workers_ready += i64::from(status.workers.ready);
            let end = status.tls.as_ref().and_then(|tls| tls.not_after.as_ref()).map(|end| end.0);
            self.certificate_end = [self.certificate_end, end].into_iter().flatten().min();
        }
        for run in stores.runs.all().iter().filter(|run| phase_of(run) == Phase::Queued) {
            let word = run.status.as_ref().and_then(|status| status.reason.as_deref());
            let reason = word.and_then(Reason::from_word).unwrap_or(Reason::Progressing);
            *self.queued.entry(reason.as_str()).or_default() += 1;
        }
    }

    /// Registers them all, those that are zero too: a graph is to fall and not to break off.
    pub(super) fn register(&self, registry: &mut Registry) {
        let objects: Family<Objects, Gauge> = Family::default();
        Kind::each(&mut Zeros(&objects));
        for ((kind, phase), count) in &self.objects {
            objects.get_or_create(&Objects { kind: kind.as_str(), phase }).set(*count);
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
        for kind in Kind::ALL {
            let count = self.in_backoff.get(&kind).copied().unwrap_or(0);
            in_backoff.get_or_create(&of_kind(kind.as_str())).set(count);
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

/// Counts what is cached by what it is.
struct Count<'a> {
    now: &'a mut Now,
    stores: &'a Stores,
}

impl<K: Subject + Cached> Visit<K> for Count<'_> {
    fn visit(&mut self) {
        for object in K::kept(self.stores).all() {
            *self.now.objects.entry((K::KIND, object.state())).or_default() += 1;
        }
    }
}

/// What objects can be, before they are counted.
struct Zeros<'a>(&'a Family<Objects, Gauge>);

impl<K: Subject> Visit<K> for Zeros<'_> {
    fn visit(&mut self) {
        for phase in K::STATES {
            drop(self.0.get_or_create(&Objects { kind: K::KIND.as_str(), phase }));
        }
    }
}
