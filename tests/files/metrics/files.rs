//! The dashboard and the alerts of the chart, and what can be queried.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use daskflow::operator::metrics::table::{self, Metric, Type};
use serde_json::Value;

use super::promql::{Known, Series};

/// A file of the project.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(&text("charts/daskflow/files/dashboard.json")).unwrap()
}

/// The rules of all groups of alerts.
pub fn alerts() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&text("charts/daskflow/files/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The queries of the dashboard: where each stands, itself, and its legend.
pub fn dashboard_queries(dashboard: &Value) -> Vec<(String, String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| {
            let text = |key: &str| target[key].as_str().unwrap().to_owned();
            (title.clone(), text("expr"), text("legendFormat"))
        })
    });
    queries.collect()
}

/// All queries: where each stands, and itself.
pub fn queries() -> Vec<(String, String)> {
    let of_dashboard = dashboard_queries(&dashboard()).into_iter().map(|(title, query, _)| (title, query));
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap().to_owned();
    of_dashboard.chain(alerts().iter().map(|rule| (text(rule, "alert"), text(rule, "expr")))).collect()
}

/// What the table of metrics lets one query.
pub fn known() -> Known {
    let of_metric = |metric: &Metric| {
        let labels: BTreeSet<String> = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        let grows = matches!(metric.kind, Type::Counter | Type::Histogram);
        let series = metric.series().into_iter().map(move |(name, le)| {
            let le = le.then(|| "le".to_owned());
            (name, Series { labels: labels.iter().cloned().chain(le).collect(), grows })
        });
        series.collect::<Vec<_>>()
    };
    table::ALL.iter().flat_map(of_metric).collect()
}
