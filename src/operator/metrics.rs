//! Counters for Prometheus. No label holds the name of an object or free text.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// The operator's counters.
#[derive(Clone)]
pub(super) struct Metrics {
    reconciles: Family<Reconcile, Counter>,
    durations: Family<Kind, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 0.1 ms, a plan that changes nothing, to 27 s.
        let durations = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.0001, 4.0, 10))) as fn() -> _,
        );
        Self { reconciles: Family::default(), durations }
    }
}

impl Metrics {
    /// Counts one reconcile; `result` is `success`, `failure`, `conflict` or `timeout`.
    pub(super) fn reconciled(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconcile { kind, result }).inc();
        self.durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// All counters in the text format of OpenMetrics, and when the first of all certificates ends, if there is one.
    pub(super) fn text(&self, certificate_end: Option<Timestamp>) -> String {
        let mut registry = Registry::with_prefix("daskflow");
        registry.register("reconcile", "Reconciles by kind and result", self.reconciles.clone());
        registry.register("reconcile_duration_seconds", "Duration of reconciles", self.durations.clone());
        if let Some(end) = certificate_end {
            let gauge: Gauge = Gauge::default();
            gauge.set(end.as_second());
            let help =
                "When the first of the certificates that clusters use ends, in seconds since the epoch";
            registry.register("certificate_not_after_seconds", help, gauge);
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_first_certificate_is_told_where_there_is_one() {
        let metrics = Metrics::default();
        assert!(!metrics.text(None).contains("certificate"));
        let text = metrics.text(Some(Timestamp::from_second(1_800_000_000).unwrap()));
        assert!(text.contains("\ndaskflow_certificate_not_after_seconds 1800000000\n"), "{text}");
    }
}
