//! What the operator warns of while objects are changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::findings::{Fault, Finding};
use super::walk::Round;
use crate::support::operator;

/// Between two looks: a kubelet begins a new file when one is full.
const LOOK: Duration = Duration::from_secs(15);
/// How much later than the object's status a line may come, or be dated.
const SLACK: SignedDuration = SignedDuration::from_secs(3);

/// What the API server refuses of what was made from a spec is warned of, and the conditions say it.
const REASONS: [&str; 6] =
    ["Rejected", "InvalidSpec", "QuotaExceeded", "NameTaken", "ReconcileFailing", "CertificateNotReady"];

/// The log of the operator, as it grows.
pub struct Log {
    lines: Arc<Mutex<BTreeSet<(Timestamp, String)>>>,
    client: Client,
    since: Timestamp,
    reader: JoinHandle<()>,
}

impl Log {
    /// Begins to read.
    pub fn read(client: Client, since: Timestamp) -> Self {
        let lines = Arc::default();
        let (all, again) = (Arc::clone(&lines), client.clone());
        let reader = tokio::spawn(async move {
            loop {
                look(&again, since, &all).await;
                sleep(LOOK).await;
            }
        });
        Self { lines, client, since, reader }
    }

    /// All warnings until now that nothing explains.
    pub async fn warnings(&self, namespace: &str, rounds: &[Round]) -> Vec<Finding> {
        look(&self.client, self.since, &self.lines).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.iter().filter(|(_, line)| is_warning(line));
        lines.filter_map(|(at, line)| judge(*at, line, namespace, rounds)).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn look(client: &Client, since: Timestamp, all: &Mutex<BTreeSet<(Timestamp, String)>>) {
    let newest = || all.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(at, _)| *at);
    let since = newest().unwrap_or(since);
    let api: Api<Pod> = Api::namespaced(client.clone(), operator::NAMESPACE);
    for pod in operator::pods(client).await.unwrap_or_default() {
        let wanted = LogParams { since_time: Some(since), timestamps: true, ..LogParams::default() };
        let text = api.logs(&pod.name_any(), &wanted).await.unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let (at, line) = line.split_once(' ')?;
            Some((at.parse().ok()?, line.to_owned()))
        });
        all.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }
}

fn is_warning(line: &str) -> bool {
    [" WARN ", " ERROR ", "panicked"].iter().any(|word| line.contains(word))
}

/// The value of a field of the span that a line was written in.
fn of_span<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(field)?;
    rest.split([' ', '}', ':', '"']).find(|word| !word.is_empty())
}

/// What is found by a warning; nothing if it is of another namespace, or explained by what the object said
/// meanwhile.
fn judge(at: Timestamp, line: &str, namespace: &str, rounds: &[Round]) -> Option<Finding> {
    let (of, name) = (of_span(line, "namespace="), of_span(line, "name="));
    if of.is_some_and(|of| of != namespace) {
        return None;
    }
    let owns = |object: &str| {
        name.is_some_and(|name| {
            name == object || name.strip_prefix(object).is_some_and(|rest| rest.starts_with('-'))
        })
    };
    let is_due = |round: &&Round| {
        let (begin, end) = round.span;
        owns(&round.finding.object) && at >= begin - SLACK && at <= end + SLACK
    };
    let due: Vec<&Round> = rounds.iter().filter(is_due).collect();
    let is_explained = due.iter().any(|round| REASONS.iter().any(|reason| round.reasons.contains(*reason)));
    if is_explained && !line.contains("panicked") {
        return None;
    }
    let fault = Fault::Warning(line.chars().take(600).collect());
    Some(match due.last() {
        Some(round) => Finding { fault, ..round.finding.clone() },
        None => Finding {
            base: String::new(),
            kind: of_span(line, "kind=").unwrap_or("operator").to_owned(),
            object: name.unwrap_or_default().to_owned(),
            leaf: "no change".to_owned(),
            patch: Value::Null,
            fault,
        },
    })
}
