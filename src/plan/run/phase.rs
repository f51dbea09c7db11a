//! The way of a run through its phases.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::attempt::End;
use super::ground::Ground;
use super::hold::Hold;
use super::launch::{SETTLE, TURN};
use super::observed::ScriptView;
use super::outcome;
use super::work::Work;
use crate::api::duration::Written;
use crate::api::flow::ClockStatus;
use crate::api::flow_run::WaitsFor;
use crate::api::{Flow, Phase, Reason};
use crate::plan::facts::{clocks_of, is_backfill, is_unsaid, made_for, waits_for};
use crate::plan::flow::run_violation;
use crate::plan::pods::{runner, state};
use crate::plan::{Next, Step, Urgency, Victim, VictimKind, Wants};

/// How long a run waits for its cluster where the Flow does not say.
pub(super) const CLUSTER_TIMEOUT: Duration = Duration::from_secs(600);
/// How soon something that is not watched is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How late the pod of a Job may be before the API server is asked what it thinks of it, and how often.
const POD_LATE: SignedDuration = SignedDuration::from_secs(5);
const POD_ASK_AGAIN: Duration = Duration::from_secs(10);

impl Work<'_> {
    /// One step forward, or none.
    pub(super) fn advance(&mut self) {
        if let Some(stop) = self.status.stop.clone() {
            return self.carry_out(stop);
        }
        self.find_begun();
        let works = matches!(self.status.phase, Phase::Provisioning | Phase::Running);
        let job = self.observed.job.clone().filter(|_| works);
        // A pod whose Job was deleted tells how it ended all the same. One that was there before the Job is
        // another's.
        let pod = self.observed.pod.clone().filter(|_| job.is_some() || self.status.job.is_some());
        // An attempt that has ended is judged by its end, whatever is asked in the meantime.
        let outcome = outcome::of(job.as_deref(), pod.as_deref()).filter(|_| works);
        if let Some(outcome) = outcome {
            self.remember_job(job.as_deref());
            return self.ended(outcome);
        }
        if let Some(stop) = self.reason_to_stop() {
            self.remember_job(job.as_deref());
            return self.begin_to_stop(stop);
        }
        match (self.status.phase, job) {
            (_, Some(job)) => self.watch(&job),
            (Phase::Queued, None) => self.with_flow(Self::queue),
            (Phase::Retrying, None) => self.with_flow(Self::retry),
            (_, None) => self.without_job(),
        }
    }

    /// A run of which nothing is told and whose Job is there has begun: its operator ended before it told so.
    fn find_begun(&mut self) {
        let Some(job) = self.observed.job.as_ref().filter(|_| self.status.phase == Phase::Queued) else {
            return;
        };
        if self.status.admitted_at.is_none() {
            let created = job.metadata.creation_timestamp.clone();
            self.status.admitted_at = Some(created.unwrap_or(Time(self.now)));
            self.status.phase = Phase::Provisioning;
            if let Some(flow) = self.observed.flow.clone() {
                self.name_cluster(&flow);
            }
        }
    }

    /// A step that needs the Flow; without it the run waits for one of that name.
    fn with_flow(&mut self, step: fn(&mut Self, &Flow)) {
        if let Some(flow) = self.observed.flow.clone() {
            return step(self, &flow);
        }
        let message = format!("there is no Flow called {} in this namespace", self.run.spec.flow);
        // In the queue there is never the Job of an attempt that has ended.
        let phase = if self.status.phase == Phase::Retrying { Phase::Retrying } else { Phase::Queued };
        self.wait(phase, Hold { waits_for: WaitsFor::Flow, reason: Reason::FlowNotFound, message });
    }

    /// Goes on waiting in this phase.
    pub(super) fn wait(&mut self, phase: Phase, hold: Hold) {
        self.enter(phase, hold.reason, hold.message);
        self.status.waits_for = Some(hold.waits_for);
    }

    /// Held until its Flow's concurrency policy and its cluster let it through.
    pub(super) fn queue(&mut self, flow: &Flow) {
        self.name_cluster(flow);
        if let Some(unknown) = self.unknown_clock(flow) {
            return self.enter(Phase::Failed, Reason::InvalidSpec, unknown);
        }
        // The end of a gateway's cluster may take several looks.
        if self.run.spec.suspend || self.status.waits_for.is_some_and(WaitsFor::gave_place_back) {
            self.release_own_cluster();
        }
        let Some(hold) = self.held(flow) else { return self.begin(flow) };
        // A run that had begun once is no longer late, and nobody takes its place.
        if self.status.admitted_at.is_none()
            && let Some((reason, message)) = self.skipped(flow, &hold.message)
        {
            return self.enter(Phase::Skipped, reason, message);
        }
        // The Flow may be about to give it a place.
        let waits_for_flow = hold.waits_for == WaitsFor::FlowPlace;
        self.wait(Phase::Queued, hold);
        let created = self.run.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if let Some(created) = created.filter(|_| waits_for_flow && self.is_new()) {
            self.urgency = self.settling(created, if self.is_known_to(flow) { SETTLE } else { TURN });
        }
    }

    /// Whether the Flow has come to its turn since the run is there: its status then has the tick that the
    /// run is, and with it the place, if there was one.
    fn is_known_to(&self, flow: &Flow) -> bool {
        let Some(tick) = made_for(self.run).filter(|_| !is_backfill(self.run)) else { return true };
        let Some(status) = &flow.status else { return false };
        let of_run = |clock: &&ClockStatus| clocks_of(self.run).any(|name| name == clock.name);
        let has_tick = |clock: &ClockStatus| clock.last_tick.as_ref().is_some_and(|last| last.0 >= tick);
        status.clocks.iter().filter(of_run).all(has_tick)
    }

    /// The cluster that the Flow names now. One that was made for the run goes when it is not that.
    fn name_cluster(&mut self, flow: &Flow) {
        let ground = Ground::of(flow);
        self.status.cluster = Some(ground.name(self.run));
        self.add(ground.left_behind(self.run, self.observed));
    }

    /// An attempt begins: its cluster is waited for.
    fn begin(&mut self, flow: &Flow) {
        // Who was suspended may have lost its place, and no cache know it yet.
        if self.may_have_given_back() {
            self.want(Wants::JOB);
        }
        self.status.admitted_at = Some(Time(self.now));
        self.status.attempt.get_or_insert(1);
        self.forget_attempt();
        self.remember_parameters(flow);
        let (reason, message) =
            self.not_ready(flow).unwrap_or((Reason::RunnerStarting, "the cluster is ready".to_owned()));
        self.enter(Phase::Provisioning, reason, message);
        // Its place stands in the status of its Flow, and its Job is the lock. A run that brings parameters
        // to remember, or that a DaskCluster has to know of before it may sleep, tells that it begins.
        let is_plain = self.run.spec.merged_parameters.is_some() && Ground::of(flow).is_outside();
        if is_plain && self.is_new() && self.status.attempt == Some(1) {
            self.urgency = self.now.checked_add(SETTLE).map_or(Urgency::Now, Urgency::GoOn);
        }
    }

    /// Whether the status says that the run has given its place back, or is of a version that did not say
    /// what a run waits for.
    fn may_have_given_back(&self) -> bool {
        waits_for(self.run).map_or(is_unsaid(self.run), WaitsFor::gave_place_back)
    }

    /// What to say of a run made by hand that names a clock which the Flow does not have: nobody knows its
    /// parameters. A tick is one also of a clock that was renamed.
    fn unknown_clock(&self, flow: &Flow) -> Option<String> {
        let made_by_us = made_for(self.run).is_some()
            || is_backfill(self.run)
            || self.run.spec.merged_parameters.is_some();
        let clock =
            self.run.spec.clock.as_ref().filter(|_| !made_by_us && self.status.admitted_at.is_none())?;
        let clocks =
            flow.spec.schedule.as_ref().map(|schedule| schedule.clocks.as_slice()).unwrap_or_default();
        let names: Vec<&str> = clocks.iter().map(|clock| clock.name.as_str()).collect();
        let there =
            if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let flow = flow.name_any();
        (!names.contains(&clock.as_str())).then(|| {
            format!(
                "spec.clock: the Flow {flow} has no clock called {clock}: {there}; create another FlowRun"
            )
        })
    }

    /// What was known of the attempt before.
    pub(super) fn forget_attempt(&mut self) {
        let status = &mut self.status;
        (status.job, status.scheduler) = (None, None);
        (status.started_at, status.retry_at) = (None, None);
        (status.exit_code, status.tasks, status.last_failure) = (None, None, None);
        status.foreseen = None;
    }

    /// The next attempt, when its time has come.
    fn retry(&mut self, flow: &Flow) {
        self.reconsider(flow);
        if self.status.phase != Phase::Retrying {
            return;
        }
        if let Some(at) = self.status.retry_at.as_ref().map(|time| time.0).filter(|at| *at > self.now) {
            return self.wake_at(at);
        }
        self.status.attempt = Some(self.status.attempt.unwrap_or(1).saturating_add(1));
        self.forget_attempt();
        self.queue(flow);
    }

    /// No Job is there: it is still to be created, or was deleted by somebody.
    fn without_job(&mut self) {
        if self.observed.pod.as_deref().is_some_and(|pod| state::is_at_work(pod, runner::CONTAINER)) {
            // The Job is gone and its runner is not, yet: it has its grace period. One that this run was not
            // told of may be there all the same.
            if self.status.job.is_none() {
                self.want_job();
                // Or it is of an earlier run of the name, and no watch may ever tell of its end.
                self.next = self.next.sooner(Next::After(ASK_AGAIN), self.now);
            }
            let message = "the runner is being stopped, because its Job was deleted";
            return self.say(Reason::JobDeleted, message);
        }
        match self.status.job.clone() {
            Some(job) => self.enter(
                Phase::Failed,
                Reason::JobDeleted,
                format!("the Job {job} of the runner was deleted"),
            ),
            None => self.with_flow(Self::provision),
        }
    }

    /// Waits for the cluster, then starts the runner.
    fn provision(&mut self, flow: &Flow) {
        let Some(since) = self.status.admitted_at.clone() else {
            self.status.admitted_at = Some(Time(self.now));
            return;
        };
        if let Some(violation) = run_violation(flow) {
            return self.enter(Phase::Failed, violation.reason, violation.message);
        }
        // Until there is a Job, the run goes where the Flow says.
        self.name_cluster(flow);
        if let Some(hold) = self.held_by_suspension() {
            return self.wait(Phase::Queued, hold);
        }
        if !self.keeps_its_place(flow) {
            return;
        }
        if !self.leave_other_gateway(Ground::of(flow).gateway()) {
            let message =
                "the gateway's cluster of this run is ended first: its Flow names another one by now";
            self.enter(Phase::Provisioning, Reason::ClusterNotReady, message);
            // One that is away is asked for longer than a run may wait.
            if let Some(message) = self.not_in_time(flow, since.0) {
                self.attempt_failed(End::new(Phase::Failed, Reason::ClusterTimeout, message));
            }
            return;
        }
        let waits = self.waits_for_cluster(flow);
        // Before anything is created: what the API server refuses is refused again at each look.
        if let Some(message) = self.not_in_time(flow, since.0) {
            return self.attempt_failed(End::new(Phase::Failed, Reason::ClusterTimeout, message));
        }
        let ground = Ground::of(flow);
        if let Some((step, note)) = ground.ensure(self.run, self.observed) {
            self.want(Wants::JOB);
            self.steps.push(step);
            self.notes.push(note);
        }
        if ground.gateway().is_some_and(|source| self.tend_gateway(source)) {
            return;
        }
        if waits {
            let is_code_missing = matches!(self.observed.script, ScriptView::Missing(_));
            if ground.is_outside() || is_code_missing {
                self.next = self.next.sooner(Next::After(ASK_AGAIN), self.now);
            }
            return;
        }
        self.launch(flow);
    }

    /// Says what the run waits for before its Job is created, and whether it does.
    fn waits_for_cluster(&mut self, flow: &Flow) -> bool {
        if let Some((reason, message)) = self.not_ready(flow) {
            self.enter(Phase::Provisioning, reason, message);
            return true;
        }
        // A cluster that came after the run, or anew, has its limit too.
        let Some(hold) = self.held_by_limit() else { return false };
        self.wait(Phase::Provisioning, hold);
        true
    }

    /// What to say of an attempt that has waited too long, with the reason it waited for.
    fn not_in_time(&mut self, flow: &Flow, since: Timestamp) -> Option<String> {
        let limit = match &flow.spec.cluster_timeout {
            // One that cannot be read has failed the run before.
            Some(limit) => limit.get()?,
            None => CLUSTER_TIMEOUT,
        };
        let until = since.checked_add(limit).ok()?;
        if until > self.now {
            self.wake_at(until);
            return None;
        }
        let last = self.last_words().unwrap_or_default();
        Some(format!("not started within clusterTimeout ({}s); at the end: {last}", limit.as_secs()))
    }

    /// What a Job tells of itself by being there.
    fn remember_job(&mut self, job: Option<&Job>) {
        let Some(job) = job else { return };
        self.status.job = Some(job.name_any());
        self.status.attempt.get_or_insert(1);
        if let Some(flow) = self.observed.flow.clone() {
            self.remember_program(&flow, None, job);
        }
        if self.status.scheduler.is_none() {
            self.status.scheduler.clone_from(&self.observed.scheduler);
        }
        self.remember_start();
    }

    /// When the runner's container started, from its pod.
    pub(super) fn remember_start(&mut self) {
        if let Some(started) = self.observed.pod.as_deref().and_then(outcome::started_at) {
            self.status.started_at.get_or_insert(started);
        }
    }

    /// A timeout that was edited counts for the attempt that is at work.
    fn follow_timeout(&mut self, job: &Job) {
        let Some(flow) = self.observed.flow.as_deref() else { return };
        let Ok(timeout) = flow.spec.timeout.as_ref().map(Written::read).transpose() else { return };
        let seconds = timeout.map(runner::seconds);
        let limit = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        if limit != seconds && job.metadata.deletion_timestamp.is_none() {
            let job = Victim { kind: VictimKind::Job, name: job.name_any(), uid: job.metadata.uid.clone() };
            self.steps.push(Step::Limit { job, seconds });
        }
    }

    /// A Job that has no pod for a while may have been refused one, which only its events tell.
    fn ask_about_pod(&mut self, job: &Job, created: Timestamp) {
        let Ok(due) = created.checked_add(POD_LATE) else { return };
        if due > self.now {
            return self.wake_at(due);
        }
        let Some(template) = job.spec.as_ref().map(|spec| spec.template.clone()) else { return };
        let mut metadata = template.metadata.unwrap_or_default();
        metadata.name = Some(job.name_any());
        self.steps.push(Step::Try(Box::new(Pod { metadata, spec: template.spec, status: None })));
        self.next = self.next.sooner(Next::After(POD_ASK_AGAIN), self.now);
    }

    /// A Job is at work; its pod tells where it stands.
    fn watch(&mut self, job: &Job) {
        self.remember_job(Some(job));
        self.follow_timeout(job);
        let pod = self.observed.pod.clone();
        let pod = pod.as_deref();
        if let Some((reason, message)) = pod.and_then(outcome::foreseen) {
            // The pod may be gone when its Job has ended, and nobody could say why any more.
            self.status.exit_code = pod
                .and_then(|pod| state::terminated(pod, runner::CONTAINER))
                .map(|terminated| terminated.exit_code);
            return self.foresee(reason, &message);
        }
        if pod.is_some_and(|pod| {
            state::runs(pod, runner::CONTAINER) || state::terminated(pod, runner::CONTAINER).is_some()
        }) {
            if self.status.phase != Phase::Running {
                self.enter(Phase::Running, Reason::RunnerRunning, "the runner is at work");
            }
            return;
        }
        if self.status.started_at.is_some() {
            // The pod has gone; how it ended is for the Job to say.
            return;
        }
        if let Some(until) = pod.and_then(state::prepared_until).filter(|until| *until > self.now) {
            self.wake_at(until);
        }
        let (reason, message) = pod
            .and_then(|pod| state::obstacle(pod, self.now))
            .unwrap_or((Reason::RunnerStarting, "the runner's container is starting".to_owned()));
        self.enter(Phase::Provisioning, reason, message.clone());
        let created = job.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        if reason == Reason::RunnerStarting {
            self.starts_soon(created);
        }
        if state::is_hopeless(reason) {
            return self.begin_to_stop(self.stop(reason, message));
        }
        let flow = self.observed.flow.clone();
        if let (Some(flow), Some(since)) = (flow, self.status.admitted_at.clone())
            && let Some(message) = self.not_in_time(&flow, since.0)
        {
            return self.begin_to_stop(self.stop(Reason::ClusterTimeout, message));
        }
        // Last, and of no run that stops: what is refused ends the plan, and its status is not written.
        if pod.is_none() {
            self.ask_about_pod(job, created);
        }
    }
}
