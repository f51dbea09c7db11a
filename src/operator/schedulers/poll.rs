//! The poller: asks a scheduler over and over, and wakes its cluster when an answer is news.

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::ask::Asker;
use super::line::Line;
use super::shared::{Key, Shared, lock};
use crate::api::Kind;
use crate::causes::chain;
use crate::daemon::clock::Clock;
use crate::dask::Error;
use crate::operator::wakes::Triggers;
use crate::plan::cluster::Load;
use crate::plan::cluster::load::{Answer, Questions};

/// No scheduler is asked more often than this.
const SHORTEST: Duration = Duration::from_millis(100);
/// One that does not answer is asked at least so often.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks for as long as it is polled. A scheduler that does not answer is asked anew later, and later still
/// when it does not answer then.
pub(super) async fn poll(
    line: Arc<Line>,
    questions: Questions,
    (load, clock): (Shared<Load>, Clock),
    key: Key,
    triggers: Triggers,
) {
    let (memory, every) = (questions.memory, questions.every.max(SHORTEST));
    let mut turns = interval(every);
    // An answer that was long in coming must not bring on a burst of questions.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asker = Arc::new(Mutex::new(Asker::new(questions)));
    let mut failures = Failures::default();
    loop {
        turns.tick().await;
        let mut answer = ask(&line, &asker).await;
        if matches!(answer, Err(Error::StateUntold(_))) {
            line.become_coarse();
            answer = ask(&line, &asker).await;
        }
        let news = match answer {
            Ok(answer) => {
                failures = Failures::default();
                lock(&load).hear(answer, clock.now(), memory)
            }
            Err(error) => {
                let news = failures.tell(&mut lock(&load), &error);
                turns.reset_after(failures.wait(every));
                news
            }
        };
        if news {
            triggers.wake(Kind::DaskCluster, &key.0, &key.1);
        }
    }
}

async fn ask(line: &Line, asker: &Arc<Mutex<Asker>>) -> Result<Answer, Error> {
    let coarse = line.is_coarse();
    line.ask(|scheduler| {
        let asker = asker.clone();
        async move { asker.lock().await.ask(scheduler, coarse).await }.boxed()
    })
    .await
}

/// Questions in a row that were not answered.
#[derive(Default)]
struct Failures {
    count: u32,
    kind: Option<Discriminant<Error>>,
}

impl Failures {
    /// Takes a failure in. One of the same kind in other words is no news, and the first words stay: texts
    /// may change at each failure.
    fn tell(&mut self, load: &mut Load, error: &Error) -> bool {
        let kind = discriminant(error);
        let is_told = load.failure.is_some() && self.kind == Some(kind);
        self.count = self.count.saturating_add(1);
        self.kind = Some(kind);
        !is_told && load.fail(chain(error))
    }

    /// How long to wait: as between two questions at first, and then twice as long each time.
    fn wait(&self, every: Duration) -> Duration {
        let doubled = every.saturating_mul(2_u32.saturating_pow(self.count.saturating_sub(1)));
        doubled.min(every.max(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> Error {
        Error::Remote { text: text.to_owned() }
    }

    #[test]
    fn other_words_for_the_same_failure_are_no_news() {
        let (mut load, mut failures) = (Load::default(), Failures::default());
        // The first may be no more than a stall, which is not told.
        failures.tell(&mut load, &remote("task 0"));
        failures.tell(&mut load, &remote("task 1"));
        let told = load.failure.clone().unwrap();
        assert!(!failures.tell(&mut load, &remote("task 2")));
        assert_eq!(load.failure.as_ref(), Some(&told));
        assert!(failures.tell(&mut load, &Error::Closed(None)));
        assert_ne!(load.failure, Some(told));
    }

    #[test]
    fn a_scheduler_that_does_not_answer_is_asked_less_and_less() {
        let every = Duration::from_secs(5);
        let wait = |count| Failures { count, kind: None }.wait(every).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 40].map(wait), [5, 10, 20, 40, 60, 60]);
    }
}
