//! What the operator counts, as Prometheus would see it.

use std::collections::BTreeMap;

use kube::{Client, ResourceExt};

use super::operator;

/// The port of `/metrics`.
const PORT: u16 = 8080;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series, such as `daskflow_objects`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What all replicas of the operator serve now, through the API server's proxy of pods.
pub async fn scrape(client: &Client) -> Vec<Sample> {
    let mut samples = Vec::new();
    for pod in operator::pods(client).await.unwrap() {
        let (namespace, name) = (operator::NAMESPACE, pod.name_any());
        let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:{PORT}/proxy/metrics");
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        let text = client.request_text(request).await.unwrap();
        samples.extend(text.lines().filter(|line| !line.starts_with('#')).map(sample));
    }
    samples
}

/// The sum of the values of these samples.
pub fn sum(samples: &[Sample], name: &str, which: impl Fn(&BTreeMap<String, String>) -> bool) -> f64 {
    let chosen = samples.iter().filter(|sample| sample.name == name && which(&sample.labels));
    chosen.map(|sample| sample.value).sum()
}

/// A line such as `daskflow_objects{kind="Flow",phase="Ready"} 3`; no label of ours holds a quote or a comma.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    Sample {
        name: name.to_owned(),
        labels: pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect(),
        value: value.parse().unwrap(),
    }
}
