//! A restart under load: the operator starts with many Flows, of which some are due, and many finished runs.

use daskflow::api::{Flow, FlowRun, labels};
use daskflow::plan::names::run_name;
use jiff::{Timestamp, ToSpan, Unit};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::audit::percentile;
use crate::cluster::{self, copy, flow, instant_after, now, sleep_until};
use crate::turns::Templates;
use crate::{Bench, say};

/// What a restart showed. Seconds are after the start of the process.
#[derive(Debug)]
pub struct Restart {
    pub ready: f64,
    pub first_run: Option<f64>,
    pub last_run: Option<f64>,
    pub last_job: Option<f64>,
    /// Due Flows without a run, and with more than one.
    pub lost: usize,
    pub doubled: usize,
    pub peak_mib: f64,
    pub cpu_s: f64,
    pub ended: usize,
}

impl Bench {
    pub async fn restart(&self, templates: &Templates) -> Restart {
        let options = &self.options;
        say(&format!("restart: {} Flows and {} finished runs are made", options.all_flows, options.old_runs));
        let tick = instant_after(options.restart_lead_s, Unit::Second);
        let due = json!({"name": "due", "dates": [tick.to_string()]});
        let yearly = json!({"name": "yearly", "cron": "0 0 1 1 *"});
        let clock = |number| if number < options.due { &due } else { &yearly };
        let flows = (0..options.all_flows)
            .map(|number| flow(&flow_name(number), &self.address, clock(number), options.run_s));
        self.cluster.create::<Flow>(flows).await;
        self.create_old_runs(templates).await;
        if now() > tick {
            say("the tick is over before all was made: a longer --restart-lead-s");
        }
        sleep_until(tick).await;
        let mut audit = self.audit(cluster::OPERATOR);
        let start = now();
        let mut operator = self.operator();
        operator.until_ready();
        let ready = now().duration_since(start).as_secs_f64();
        self.until_jobs(&mut audit, options.due, Some(&mut operator)).await;
        tokio::time::sleep(options.pause()).await;
        operator.look();
        audit.read();
        let (runs, jobs) =
            (audit.created("flowruns", start, |_| true), audit.created("jobs", start, |_| true));
        let (lost, doubled) = self.wrong_runs(tick).await;
        let (peak_mib, cpu_s, ended) = (operator.peak_mib(), operator.cpu_s(), operator.ended);
        operator.stop();
        Restart {
            ready,
            first_run: runs.first().copied(),
            last_run: percentile(&runs, options.due, 100),
            last_job: percentile(&jobs, options.due, 100),
            lost,
            doubled,
            peak_mib,
            cpu_s,
            ended,
        }
    }

    /// Runs of ticks of other days, which have ended as that of the template has.
    async fn create_old_runs(&self, templates: &Templates) {
        let status = serde_json::to_value(&templates.run.status).unwrap();
        let owners: Vec<Flow> = self.cluster.all().await;
        let mut owners: Vec<(String, Option<String>)> =
            owners.iter().map(|flow| (flow.name_any(), flow.uid())).collect();
        owners.sort();
        let old: Vec<(String, Value)> = (0..self.options.old_runs)
            .zip(owners.iter().cycle())
            .map(|(number, owner)| {
                let days = i64::try_from(number / owners.len()).unwrap();
                let run = old_run(&templates.run, owner, now() - ((days + 1) * 24).hours());
                (run["metadata"]["name"].as_str().unwrap_or_default().to_owned(), run)
            })
            .collect();
        self.cluster.create::<FlowRun>(old.iter().map(|(_, run)| run.clone())).await;
        self.cluster.tell::<FlowRun>(old.into_iter().map(|(name, _)| (name, status.clone()))).await;
    }

    /// How many due Flows have no run of the tick, and how many have several.
    async fn wrong_runs(&self, tick: Timestamp) -> (usize, usize) {
        let runs: Vec<FlowRun> = self.cluster.all().await;
        let of = |number: usize| {
            let is_of = |run: &&FlowRun| {
                run.spec.flow == flow_name(number)
                    && run.spec.scheduled_time.as_ref().is_some_and(|time| time.0 == tick)
            };
            runs.iter().filter(is_of).count()
        };
        let counts: Vec<usize> = (0..self.options.due).map(of).collect();
        let those = |is_it: fn(usize) -> bool| counts.iter().filter(|count| is_it(**count)).count();
        (those(|count| count == 0), those(|count| count > 1))
    }
}

fn flow_name(number: usize) -> String {
    format!("many-{number:05}")
}

fn old_run(template: &FlowRun, (flow, uid): &(String, Option<String>), tick: Timestamp) -> Value {
    let tick = tick.round(Unit::Second).unwrap();
    let mut run = copy(template, &run_name(flow, tick, None));
    run["spec"]["flow"] = json!(flow);
    run["spec"]["scheduledTime"] = json!(tick.to_string());
    run["metadata"]["labels"][labels::FLOW] = json!(flow);
    run["metadata"]["labels"][labels::APP_INSTANCE] = json!(flow);
    run["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "name": flow, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    run
}
