//! The turns of a round: daskflow, a bare client, and Kubernetes' CronJobs.

use std::collections::BTreeMap;

use daskflow::api::{Flow, FlowRun, is_seen};
use futures::{StreamExt, stream};
use jiff::{Timestamp, Unit};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::audit::{Audit, Request, percentile};
use crate::cluster::{self, CONNECTIONS, Cluster, copy, cron_job, flow, instant_after, now, sleep_until};
use crate::machine::Operator;
use crate::{Bench, say};

/// Between the end of the last run and the count: statuses and events come after.
const SETTLE: Duration = Duration::from_secs(5);

/// The Flow that somebody starts by hand, and when: in the middle of the burst.
const BY_HAND: &str = "by-hand";
const INTO_THE_BURST: Duration = Duration::from_millis(500);

/// What one turn showed. Seconds are after the tick, or after the client's first request.
#[derive(Debug, Default)]
pub struct Turn {
    pub run_p50: Option<f64>,
    pub run_p99: Option<f64>,
    pub job_p50: Option<f64>,
    pub job_p99: Option<f64>,
    /// Of the one Flow of another namespace: its run and its Job.
    pub neighbour: [Option<f64>; 2],
    /// From the create of a FlowRun by hand, in the middle of the burst, to its Job.
    pub by_hand: Option<f64>,
    /// Requests that write, from the tick to the end of all runs, by what they ask.
    pub writes: BTreeMap<String, usize>,
    pub reads: usize,
    pub cpu_s: f64,
    pub peak_mib: f64,
    /// How often the operator ended by itself.
    pub ended: usize,
}

/// What the operator made of one Flow: a run and a Job for a client to create again.
pub struct Templates {
    pub flow: Flow,
    pub run: FlowRun,
    pub job: Job,
}

impl Turn {
    fn of(audit: &Audit, begin: Timestamp, wanted: usize) -> Self {
        let created = |resource| audit.created(resource, begin, is_of_the_burst);
        let (runs, jobs) = (created("flowruns"), created("jobs"));
        let is_neighbour = |request: &Request| request.namespace == cluster::NEIGHBOUR;
        let neighbour = |resource| audit.created(resource, begin, is_neighbour).first().copied();
        let mut turn = Self {
            run_p50: percentile(&runs, wanted, 50),
            run_p99: percentile(&runs, wanted, 99),
            job_p50: percentile(&jobs, wanted, 50),
            job_p99: percentile(&jobs, wanted, 99),
            neighbour: [neighbour("flowruns"), neighbour("jobs")],
            ..Self::default()
        };
        for request in audit.requests.iter().filter(|request| is_of_the_burst(request)) {
            if request.writes() {
                *turn.writes.entry(request.kind()).or_default() += 1;
            } else if matches!(request.verb.as_str(), "get" | "list") {
                turn.reads += 1;
            }
        }
        turn
    }
}

/// Whether it is about one of the many, or about all.
fn is_of_the_burst(request: &Request) -> bool {
    request.namespace != cluster::NEIGHBOUR && !request.name.starts_with(BY_HAND)
}

impl Bench {
    /// Flows of one date; the operator; from the tick to the end of all runs.
    pub async fn daskflow(&self) -> (Turn, Templates) {
        let count = self.options.flows;
        let mut operator = self.operator();
        operator.until_ready();
        let tick = instant_after(self.options.lead_s, Unit::Second);
        let clock = json!({"name": "due", "dates": [tick.to_string()]});
        let flows =
            (0..count).map(|n| flow(&format!("due-{n:04}"), &self.address, &clock, self.options.run_s));
        self.cluster.create::<Flow>(flows).await;
        let mut by_hand = flow(BY_HAND, &self.address, &clock, self.options.run_s);
        by_hand["spec"].as_object_mut().unwrap().remove("schedule");
        self.cluster.create::<Flow>([by_hand]).await;
        let neighbour =
            serde_json::from_value(flow("due", &self.address, &clock, self.options.run_s)).unwrap();
        let neighbours = self.cluster.api_in::<Flow>(cluster::NEIGHBOUR);
        neighbours.create(&PostParams::default(), &neighbour).await.unwrap();
        sleep_until(tick - Duration::from_secs(1)).await;
        let seen = |flow: &&Flow| is_seen(flow.status.as_ref().and_then(|status| status.observed_generation));
        let seen = self.cluster.all::<Flow>().await.iter().filter(seen).count();
        if seen < count {
            say(&format!("only {seen} of {count} Flows were looked at before their tick: a longer --lead-s"));
        }
        operator.look();
        let (before, mut audit) = (operator.cpu_s(), self.audit(cluster::OPERATOR));
        sleep_until(tick + INTO_THE_BURST).await;
        let asked = now();
        let run = json!({"metadata": {"name": BY_HAND}, "spec": {"flow": BY_HAND}});
        self.cluster.create::<FlowRun>([run]).await;
        self.until_jobs(&mut audit, count, Some(&mut operator)).await;
        let mut runs = Vec::new();
        let end = Instant::now() + self.options.patience();
        while Instant::now() < end {
            operator.look();
            runs = self.cluster.all::<FlowRun>().await;
            let ended = |run: &&FlowRun| run.status.as_ref().is_some_and(|status| status.phase.is_final());
            if runs.iter().filter(ended).count() >= count {
                break;
            }
            sleep(self.options.pause()).await;
        }
        sleep(SETTLE.min(self.options.pause() * 2)).await;
        operator.look();
        audit.read();
        let mut turn = Turn::of(&audit, tick, count);
        let is_by_hand = |request: &Request| request.name.starts_with(BY_HAND);
        turn.by_hand = audit.created("jobs", asked, is_by_hand).first().copied();
        turn.cpu_s = operator.cpu_s() - before;
        (turn.peak_mib, turn.ended) = (operator.peak_mib(), operator.ended);
        operator.stop();
        let flow = self.cluster.api::<Flow>().get("due-0000").await.unwrap();
        let run = runs.into_iter().find(|run| run.spec.flow == "due-0000").unwrap();
        let job = self.cluster.all::<Job>().await.into_iter().next().unwrap();
        (turn, Templates { flow, run, job })
    }

    /// CronJobs that are due in the same minute.
    pub async fn cron_jobs(&self) -> Turn {
        let count = self.options.flows;
        let mut tick = instant_after(self.options.lead_s, Unit::Minute);
        let name = |n: usize| format!("due-{n:04}");
        let jobs = (0..count).map(|n| cron_job(&name(n), tick, self.options.run_s));
        self.cluster.create::<CronJob>(jobs).await;
        let mut audit = self.audit(cluster::CRON_JOBS);
        if self.options.small {
            // As if the controller had last looked a year ago: then it makes up for one tick, and at once.
            tick = now();
            let told = json!({"lastScheduleTime": "2020-01-01T00:00:00Z"});
            self.cluster.tell::<CronJob>((0..count).map(|n| (name(n), told.clone()))).await;
        } else {
            sleep_until(tick).await;
        }
        self.until_jobs(&mut audit, count, None).await;
        let end = Instant::now() + self.options.patience();
        while Instant::now() < end {
            let jobs = self.cluster.all::<Job>().await;
            let ended = |job: &&Job| job.status.as_ref().is_some_and(|it| it.completion_time.is_some());
            if jobs.iter().filter(ended).count() >= count {
                break;
            }
            sleep(self.options.pause()).await;
        }
        sleep(SETTLE.min(self.options.pause() * 2)).await;
        audit.read();
        Turn::of(&audit, tick, count)
    }

    /// Reads the log, which costs the API server nothing, until all Jobs are created.
    pub async fn until_jobs(&self, audit: &mut Audit, count: usize, mut operator: Option<&mut Operator>) {
        let end = Instant::now() + self.options.patience();
        while audit.requests.iter().filter(|it| it.creates("jobs") && is_of_the_burst(it)).count() < count {
            if Instant::now() > end {
                let patience = self.options.patience();
                assert!(!self.options.small, "not all of {count} Jobs were created in {patience:?}");
                return say(&format!("not all of {count} Jobs were created in {patience:?}"));
            }
            sleep(Duration::from_millis(500)).await;
            if let Some(operator) = operator.as_deref_mut() {
                operator.look();
            }
            audit.read();
        }
    }

    /// The limit: a client that creates the same runs and then the same Jobs, and nothing else; or, with the
    /// commits and live reads of decisions 0004 and 0034 before each, what an operator cannot leave out.
    pub async fn limit(&self, templates: &Templates, with_commits: bool) -> Turn {
        let prefix = if with_commits { "committed" } else { "bare" };
        let (begin, mut audit) = (now(), self.audit(cluster::ADMINISTRATOR));
        let client = BareClient { cluster: &self.cluster, templates, with_commits };
        let numbers = || stream::iter(0..self.options.flows);
        let run = |n| client.run(n, format!("{prefix}-{n:04}"));
        numbers().map(run).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
        let job = |n| client.job(n, format!("{prefix}-{n:04}"));
        numbers().map(job).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
        audit.read();
        Turn::of(&audit, begin, self.options.flows)
    }
}

struct BareClient<'a> {
    cluster: &'a Cluster,
    templates: &'a Templates,
    with_commits: bool,
}

impl BareClient<'_> {
    async fn run(&self, number: usize, name: String) {
        if self.with_commits {
            self.cluster.api::<Flow>().get(&format!("due-{number:04}")).await.unwrap();
        }
        let run = serde_json::from_value(copy(&self.templates.run, &name)).unwrap();
        self.cluster.api::<FlowRun>().create(&PostParams::default(), &run).await.unwrap();
    }

    async fn job(&self, number: usize, name: String) {
        let jobs = self.cluster.api::<Job>();
        if self.with_commits {
            let status = json!({"admitted": [name]});
            self.commit::<Flow>(&format!("due-{number:04}"), &self.templates.flow.status, status).await;
            self.cluster.api::<FlowRun>().get(&name).await.unwrap();
        }
        let job = serde_json::from_value(copy(&self.templates.job, &name)).unwrap();
        jobs.create(&PostParams::default(), &job).await.unwrap();
    }

    /// Writes a whole status as the operator does, but for this difference.
    async fn commit<K: cluster::Kind>(&self, name: &str, status: &impl serde::Serialize, differs: Value) {
        let mut status = serde_json::to_value(status).unwrap();
        for (field, value) in differs.as_object().unwrap() {
            status[field] = value.clone();
        }
        let patch = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "status": status,
        });
        let params = PatchParams::apply("daskflow/status").force();
        self.cluster.api::<K>().patch_status(name, &params, &Patch::Apply(patch)).await.unwrap();
    }
}
