//! What a cluster's scheduler told of its load, as far back as a decision needs it.
//!
//! The record is kept in the operator's memory, and only grows more certain: after a restart it begins anew,
//! and what needs a longer look back than there is waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

/// The most targets that are kept; the oldest are forgotten first. Equal ones in a row are kept once, so this
/// many changes within a window are a load that never settles.
const TARGETS_MAX: usize = 1_000;

/// What to ask a scheduler, over and over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    /// How often.
    pub every: Duration,
    /// How many workers it wants, to be done in this time.
    pub target: Option<Duration>,
    /// Which of Dask's resources its tasks ask for.
    pub resources: bool,
    /// Whether it is idle, and which clients it has.
    pub activity: bool,
    /// How long targets are remembered.
    pub memory: Duration,
}

/// What it answered at one time. What was not asked is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// How many workers it wants, all groups together.
    pub target: Option<u64>,
    /// Amounts of resources that tasks ask for. None: it was not asked, or cannot tell.
    pub resources: Option<BTreeMap<String, f64>>,
    /// Whether no task is left.
    pub idle: Option<bool>,
    /// The clients that are connected. None when the release cannot tell.
    pub clients: Option<BTreeSet<String>>,
}

/// A target, and since when the scheduler gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Since when.
    pub at: Timestamp,
    /// Workers of all groups together; 0 where only resources are asked for.
    pub workers: u64,
    /// Amounts of resources that tasks ask for. None: it was not asked, or could not tell.
    pub resources: Option<BTreeMap<String, f64>>,
}

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Targets, oldest first. Each holds until the next one begins.
    pub targets: Vec<Target>,
    /// Since when the scheduler has had no task. None while it has some, or was not asked.
    pub idle_since: Option<Timestamp>,
    /// The clients that are connected. None when it was not asked, or cannot tell.
    pub clients: Option<BTreeSet<String>>,
    /// When a client was first seen that had not been there before.
    pub last_client: Option<Timestamp>,
    /// Since when questions have been answered without a gap.
    pub since: Option<Timestamp>,
    /// Why the last questions were not answered.
    pub failure: Option<String>,
    /// The last question was not answered. One is a stall (a large graph, a garbage collection), several are
    /// a failure.
    pub stalled: bool,
}

impl Load {
    /// Takes an answer in. Whether it is news: something that a decision may depend on has changed.
    pub fn hear(&mut self, answer: Answer, now: Timestamp, memory: Duration) -> bool {
        self.stalled = false;
        let mut news = self.failure.take().is_some() | self.since.is_none();
        self.since.get_or_insert(now);
        if answer.target.is_some() || answer.resources.is_some() {
            let workers = answer.target.unwrap_or_default();
            news |= self.hear_target(Target { at: now, workers, resources: answer.resources });
            self.forget_targets(now, memory);
        }
        if let Some(idle) = answer.idle {
            let since = idle.then(|| self.idle_since.unwrap_or(now));
            news |= since != self.idle_since;
            self.idle_since = since;
        }
        if answer.clients.is_some() {
            news |= self.hear_clients(answer.clients, now);
        }
        news
    }

    /// A question was not answered. From the second in a row on nothing is known. Whether that is news.
    pub fn fail(&mut self, why: String) -> bool {
        if self.failure.is_none() && !self.stalled {
            self.stalled = true;
            return false;
        }
        let last_client = self.last_client;
        let news = self.failure.as_ref() != Some(&why);
        *self = Self { failure: Some(why), last_client, ..Self::default() };
        news
    }

    /// Takes in what was asked once more before pods are stopped: whether the scheduler is idle, and its
    /// clients. No record of seconds ago is reason enough for that. Where it did not say, it is not known.
    pub fn renew(&mut self, answer: Answer, now: Timestamp, memory: Duration) {
        if answer.idle.is_none() {
            (self.idle_since, self.clients, self.since) = (None, None, None);
        } else if self.since.is_some() && self.failure.is_none() {
            self.hear(answer, now, memory);
        }
    }

    /// Forgets what is not asked from now on: what is not heard is not known to be true when it is asked
    /// again.
    pub fn keep_asked(&mut self, questions: Option<&Questions>) {
        let Some(questions) = questions else {
            *self = Self { last_client: self.last_client, ..Self::default() };
            return;
        };
        if questions.target.is_none() && !questions.resources {
            self.targets.clear();
        }
        if !questions.activity {
            (self.idle_since, self.clients) = (None, None);
        }
    }

    fn hear_target(&mut self, target: Target) -> bool {
        let last = self.targets.last();
        let same =
            last.is_some_and(|last| last.workers == target.workers && last.resources == target.resources);
        if !same {
            self.targets.push(target);
        }
        !same
    }

    /// Forgets what ended before the window began. The target that holds at its beginning stays.
    fn forget_targets(&mut self, now: Timestamp, memory: Duration) {
        let begin = now.checked_sub(memory).unwrap_or(Timestamp::MIN);
        let over =
            self.targets.windows(2).take_while(|pair| pair.get(1).is_some_and(|next| next.at <= begin));
        let over = over.count().max(self.targets.len().saturating_sub(TARGETS_MAX));
        self.targets.drain(..over);
    }

    fn hear_clients(&mut self, clients: Option<BTreeSet<String>>, now: Timestamp) -> bool {
        // The first who are seen may have been there for long.
        let is_new =
            matches!((&self.clients, &clients), (Some(before), Some(after)) if !after.is_subset(before));
        let has_any =
            |clients: &Option<BTreeSet<String>>| clients.as_ref().map(|clients| !clients.is_empty());
        let news = is_new || has_any(&clients) != has_any(&self.clients);
        if is_new {
            self.last_client = Some(now);
        }
        self.clients = clients;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn target(workers: u64) -> Answer {
        Answer { target: Some(workers), ..Answer::default() }
    }

    #[test]
    fn an_unchanged_target_is_kept_once_and_is_no_news() {
        let mut load = Load::default();
        assert!(load.hear(target(3), at(0), MEMORY));
        assert!(!load.hear(target(3), at(5), MEMORY));
        assert!(load.hear(target(4), at(10), MEMORY));
        let kept: Vec<_> = load.targets.iter().map(|target| (target.at, target.workers)).collect();
        assert_eq!(kept, [(at(0), 3), (at(10), 4)]);
    }

    #[test]
    fn the_target_at_the_beginning_of_the_window_stays() {
        let mut load = Load::default();
        for (second, workers) in [(0, 1), (10, 2), (65, 3), (80, 4)] {
            load.hear(target(workers), at(second), MEMORY);
        }
        let kept: Vec<_> = load.targets.iter().map(|target| target.workers).collect();
        assert_eq!(kept, [2, 3, 4], "at 20 s, where the window begins, it was 2");
    }

    #[test]
    fn a_failure_begins_the_record_anew() {
        let mut load = Load::default();
        load.hear(Answer { idle: Some(true), ..target(3) }, at(0), MEMORY);
        assert!(!load.fail("a stall".to_owned()));
        assert_eq!(load.idle_since, Some(at(0)), "one may be a stall");
        assert!(load.fail("refused".to_owned()));
        assert!(!load.fail("refused".to_owned()));
        assert_eq!((load.idle_since, load.since, load.targets.len()), (None, None, 0));
        assert!(load.hear(Answer { idle: Some(true), ..target(3) }, at(9), MEMORY));
        assert_eq!((load.idle_since, load.since), (Some(at(9)), Some(at(9))));
    }

    #[test]
    fn idleness_counts_from_the_first_idle_answer_in_a_row() {
        let mut load = Load::default();
        let idle = |idle| Answer { idle: Some(idle), ..Answer::default() };
        load.hear(idle(true), at(0), MEMORY);
        load.hear(idle(true), at(5), MEMORY);
        assert_eq!(load.idle_since, Some(at(0)));
        assert!(load.hear(idle(false), at(6), MEMORY));
        assert!(load.hear(idle(true), at(7), MEMORY));
        assert_eq!(load.idle_since, Some(at(7)));
    }

    #[test]
    fn a_record_counts_only_with_an_answer_of_now() {
        let known = Load { idle_since: Some(at(0)), since: Some(at(0)), ..Load::default() };
        let hear = |idle| {
            let mut load = known.clone();
            load.renew(Answer { idle, ..Answer::default() }, at(9), Duration::ZERO);
            load
        };
        assert_eq!(hear(Some(true)).idle_since, Some(at(0)));
        assert_eq!(hear(Some(false)).idle_since, None);
        assert_eq!((hear(None).idle_since, hear(None).since), (None, None));
    }

    #[test]
    fn what_is_not_asked_any_more_is_forgotten() {
        let mut load = Load { last_client: Some(at(1)), ..Load::default() };
        load.hear(Answer { idle: Some(true), ..target(3) }, at(2), MEMORY);
        let questions = Questions {
            every: MEMORY,
            target: Some(MEMORY),
            resources: false,
            activity: false,
            memory: MEMORY,
        };
        load.keep_asked(Some(&questions));
        assert_eq!((load.idle_since, load.targets.len(), load.since), (None, 1, Some(at(2))));
        load.keep_asked(Some(&Questions { target: None, activity: true, ..questions }));
        assert_eq!(load.targets.len(), 0);
        load.keep_asked(None);
        assert_eq!(load, Load { last_client: Some(at(1)), ..Load::default() });
    }

    #[test]
    fn only_a_client_that_was_not_there_before_counts_as_new() {
        let mut load = Load::default();
        let clients = |names: &[&str]| Answer {
            clients: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..Answer::default()
        };
        load.hear(clients(&["a"]), at(0), MEMORY);
        load.hear(clients(&["a"]), at(5), MEMORY);
        assert_eq!(load.last_client, None, "nobody knows since when it has been there");
        assert!(load.hear(clients(&["a", "b"]), at(10), MEMORY));
        assert_eq!(load.last_client, Some(at(10)));
        load.hear(clients(&["b"]), at(15), MEMORY);
        assert_eq!(load.last_client, Some(at(10)));
    }
}
