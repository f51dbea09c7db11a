//! What a page is of, and how it is served.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::dashboards::Dashboards;
use super::door::Door;
use super::load::Loads;
use super::page::seen::{name_of, namespace_of};
use super::watches::Scope;
use crate::api::FlowRun;
use crate::daemon::clock::Clock;
use crate::plan::facts::{attempt_of, phase_of};

/// How many connections with live changes or logs there are at the same time.
const LIVE_MAX: usize = 1_000;

/// How many backfills are looked at ahead at the same time: one may take a second of a processor.
const COMPUTED_MAX: usize = 2;

/// Where other things are that the page leads to, as addresses with `${…}` for what differs by object.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The dashboard of a cluster: `${namespace}`, and `${name}` of the cluster.
    pub dashboard: Option<String>,
    /// Where logs are kept longer than pods: `${namespace}`, `${run}`, and `${startedAtEpoch}` and
    /// `${finishedAtEpoch}` in milliseconds since 1970, as Grafana takes them.
    pub logs: Option<String>,
}

/// What stands in the address of a dashboard.
const OF_DASHBOARD: [&str; 2] = ["namespace", "name"];
/// What stands in the address of a log.
const OF_LOGS: [&str; 4] = ["namespace", "run", "startedAtEpoch", "finishedAtEpoch"];

/// Refuses an address that would lead nowhere, or that a browser would not go to but carry out.
fn checked(link: &str, known: &[&str]) -> Result<String, String> {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    let has_host = rest.is_some_and(|rest| !rest.starts_with(['/', '?', '#']) && !rest.is_empty());
    if !has_host || link.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("write an address that begins with https:// or http:// and a host".to_owned());
    }
    for part in link.split("${").skip(1) {
        let name = part.split_once('}').map(|(name, _)| name);
        if !name.is_some_and(|name| known.contains(&name)) {
            let known: Vec<String> = known.iter().map(|name| format!("${{{name}}}")).collect();
            let begun = name.map_or_else(|| format!("${{{part}"), |name| format!("${{{name}}}"));
            return Err(format!("{begun} stands for nothing: there are {}", known.join(", ")));
        }
    }
    Ok(link.to_owned())
}

impl Links {
    /// Reads the address of dashboards.
    ///
    /// # Errors
    /// It is none, or something in it stands for nothing.
    pub fn read_dashboard(link: &str) -> Result<String, String> {
        checked(link, &OF_DASHBOARD)
    }

    /// Reads the address of logs.
    ///
    /// # Errors
    /// It is none, or something in it stands for nothing.
    pub fn read_logs(link: &str) -> Result<String, String> {
        checked(link, &OF_LOGS)
    }

    /// The address of a cluster's dashboard. Names of objects need no escape in an address.
    pub fn dashboard_of(&self, namespace: &str, name: &str) -> Option<String> {
        let link = self.dashboard.as_ref()?;
        Some(link.replace("${namespace}", namespace).replace("${name}", name))
    }

    /// The address of what a run has written, in all of its attempts. It may have written from when it was
    /// created; one that has not ended writes until now.
    pub fn logs_of(&self, run: &FlowRun, now: Timestamp) -> Option<String> {
        let link = self.logs.as_ref()?;
        let status = run.status.as_ref();
        let created = run.metadata.creation_timestamp.as_ref().map(|at| at.0);
        // `startedAt` is that of the last attempt.
        let is_first = attempt_of(run) <= 1;
        let started = status.and_then(|status| status.started_at.as_ref()).map(|at| at.0);
        let from = started.filter(|_| is_first).or(created).unwrap_or(now);
        let ended = status.and_then(|status| status.finished_at.as_ref()).map(|at| at.0);
        let until = ended.filter(|_| phase_of(run).is_final()).unwrap_or(now);
        let link = link.replace("${namespace}", namespace_of(run)).replace("${run}", name_of(run));
        let link = link.replace("${startedAtEpoch}", &from.as_millisecond().to_string());
        Some(link.replace("${finishedAtEpoch}", &until.as_millisecond().to_string()))
    }
}

/// What is served, and to whom.
pub struct Options {
    /// Who may come in.
    pub door: Door,
    /// What is shown where the address names no namespace.
    pub scope: Scope,
    /// Whether nothing may be changed by the page.
    pub read_only: bool,
    /// Where other things are.
    pub links: Links,
    /// The time of day.
    pub clock: Clock,
}

/// The same, while it is served.
pub(super) struct Site {
    pub options: Options,
    /// Places for connections that stay.
    pub live: Arc<Semaphore>,
    /// Places for what takes a processor for longer than a page.
    pub computed: Semaphore,
    /// The dashboards that are forwarded to this machine, on a person's machine only.
    pub dashboards: Dashboards,
    /// What schedulers say, there only as well.
    pub loads: Loads,
}

impl Site {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            live: Arc::new(Semaphore::new(LIVE_MAX)),
            computed: Semaphore::new(COMPUTED_MAX),
            dashboards: Dashboards::default(),
            loads: Loads::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn logs_of(status: &Value) -> String {
        let links = Links {
            logs: Some(
                "https://grafana.example/${namespace}/${run}?from=${startedAtEpoch}&to=${finishedAtEpoch}"
                    .into(),
            ),
            ..Links::default()
        };
        let run = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": "etl"}, "status": status,
            "metadata": {"name": "etl-1", "namespace": "a", "creationTimestamp": "1970-01-01T00:00:10Z"},
        });
        let run: FlowRun = serde_json::from_value(run).unwrap();
        let link = links.logs_of(&run, Timestamp::from_second(99).unwrap()).unwrap();
        assert_eq!(Links::default().logs_of(&run, Timestamp::UNIX_EPOCH), None);
        link.strip_prefix("https://grafana.example/a/etl-1?").unwrap().to_owned()
    }

    #[test]
    fn a_link_is_an_address_and_all_in_it_stands_for_something() {
        for good in [
            "https://dask.example/${namespace}/${name}/",
            "http://${name}.${namespace}.example:8787/status",
            "https://dask.example",
        ] {
            assert_eq!(Links::read_dashboard(good).as_deref(), Ok(good));
        }
        let grafana = "https://grafana.example/explore?left={\"a\":[\"${run}\"]}&from=${startedAtEpoch}";
        assert_eq!(Links::read_logs(grafana).as_deref(), Ok(grafana));
        for (bad, said) in [
            ("javascript:alert(1)//${run}", "https:// or http://"),
            ("/logs/${run}", "https:// or http://"),
            ("https:///${run}", "and a host"),
            ("https://logs.example/ ${run}", "write an address"),
            ("https://logs.example/${name}", "${name} stands for nothing: there are ${namespace}, ${run}, "),
            ("https://logs.example/${run", "${run stands for nothing"),
            ("https://logs.example/${}", "${} stands for nothing"),
        ] {
            let refused = Links::read_logs(bad).unwrap_err();
            assert!(refused.contains(said), "{bad}: {refused}");
        }
        assert!(Links::read_dashboard("https://a/${run}").unwrap_err().ends_with("${namespace}, ${name}"));
    }

    #[test]
    fn kept_logs_are_those_of_all_attempts_until_the_end() {
        assert_eq!(logs_of(&Value::Null), "from=10000&to=99000");
        let mut status = json!({"phase": "Running", "attempt": 1, "startedAt": "1970-01-01T00:00:20Z"});
        assert_eq!(logs_of(&status), "from=20000&to=99000");
        status["attempt"] = json!(2);
        assert_eq!(logs_of(&status), "from=10000&to=99000");
        status["phase"] = json!("Failed");
        status["finishedAt"] = json!("1970-01-01T00:00:30.5Z");
        assert_eq!(logs_of(&status), "from=10000&to=30500");
    }
}
