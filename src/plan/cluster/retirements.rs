//! What a scheduler was asked to do with workers that are to leave, and what it answered.
//!
//! The record is of one start of a scheduler and is kept in the operator's memory. With either it ends, and
//! nothing is lost by that: the scheduler itself says which workers are closing, and one that was let go is
//! not registered any more and ends by itself. A worker stands in it as its pod, uid included, so that an
//! answer is good for that pod and for no later one of its name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::deletion::victim;
use crate::plan::Victim;

/// How soon a scheduler that keeps its workers is asked again, at first and in the long run. Between the two
/// it is asked whenever the time that it has kept them has doubled.
pub(super) const ASK_AGAIN_MIN: Duration = Duration::from_secs(2);
pub(super) const ASK_AGAIN_MAX: Duration = Duration::from_secs(60);
/// After this long an answer says nothing of the next one.
const RECENT: Duration = Duration::from_secs(120);
/// A request that is not answered for so long is reported: most data moves within less.
const SLOW: Duration = Duration::from_secs(5);

/// What a scheduler is asked to do with workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To let them go.
    Retire,
    /// To give them no more tasks.
    CloseToTasks,
}

/// What a scheduler said of workers that it was asked about, by their names. One that is in neither set it
/// does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It let these go, or closed them.
    pub done: BTreeSet<String>,
    /// It keeps these, which are registered with it, and goes on giving them tasks.
    pub kept: BTreeSet<String>,
}

/// What came of a request about one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was let go, or closed.
    Done,
    /// It is kept.
    Kept,
    /// The request failed for this reason, and what became of the worker is not known.
    Unknown(String),
}

/// The last answer about a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    wish: Wish,
    outcome: Outcome,
    /// When it came.
    at: Timestamp,
    /// When the first of the answers to this wish came that followed one another.
    since: Timestamp,
}

impl Answer {
    fn is_let_go(&self) -> bool {
        self.wish == Wish::Retire && self.outcome == Outcome::Done
    }

    fn is_recent(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).unsigned_abs() <= RECENT
    }

    /// When the same may be asked again.
    fn asked_again_at(&self) -> Timestamp {
        let before = self.at.duration_since(self.since).unsigned_abs();
        self.at.checked_add(before.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)).unwrap_or(Timestamp::MAX)
    }
}

/// The requests that were made of one start of a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retirements {
    /// The workers that it is being asked about, and since when.
    moving: BTreeMap<Victim, Timestamp>,
    answers: BTreeMap<Victim, Answer>,
}

impl Retirements {
    /// The scheduler is asked about these workers from now on. Gives those that it is not being asked about
    /// already.
    pub fn begin(&mut self, workers: &[Victim], now: Timestamp) -> Vec<Victim> {
        let mut asked = Vec::new();
        for worker in workers {
            if let Entry::Vacant(place) = self.moving.entry(worker.clone()) {
                place.insert(now);
                asked.push(worker.clone());
            }
        }
        asked
    }

    /// Takes in what the scheduler said of the workers that it was asked about, or why it said nothing.
    pub fn hear(&mut self, (wish, asked): (Wish, &[Victim]), said: Result<&Said, &str>, now: Timestamp) {
        for worker in asked {
            self.moving.remove(worker);
            let outcome = match said {
                Ok(said) if said.done.contains(&worker.name) => Outcome::Done,
                Ok(said) if said.kept.contains(&worker.name) => Outcome::Kept,
                Ok(_) => {
                    self.answers.remove(worker);
                    continue;
                }
                Err(why) => Outcome::Unknown(why.to_owned()),
            };
            let before = self.answers.get(worker).filter(|before| before.wish == wish);
            let since = before.filter(|before| before.is_recent(now)).map_or(now, |before| before.since);
            self.answers.insert(worker.clone(), Answer { wish, outcome, at: now, since });
        }
    }

    /// Takes in what a look has found that began at `began`: all pods, and the workers that are registered.
    /// Answers about pods that are not there any more are forgotten. A worker that was let go before and is
    /// registered has come back, as after a crash at its end, and is one like any other.
    pub fn see(&mut self, pods: &[Arc<Pod>], registered: &BTreeSet<String>, began: Timestamp) {
        if self.answers.is_empty() {
            return;
        }
        let there: BTreeSet<Victim> = pods.iter().map(|pod| victim(pod)).collect();
        self.answers.retain(|worker, _| there.contains(worker));
        for (worker, answer) in &mut self.answers {
            // One that came meanwhile is newer than what the scheduler said of its workers.
            if answer.is_let_go() && answer.at < began && registered.contains(&worker.name) {
                answer.outcome = Outcome::Kept;
            }
        }
    }

    /// Whether the scheduler has let the worker of this pod go. If it is registered all the same it has come
    /// back.
    pub fn has_let_go(&self, pod: &Pod) -> bool {
        !self.answers.is_empty() && self.answers.get(&victim(pod)).is_some_and(Answer::is_let_go)
    }

    /// Whether the scheduler is being asked about the worker of this pod.
    pub fn is_moving(&self, pod: &Pod) -> bool {
        !self.moving.is_empty() && self.moving.contains_key(&victim(pod))
    }

    /// Whether the scheduler has been asked about the worker of this pod for longer than usual.
    pub(super) fn is_slow(&self, pod: &Pod, now: Timestamp) -> bool {
        let since = self.moving.get(&victim(pod));
        since.is_some_and(|since| now.duration_since(*since).unsigned_abs() >= SLOW)
    }

    /// When the scheduler may be asked again for this, where it was answered before.
    pub(super) fn asked_again_at(&self, wish: Wish, worker: &Victim) -> Option<Timestamp> {
        let answer = self.answers.get(worker).filter(|answer| answer.wish == wish);
        answer.map(Answer::asked_again_at)
    }

    /// What came of the last request about this worker, if that was lately.
    pub(crate) fn outcome(&self, worker: &Victim, now: Timestamp) -> Option<&Outcome> {
        self.answers.get(worker).filter(|answer| answer.is_recent(now)).map(|answer| &answer.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::VictimKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(name: &str, uid: &str) -> Arc<Pod> {
        let mut pod = Pod::default();
        (pod.metadata.name, pod.metadata.uid) = (Some(name.to_owned()), Some(uid.to_owned()));
        Arc::new(pod)
    }

    fn worker(name: &str) -> Victim {
        Victim { kind: VictimKind::Pod, name: name.to_owned(), uid: Some("1".to_owned()) }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The scheduler was asked to let "a" and "b" go, and let "a" go.
    fn heard() -> Retirements {
        let mut record = Retirements::default();
        let asked = record.begin(&[worker("a"), worker("b")], at(0));
        let said = Said { done: names(&["a"]), kept: names(&["b"]) };
        record.hear((Wish::Retire, &asked), Ok(&said), at(1));
        record
    }

    #[test]
    fn a_worker_is_asked_about_once_at_a_time() {
        let mut record = Retirements::default();
        assert_eq!(record.begin(&[worker("a")], at(0)), [worker("a")]);
        assert_eq!(record.begin(&[worker("a"), worker("b")], at(1)), [worker("b")]);
        assert!(record.is_moving(&pod("a", "1")) && !record.is_moving(&pod("a", "2")));
        assert!(!record.is_slow(&pod("a", "1"), at(4)) && record.is_slow(&pod("a", "1"), at(5)));
    }

    #[test]
    fn an_answer_is_good_for_one_pod_and_not_for_the_next_of_its_name() {
        let record = heard();
        assert!(record.has_let_go(&pod("a", "1")) && !record.has_let_go(&pod("a", "2")));
        assert!(!record.has_let_go(&pod("b", "1")));
        assert_eq!(record.outcome(&worker("b"), at(1)), Some(&Outcome::Kept));
    }

    #[test]
    fn a_worker_that_comes_back_was_not_let_go() {
        let pods = [pod("a", "1"), pod("b", "1")];
        let mut record = heard();
        record.see(&pods, &names(&["a", "b"]), at(1));
        assert!(record.has_let_go(&pods[0]), "the answer came after the look had begun");
        record.see(&pods, &names(&["a", "b"]), at(2));
        assert!(!record.has_let_go(&pods[0]), "it is registered");
        record.see(&pods, &names(&["b"]), at(3));
        assert!(!record.has_let_go(&pods[0]), "and what it has since is its own");
    }

    #[test]
    fn answers_about_pods_that_are_not_there_are_forgotten() {
        let mut record = heard();
        record.see(&[pod("a", "2"), pod("b", "1")], &names(&["b"]), at(2));
        assert!(!record.has_let_go(&pod("a", "1")));
        assert!(record.outcome(&worker("b"), at(2)).is_some());
    }

    #[test]
    fn a_worker_that_the_scheduler_does_not_know_is_neither_kept_nor_let_go() {
        let mut record = heard();
        record.hear((Wish::Retire, &[worker("a")]), Ok(&Said::default()), at(2));
        assert!(!record.has_let_go(&pod("a", "1")));
        assert_eq!(record.outcome(&worker("a"), at(2)), None);
    }

    #[test]
    fn what_is_kept_is_asked_for_less_and_less() {
        let (mut record, mut now, mut waits) = (Retirements::default(), 0, Vec::new());
        for _ in 0..8 {
            let asked = record.begin(&[worker("a")], at(now));
            record.hear((Wish::Retire, &asked), Err("refused"), at(now));
            let again = record.asked_again_at(Wish::Retire, &worker("a")).unwrap();
            waits.push(again.as_second() - now);
            now = again.as_second();
        }
        assert_eq!(waits, [2, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(record.asked_again_at(Wish::CloseToTasks, &worker("a")), None, "that is another wish");
        // It was wanted again for an hour.
        record.hear((Wish::Retire, &[worker("a")]), Err("refused"), at(now + 3600));
        assert_eq!(record.asked_again_at(Wish::Retire, &worker("a")), Some(at(now + 3602)));
    }
}
