//! The health of one start of a container: what its probes are answered, and what follows from it, as a
//! kubelet has it.
//!
//! It is asked whether it has started, until it has; then whether it is ready and whether it lives, each by
//! itself. A container that has not started in its time, or lives no more, is to end.

use std::fs::File;
use std::future::pending;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::probe::{Answer, Kind, Question};

/// What has become of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has started, is ready, or is not ready any more.
    State,
    /// It has failed a probe, and is to end.
    Failed(Failure),
}

/// A probe that a container has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which kind.
    pub kind: Kind,
    /// How many answers in turn failed.
    pub times: i32,
    /// Why the last of them did.
    pub why: String,
    /// How long the container may take to end; none: as long as its pod.
    pub grace: Option<Duration>,
}

/// A probe and its answers.
#[derive(Clone, Debug)]
struct Row<'a> {
    question: &'a Question,
    /// How many of the last answers were alike.
    times: i32,
    /// Whether those were well.
    well: bool,
}

/// What a container's probes say.
pub struct Health<'a> {
    rows: Vec<Row<'a>>,
    begun: Instant,
    lock: &'a File,
    /// The questions that are open: each with the place of its row.
    open: FuturesUnordered<BoxFuture<'a, (usize, Answer)>>,
    has_started: bool,
    is_ready: bool,
}

impl<'a> Health<'a> {
    /// Of a container that starts now, by these questions. Commands have this lock.
    pub fn new(questions: &'a [Question], lock: &'a File) -> Self {
        let rows: Vec<Row<'_>> =
            questions.iter().map(|question| Row { question, times: 0, well: false }).collect();
        let has = |kind| questions.iter().any(|question| question.kind == kind);
        let mut health = Self {
            rows,
            begun: Instant::now(),
            lock,
            open: FuturesUnordered::new(),
            has_started: !has(Kind::Startup),
            is_ready: !has(Kind::Startup) && !has(Kind::Readiness),
        };
        if health.has_started {
            health.begin(|kind| kind != Kind::Startup);
        } else {
            health.begin(|kind| kind == Kind::Startup);
        }
        health
    }

    /// Whether it has started.
    pub fn has_started(&self) -> bool {
        self.has_started
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Waits until something has become of it. Whoever stops waiting loses nothing.
    pub async fn changed(&mut self) -> Change {
        loop {
            let Some((place, answer)) = self.open.next().await else { return pending().await };
            if let Some(change) = self.count(place, answer) {
                return change;
            }
        }
    }

    /// Asks the first questions of some kinds.
    fn begin(&mut self, is_meant: impl Fn(Kind) -> bool) {
        let now = Instant::now();
        for (place, row) in self.rows.iter().enumerate().filter(|(_, row)| is_meant(row.question.kind)) {
            let first = match row.question.kind {
                // As soon as it is, whatever its probe says.
                Kind::Readiness => now + row.question.again(),
                Kind::Startup | Kind::Liveness => now.max(self.begun + row.question.delay),
            };
            self.open.push(ask(place, row.question, self.lock, first));
        }
    }

    /// Takes an answer, and asks again.
    fn count(&mut self, place: usize, answer: Answer) -> Option<Change> {
        let row = self.rows.get_mut(place)?;
        let question = row.question;
        row.times = if row.times > 0 && row.well == answer.is_ok() { row.times.saturating_add(1) } else { 1 };
        row.well = answer.is_ok();
        let counts = row.times >= if row.well { question.successes } else { question.failures };
        let times = row.times;
        let before = (self.has_started, self.is_ready);
        match (question.kind, answer) {
            (Kind::Startup, Ok(())) if counts => {
                self.has_started = true;
                self.is_ready = !self.rows.iter().any(|row| row.question.kind == Kind::Readiness);
                self.begin(|kind| kind != Kind::Startup);
                return Some(Change::State);
            }
            (Kind::Startup | Kind::Liveness, Err(why)) if counts => {
                let (kind, grace) = (question.kind, question.grace);
                return Some(Change::Failed(Failure { kind, times, why, grace }));
            }
            (Kind::Readiness, answer) if counts => self.is_ready = answer.is_ok(),
            _ => {}
        }
        let is_awaited = question.kind == Kind::Readiness && !self.is_ready;
        let wait = if is_awaited { question.again() } else { question.period };
        self.open.push(ask(place, question, self.lock, Instant::now() + wait));
        (before != (self.has_started, self.is_ready)).then_some(Change::State)
    }
}

/// Asks at this instant.
fn ask<'a>(
    place: usize,
    question: &'a Question,
    lock: &'a File,
    at: Instant,
) -> BoxFuture<'a, (usize, Answer)> {
    Box::pin(async move {
        sleep_until(at).await;
        (place, question.ask(lock).await)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Container;
    use serde_json::{Value, json};

    use super::*;

    /// The questions of a container with these probes, at a port at which nobody listens.
    fn questions(probes: &[(&str, Value)]) -> Vec<Question> {
        let mut container = json!({"name": "main"});
        for (name, probe) in probes {
            container[format!("{name}Probe")] = probe.clone();
            container[format!("{name}Probe")]["tcpSocket"] = json!({"port": 1});
        }
        let container: Container = serde_json::from_value(container).unwrap();
        Kind::ALL.into_iter().filter_map(|kind| Question::of(kind, &container, None)).collect()
    }

    /// What follows from the answers to the first question.
    fn answered(health: &mut Health<'_>, place: usize, answers: &[bool]) -> Vec<Option<Change>> {
        let refused = || Err("refused".to_owned());
        answers.iter().map(|well| health.count(place, if *well { Ok(()) } else { refused() })).collect()
    }

    fn failed(kind: Kind, times: i32, grace: Option<u64>) -> Change {
        let grace = grace.map(Duration::from_secs);
        Change::Failed(Failure { kind, times, why: "refused".to_owned(), grace })
    }

    fn lock() -> File {
        File::open("/dev/null").unwrap()
    }

    #[tokio::test]
    async fn one_that_is_not_asked_is_well() {
        let (none, lock) = (questions(&[]), lock());
        let mut health = Health::new(&none, &lock);
        assert!(health.has_started() && health.is_ready());
        let never = tokio::time::timeout(Duration::from_millis(1), health.changed()).await;
        assert!(never.is_err());
    }

    #[tokio::test]
    async fn only_failures_in_turn_count() {
        let probe = json!({"failureThreshold": 2, "terminationGracePeriodSeconds": 7});
        let (alive, lock) = (questions(&[("liveness", probe)]), lock());
        let mut health = Health::new(&alive, &lock);
        assert!(health.is_ready(), "liveness says nothing of it");
        assert_eq!(answered(&mut health, 0, &[false, true, false, true]), vec![None; 4]);
        let last = answered(&mut health, 0, &[false, false]);
        assert_eq!(last, [None, Some(failed(Kind::Liveness, 2, Some(7)))]);
    }

    #[tokio::test]
    async fn readiness_comes_and_goes() {
        let probe = json!({"failureThreshold": 2, "successThreshold": 2});
        let (ready, lock) = (questions(&[("readiness", probe)]), lock());
        let mut health = Health::new(&ready, &lock);
        assert!(health.has_started() && !health.is_ready());
        let changes = answered(&mut health, 0, &[false, true, true, false, true, false, false]);
        let is_change: Vec<bool> = changes.iter().map(Option::is_some).collect();
        assert_eq!(is_change, [false, false, true, false, false, false, true]);
        assert!(!health.is_ready());
    }

    #[tokio::test]
    async fn nothing_is_asked_before_the_start_but_whether_it_has_started() {
        let probes =
            [("startup", json!({"failureThreshold": 3})), ("readiness", json!({})), ("liveness", json!({}))];
        let (all, lock) = (questions(&probes), lock());
        let mut health = Health::new(&all, &lock);
        assert!(!health.has_started() && !health.is_ready());
        assert_eq!(health.open.len(), 1, "the others are asked once it has");
        assert_eq!(answered(&mut health, 0, &[false, false, true]), [None, None, Some(Change::State)]);
        assert!(health.has_started() && !health.is_ready());
        assert_eq!(answered(&mut health, 1, &[true]), [Some(Change::State)]);
        let mut late = Health::new(&all, &lock);
        assert_eq!(answered(&mut late, 0, &[false, false, false])[2], Some(failed(Kind::Startup, 3, None)));
    }

    /// By the clock of the probes: a port at which nobody listens is asked after the delay, in each period.
    #[tokio::test(start_paused = true)]
    async fn questions_come_in_their_periods() {
        let probe = json!({"initialDelaySeconds": 40, "periodSeconds": 20, "failureThreshold": 3});
        let (alive, lock) = (questions(&[("liveness", probe)]), lock());
        let mut health = Health::new(&alive, &lock);
        let begun = Instant::now();
        let Change::Failed(failure) = health.changed().await else { panic!("it has failed") };
        assert_eq!((failure.kind, failure.times), (Kind::Liveness, 3));
        // Where the refusal comes late, the second is over that each may take.
        let after = begun.elapsed().as_secs();
        assert!((80..=83).contains(&after), "{after} s: {failure:?}");
    }
}
