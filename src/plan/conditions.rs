//! Conditions that move only when something changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::dask_cluster::Refusal;
use crate::api::{ConditionType, Reason};

/// The longest message that is stored, in bytes; the API allows 32 KiB, a reader of `kubectl describe` much
/// less.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_000;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can tell yet.
    Unknown,
}

impl Holds {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "True",
            Self::No => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Holds {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// The conditions of one object under construction.
///
/// `lastTransitionTime` moves only when the status of a condition changes; a condition that is not set again
/// is dropped.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    old: &'a [Condition],
    new: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// Starts from the conditions that the object has.
    pub fn new(old: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { old, new: Vec::new(), generation, now }
    }

    /// Sets one condition.
    pub fn set(
        &mut self,
        kind: ConditionType,
        holds: impl Into<Holds>,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let status = holds.into().as_str();
        let before = find(self.old, kind);
        let last_transition_time = match before {
            Some(old) if old.status == status => old.last_transition_time.clone(),
            _ => Time(self.now),
        };
        self.new.retain(|condition| condition.type_ != kind.as_str());
        self.new.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: cut(&message.into(), MESSAGE_BYTES_MAX),
            observed_generation: self.generation,
            last_transition_time,
        });
    }

    /// Sets the pair of kstatus: work is under way, or it waits for somebody.
    pub fn set_progress(&mut self, progress: Progress, reason: Reason, message: &str) {
        let reconciling = progress == Progress::UnderWay;
        let stalled = progress == Progress::Stalled;
        let (idle, none) = (Reason::Ready, "");
        let say = |on: bool| if on { (reason, message) } else { (idle, none) };
        let (why, text) = say(reconciling);
        self.set(ConditionType::Reconciling, reconciling, why, text);
        let (why, text) = say(stalled);
        self.set(ConditionType::Stalled, stalled, why, text);
    }

    /// The list, in the order in which it was set.
    pub fn finish(self) -> Vec<Condition> {
        self.new
    }
}

/// What kstatus wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The object is as its spec wants it.
    Done,
    /// Work goes on by itself.
    UnderWay,
    /// Somebody must change something.
    Stalled,
}

/// The condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of this type is there and true.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Whether the condition of this type gives this reason: it is no news any more.
pub fn gives(conditions: &[Condition], kind: ConditionType, reason: Reason) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.reason == reason.as_str())
}

/// Whether the condition of this type has this message: it is no news any more.
pub fn says(conditions: &[Condition], kind: ConditionType, message: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.message == cut(message, MESSAGE_BYTES_MAX))
}

/// The message of a condition of this generation that gives this reason.
pub fn told(conditions: &[Condition], generation: Option<i64>, reason: Reason) -> Option<&str> {
    let mut current = conditions.iter().filter(|condition| condition.observed_generation == generation);
    current.find(|condition| condition.reason == reason.as_str()).map(|condition| condition.message.as_str())
}

/// The first `bytes_max` bytes of a text, cut at a character's border, with an ellipsis where it was cut.
pub fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Whether it is news that a pod does not start for this reason, where `before` was told until now. What a
/// failed step said may stand where this was told already.
pub fn is_news_of_pods(before: Option<&str>, reason: Reason) -> bool {
    let is_new = |before: Reason| {
        let is_same = before == reason || (is_of_image(before) && is_of_image(reason));
        is_on_its_way(before) || (is_of_pods(before) && !is_same)
    };
    is_of_pods(reason) && before.and_then(Reason::from_word).is_none_or(is_new)
}

/// Whether a pod does not start, in the words of its kubelet or of the scheduler of Kubernetes.
fn is_of_pods(reason: Reason) -> bool {
    use Reason::{
        ContainerCreating, CrashLoopBackOff, CreateContainerConfigError, CreateContainerError,
        RunContainerError, Unschedulable,
    };
    is_of_image(reason)
        || matches!(
            reason,
            CrashLoopBackOff
                | ContainerCreating
                | CreateContainerConfigError
                | CreateContainerError
                | RunContainerError
                | Unschedulable
        )
}

/// Whether a pod has no image. A kubelet that pulls again and again uses its words in turn.
fn is_of_image(reason: Reason) -> bool {
    use Reason::{ErrImageNeverPull, ErrImagePull, ImagePullBackOff, InvalidImageName};
    matches!(reason, ErrImagePull | ImagePullBackOff | ErrImageNeverPull | InvalidImageName)
}

/// Whether the reason describes normal progress, as opposed to one written by a failed step.
fn is_on_its_way(reason: Reason) -> bool {
    use Reason::{
        Idle, Outdated, Progressing, Ready, RunnerStarting, SchedulerStarting, SchedulerUnreachable,
        Suspended, Suspending, Woken, WorkerLost, WorkersStarting,
    };
    matches!(
        reason,
        Ready
            | Progressing
            | Outdated
            | SchedulerStarting
            | SchedulerUnreachable
            | WorkersStarting
            | WorkerLost
            | RunnerStarting
            | Suspended
            | Suspending
            | Idle
            | Woken
    )
}

/// The conditions of an object whose steps failed: the planned ones, but stalled, or under way, for this
/// reason.
pub fn failing(
    (old, planned): (&[Condition], &[Condition]),
    generation: Option<i64>,
    now: Timestamp,
    failure: &Failure,
) -> Vec<Condition> {
    let mut conditions = Conditions::new(old, generation, now);
    conditions.new = planned.to_vec();
    let progress = if failure.lasting { Progress::Stalled } else { Progress::UnderWay };
    conditions.set_progress(progress, failure.reason, &failure.message);
    if !(failure.spares_what_serves && is_true(planned, ConditionType::Ready)) {
        conditions.set(ConditionType::Ready, false, failure.reason, failure.message.clone());
    }
    conditions.finish()
}

/// A step that could not be carried out, as users are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason word.
    pub reason: Reason,
    /// What the other side said.
    pub message: String,
    /// Whether trying again is pointless before somebody changes something.
    pub lasting: bool,
    /// What serves already goes on serving without it: pods that there is no room for, the next certificate.
    pub spares_what_serves: bool,
}

impl Failure {
    /// What the next plan goes on from, where it does: the words are for readers.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.reason {
            Reason::QuotaExceeded => Some(Refusal::Quota),
            Reason::Rejected => Some(Refusal::Object),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut first = Conditions::new(&[], Some(1), at(10));
        first.set(ConditionType::Ready, true, Reason::Ready, "");
        let first = first.finish();
        let mut second = Conditions::new(&first, Some(2), at(20));
        second.set(ConditionType::Ready, true, Reason::Progressing, "other words");
        let second = second.finish();
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        let mut third = Conditions::new(&second, Some(2), at(30));
        third.set(ConditionType::Ready, false, Reason::Progressing, "");
        assert_eq!(third.finish()[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(cut("héllo", 5), "h…");
        assert_eq!(cut("héllo", 6), "héllo");
        assert_eq!(cut("hello", 5), "hello");
    }
}
