//! A law over all the others: a plan that is made from statuses whose words say nothing does the same.
//! Reasons, messages and the times of conditions are for readers, so that other words in them change no
//! history.

use std::fmt::Debug;
use std::sync::Arc;

use daskflow::api::{
    DaskCluster, DaskClusterStatus, Flow, FlowBackfill, FlowBackfillStatus, FlowRun, FlowRunStatus,
    FlowStatus,
};
use daskflow::plan::{Plan, backfill, cluster, flow, run};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// A word that is no reason of ours.
const WORD: &str = "Words";

/// What has words for readers in it.
pub trait Words {
    /// Takes them away.
    fn silence(&mut self);

    /// The same without them.
    fn silent(mut self) -> Self
    where
        Self: Sized,
    {
        self.silence();
        self
    }
}

impl Words for Vec<Condition> {
    fn silence(&mut self) {
        for condition in self {
            WORD.clone_into(&mut condition.reason);
            condition.message.clear();
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
    }
}

impl Words for FlowRunStatus {
    fn silence(&mut self) {
        (self.reason, self.message) = (None, None);
        // Those of a run say what its phase says.
        self.conditions.clear();
        let words = [
            self.stop.as_mut().map(|stop| (&mut stop.reason, &mut stop.message)),
            self.foreseen.as_mut().map(|end| (&mut end.reason, &mut end.message)),
            self.last_failure.as_mut().map(|failure| (&mut failure.reason, &mut failure.message)),
        ];
        for (reason, message) in words.into_iter().flatten() {
            WORD.clone_into(reason);
            message.clear();
        }
    }
}

impl Words for DaskClusterStatus {
    fn silence(&mut self) {
        self.conditions.silence();
    }
}

impl Words for FlowStatus {
    fn silence(&mut self) {
        // Each says why a run ended so.
        self.recent.clear();
        self.conditions.silence();
    }
}

impl Words for FlowBackfillStatus {
    fn silence(&mut self) {
        self.conditions.silence();
    }
}

impl<T: Words> Words for Option<T> {
    fn silence(&mut self) {
        self.iter_mut().for_each(Words::silence);
    }
}

impl<T: Words + Clone> Words for Arc<T> {
    fn silence(&mut self) {
        Arc::make_mut(self).silence();
    }
}

macro_rules! with_a_status {
    ($($kind:ty),+) => {$(
        impl Words for $kind {
            fn silence(&mut self) {
                self.status.silence();
            }
        }
    )+};
}

with_a_status!(DaskCluster, Flow, FlowRun, FlowBackfill);

impl Words for run::Observed {
    fn silence(&mut self) {
        self.flow.silence();
        self.cluster.silence();
        self.own.silence();
        self.siblings.iter_mut().for_each(Words::silence);
    }
}

impl Words for flow::Observed {
    fn silence(&mut self) {
        self.runs.iter_mut().for_each(Words::silence);
    }
}

impl Words for cluster::Observed {
    fn silence(&mut self) {
        self.runs.iter_mut().for_each(Words::silence);
    }
}

impl Words for backfill::Observed {
    fn silence(&mut self) {
        self.flow.silence();
        self.runs.iter_mut().for_each(Words::silence);
    }
}

/// A plan and one from silent statuses do the same. What they report may differ.
pub fn decide_nothing<S: Words + Clone + Debug + PartialEq>(plan: &Plan<S>, from_silence: Plan<S>) {
    assert_eq!(plan.steps, from_silence.steps, "steps are decided by words");
    assert_eq!(
        (plan.next, plan.wants, plan.urgency),
        (from_silence.next, from_silence.wants, from_silence.urgency),
        "the next look is decided by words"
    );
    assert_eq!(plan.status.clone().silent(), from_silence.status.silent(), "the status is decided by words");
}
