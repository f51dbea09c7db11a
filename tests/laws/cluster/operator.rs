//! The operator of the world: it observes from a cache or live, plans, and carries out the steps one by one,
//! as the real one does. It may die after any write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daskflow::api::{DaskCluster, DaskClusterStatus, Reason, labels};
use daskflow::plan::certificates::TlsView;
use daskflow::plan::cluster::load::Answer;
use daskflow::plan::cluster::{self, Load, Observed, Said, SchedulerView, Wish};
use daskflow::plan::conditions::Failure;
use daskflow::plan::order::{Refusal, Refusals, Then};
use daskflow::plan::pods::{scheduler, state};
use daskflow::plan::subject::Subject;
use daskflow::plan::{Applied, Next, Object, Plan, Step, Victim, VictimKind, Wants};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::dask::{Answers, Closing, Dask};
use super::laws::Before;
use super::world::{Call, Followed, World, start_of};
use crate::wants::is_enough;
use crate::words::{Words, decide_nothing};

/// How soon it looks again where its cache was behind.
const CACHE_LAG: Duration = Duration::from_millis(50);

/// How far the steps of a plan went.
#[derive(Clone, Copy)]
enum Went {
    /// All of them.
    Through,
    /// The quota had no room.
    Refused,
    /// A call failed, or the operator died.
    Ended,
}

impl World {
    /// What the operator asks over and over is asked once.
    pub fn poll(&mut self) {
        let Some(followed) = &mut self.followed else { return };
        let dask = self.dask.as_ref().filter(|dask| self.reachable && dask.start == followed.start);
        self.polled_at = self.now;
        let Some(dask) = dask else {
            followed.view = SchedulerView::Unreachable {
                reason: Reason::SchedulerUnreachable,
                message: "connection refused".into(),
            };
            followed.polled = None;
            if followed.questions.is_some() {
                followed.load.fail("connection refused".into());
            }
            return;
        };
        followed.view = SchedulerView::Answering { workers: dask.registered() };
        let Some(questions) = &followed.questions else { return };
        followed.polled = questions.activity.then(|| (!dask.is_idle(), !dask.clients.is_empty()));
        let gpus = BTreeMap::from([("GPU".to_owned(), f64::from(self.target.1))]);
        let answer = Answer {
            target: questions.target.map(|_| self.target.0),
            resources: questions.resources.then_some(gpus),
            idle: questions.activity.then(|| dask.is_idle()),
            clients: (questions.activity && self.talks).then(|| dask.clients.clone()),
        };
        followed.load.hear(answer, self.now, questions.memory);
    }

    /// Follows the scheduler that runs, and gives what it said last.
    fn follow(&mut self, cluster: &DaskCluster, pods: &[Arc<Pod>]) -> (SchedulerView, Load) {
        let runs = |pod: &&Arc<Pod>| {
            let is_alive = state::life(pod) == state::PodLife::Alive;
            state::is_component(pod, labels::SCHEDULER) && is_alive && state::runs(pod, scheduler::CONTAINER)
        };
        let Some(start) = pods.iter().find(runs).and_then(|pod| start_of(pod)) else {
            self.followed = None;
            return (SchedulerView::Unknown, Load::default());
        };
        let followed = self.followed.take().filter(|followed| followed.start == start);
        let mut followed = followed.unwrap_or_else(|| Followed { start, ..Followed::default() });
        let questions = cluster::questions(cluster, pods, &TlsView::default());
        followed.load.keep_asked(questions.as_ref());
        if questions.as_ref().is_none_or(|questions| !questions.activity) {
            followed.polled = None;
        }
        followed.questions = questions;
        let said = (followed.view.clone(), followed.load.clone());
        self.followed = Some(followed);
        said
    }

    pub fn observe(&mut self, cluster: &DaskCluster, known: Wants) -> Observed {
        // Who is looked at live is asked once more.
        if known.covers(Wants::WORKERS) {
            self.poll();
        }
        let from = if known.covers(Wants::PODS) { &self.truth } else { &self.cache };
        let pods: Vec<Arc<Pod>> = from.pods.values().cloned().collect();
        let service = from.service.clone();
        let network_policy = self.cache.network_policy.clone();
        let runs = if known.covers(Wants::RUNS) { &self.truth.runs } else { &self.cache.runs };
        let runs = runs.values().cloned().collect();
        let (view, load) = self.follow(cluster, &pods);
        self.seed = self.seed.wrapping_add(0x1234_5678_9ABC_DEF1);
        let mut observed = Observed {
            service,
            network_policy,
            pods,
            known,
            scheduler: view,
            load,
            runs,
            last_run_end: self.last_run_end,
            seed: self.seed,
            ..Observed::default()
        };
        if known.covers(Wants::WORKERS) && observed.scheduler.registered().is_some() {
            let start = self.followed.as_ref().map(|followed| followed.start.clone());
            match self.dask.as_ref().filter(|dask| self.reachable && Some(&dask.start) == start.as_ref()) {
                None => {
                    observed.scheduler = SchedulerView::Unreachable {
                        reason: Reason::SchedulerUnreachable,
                        message: "connection refused".into(),
                    }
                }
                Some(dask) => {
                    observed.scheduler = SchedulerView::Answering { workers: dask.registered() };
                    observed.closable = dask.closable(self.spares);
                    observed.closing = dask.closing.union(&dask.closed).cloned().collect();
                    if let Some(followed) = &mut self.followed {
                        followed.retirements.see(&observed.pods, &dask.registered(), self.now);
                    }
                    let asks = known.covers(Wants::BUSY) && self.talks;
                    observed.busy = asks.then(|| dask.workers.clone());
                    observed.closes = asks && self.closing == Closing::Possible;
                }
            }
        }
        let followed = self.followed.as_ref();
        observed.retirements = followed.map(|followed| followed.retirements.clone()).unwrap_or_default();
        observed
    }

    /// One reconcile; the operator dies after so many writes.
    pub fn look(&mut self, writes: usize) {
        if self.over {
            return;
        }
        let mut cluster = self.cache.cluster.clone();
        let mut observed = self.observe(&cluster, Wants::NOTHING);
        let mut plan = cluster::plan(&cluster, &observed, self.now);
        let wants = plan.wants;
        if !wants.is_nothing() {
            self.asks_for_enough(&cluster, &observed, &plan);
            cluster = self.truth.cluster.clone();
            observed = self.observe(&cluster, wants);
            plan = cluster::plan(&cluster, &observed, self.now);
            self.asks_for_enough(&cluster, &observed, &plan);
            if !wants.covers(plan.wants) {
                // The cache was behind; the next look may ask for more.
                self.next = Next::After(CACHE_LAG);
                return;
            }
        }
        let is_live = wants.covers(Wants::OBJECT | Wants::PODS | Wants::WORKERS);
        assert!(is_live || plan.steps.is_empty(), "it acts on the word of a cache: {:?}", plan.steps);
        let silent = cluster::plan(&cluster.clone().silent(), &observed.clone().silent(), self.now);
        decide_nothing(&plan, silent);
        self.next = plan.next;
        let before = Before::new(self, &cluster, &observed, &plan);
        before.plan_is_lawful(self);
        let mut left = writes;
        let went = self.carry_out(&before, &mut left, &plan);
        before.what_was_done_is_lawful(self);
        if left > 0 && !self.over {
            self.tell(&cluster, plan, went);
        }
    }

    fn asks_for_enough(&self, cluster: &DaskCluster, observed: &Observed, plan: &Plan<DaskClusterStatus>) {
        is_enough(plan, observed.known, |known| {
            cluster::plan(cluster, &Observed { known, ..observed.clone() }, self.now)
        });
    }

    /// Writes the status, if nobody else has written since.
    fn tell(&mut self, cluster: &DaskCluster, plan: Plan<DaskClusterStatus>, went: Went) {
        let mut status = plan.status;
        match went {
            Went::Ended => return,
            Went::Through => {}
            Went::Refused => {
                let (reason, message) = (Reason::QuotaExceeded, "exceeded quota: pods".to_owned());
                let failure = Failure { reason, message, lasting: false, spares_what_serves: true };
                status = cluster.failing(Some(status), &failure, self.now);
            }
        }
        let is_news = cluster.status.as_ref() != Some(&status);
        if is_news && self.truth.cluster.resource_version() == cluster.resource_version() {
            let mut cluster = cluster.clone();
            cluster.status = Some(status);
            self.write(cluster);
        }
    }

    fn carry_out(&mut self, before: &Before, left: &mut usize, plan: &Plan<DaskClusterStatus>) -> Went {
        let (mut refusals, mut went) = (Refusals::default(), Went::Through);
        for step in &plan.steps {
            if refusals.stop(step) {
                continue;
            }
            if *left == 0 {
                return Went::Ended;
            }
            *left -= 1;
            let is_full = self.quota.is_some_and(|quota| self.truth.pods.len() >= quota);
            let mut is_refused = false;
            match step {
                Step::Apply(object) => self.apply(object),
                Step::Create(object) => match self.create(object, is_full) {
                    Some(done) => is_refused = !done,
                    None => return Went::Ended,
                },
                Step::Try(_) | Step::Replace { .. } if is_full => is_refused = true,
                Step::Try(_) => {}
                Step::Replace { victim, .. } | Step::Delete(victim) => self.delete(before, victim),
                Step::Retire { workers } => {
                    before.may_retire(self, &names_of(workers));
                    self.ask(Wish::Retire, workers);
                }
                Step::CloseToTasks { workers } => {
                    Before::may_close(self, &names_of(workers));
                    self.ask(Wish::CloseToTasks, workers);
                }
                Step::Annotate { pod, key, value } => self.annotate(pod, key, value.as_ref()),
                other => panic!("not expected here: {other:?}"),
            }
            if is_refused {
                assert_eq!(refusals.add(step, Some(Refusal::Quota)), Then::AwaitRoom, "{step:?}");
                went = Went::Refused;
            }
        }
        went
    }

    fn apply(&mut self, object: &Applied) {
        match object {
            Applied::Service(service) => self.truth.service = Some(Arc::new(service.clone())),
            Applied::NetworkPolicy(policy) => {
                let there = self.truth.network_policy.as_ref().and_then(|there| there.metadata.uid.clone());
                self.seed += 1;
                let mut policy = policy.clone();
                policy.metadata.uid = there.or_else(|| Some(format!("uid-{}", self.seed)));
                self.truth.network_policy = Some(Arc::new(policy));
            }
        }
    }

    /// Whether it was created; None where the name is still taken.
    fn create(&mut self, object: &Object, is_full: bool) -> Option<bool> {
        let Object::Pod(pod) = object else { panic!("not expected here: {object:?}") };
        if let Some(there) = self.truth.pods.get(&pod.name_any()) {
            return (state::life(there) != state::PodLife::Leaving).then_some(true);
        }
        if is_full {
            return Some(false);
        }
        let mut pod = pod.clone();
        self.seed += 1;
        pod.metadata.uid = Some(format!("uid-{}", self.seed));
        pod.metadata.creation_timestamp = Some(Time(self.now));
        self.truth.pods.insert(pod.name_any(), Arc::new(pod));
        Some(true)
    }

    fn annotate(&mut self, pod: &Victim, key: &str, value: Option<&String>) {
        let Some(there) = self.truth.pods.get_mut(&pod.name).filter(|there| there.metadata.uid == pod.uid)
        else {
            return;
        };
        let annotations = Arc::make_mut(there).metadata.annotations.get_or_insert_default();
        annotations.remove(key);
        annotations.extend(value.map(|value| (key.to_owned(), value.clone())));
    }

    fn delete(&mut self, before: &Before, victim: &Victim) {
        if victim.kind == VictimKind::Cluster {
            self.over = true;
            return;
        }
        if victim.kind == VictimKind::NetworkPolicy {
            self.truth.network_policy.take_if(|there| there.metadata.uid == victim.uid);
            return;
        }
        let Some(pod) = self.truth.pods.get(&victim.name).cloned() else { return };
        if victim.uid == pod.metadata.uid {
            before.may_delete(self, &pod);
            self.delete_pod(&victim.name);
        }
    }

    /// Begins to ask the scheduler to let workers go or to close them. Its answer comes at once, later or
    /// never.
    fn ask(&mut self, wish: Wish, workers: &[Victim]) {
        let followed = self.followed.as_mut().expect("it asks a scheduler that it does not follow");
        let workers = followed.retirements.begin(workers, self.now);
        let is_reached = |dask: &&mut Dask| {
            self.reachable && self.answers != Answers::Never && dask.start == followed.start
        };
        let Some(dask) = self.dask.as_mut().filter(is_reached) else {
            followed.retirements.hear((wish, &workers), Err("connection refused"), self.now);
            return;
        };
        let names = names_of(&workers);
        let said = match wish {
            Wish::Retire if self.answers == Answers::NotYet => {
                dask.closing.extend(names.into_iter().filter(|name| dask.workers.contains_key(name)));
                None
            }
            Wish::Retire => Some(dask.retire(&names)),
            Wish::CloseToTasks => Some(dask.close(&names)),
        };
        let said = said.map(|done| what_is_said(dask, &workers, done));
        match said {
            Some(said) if self.answers == Answers::Prompt => {
                followed.retirements.hear((wish, &workers), Ok(&said), self.now);
            }
            said => followed.calls.push(Call { wish, workers, said }),
        }
    }

    /// What the scheduler is at comes to its end, and the operator hears all answers that have not come yet,
    /// if it still listens to this start of it.
    pub fn answers_come(&mut self) {
        let mut retired = Vec::new();
        if let Some(dask) = &mut self.dask {
            let closing: Vec<String> = std::mem::take(&mut dask.closing).into_iter().collect();
            retired = dask.retire(&closing);
        }
        let Some(followed) = &mut self.followed else { return };
        for call in std::mem::take(&mut followed.calls) {
            let dask = self.dask.as_ref().filter(|dask| self.reachable && dask.start == followed.start);
            let said = dask
                .map(|dask| call.said.unwrap_or_else(|| what_is_said(dask, &call.workers, retired.clone())));
            let said = said.as_ref().ok_or("connection lost");
            followed.retirements.hear((call.wish, &call.workers), said, self.now);
        }
    }

    /// How long until it looks again by itself.
    pub fn wait(&self) -> Option<SignedDuration> {
        match self.next {
            Next::Change => None,
            Next::At(at) => Some(at.duration_since(self.now)),
            Next::After(after) => SignedDuration::try_from(after).ok(),
        }
    }
}

/// What a scheduler answers that has done as it was asked with these of the workers.
fn what_is_said(dask: &Dask, workers: &[Victim], done: Vec<String>) -> Said {
    let done: BTreeSet<String> = done.into_iter().collect();
    let stays = |name: &String| dask.workers.contains_key(name) && !done.contains(name);
    let kept = names_of(workers).into_iter().filter(stays).collect();
    Said { done, kept }
}

fn names_of(workers: &[Victim]) -> Vec<String> {
    workers.iter().map(|worker| worker.name.clone()).collect()
}
