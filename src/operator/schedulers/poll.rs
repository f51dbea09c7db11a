//! The poller: asks a scheduler over and over, and wakes its cluster when an answer is news.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{MissedTickBehavior, interval};

use super::ask::Asker;
use super::line::Line;
use super::{Key, Shared, lock};
use crate::dask::Error;
use crate::operator::clock;
use crate::operator::failure::chain;
use crate::operator::route::Triggers;
use crate::plan::cluster::Load;
use crate::plan::cluster::load::{Answer, Questions};

/// No scheduler is asked more often than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// Asks for as long as it is polled. A scheduler that does not answer is asked anew at the next turn.
pub(super) async fn poll(
    line: Arc<Line>,
    questions: Questions,
    load: Shared<Load>,
    key: Key,
    triggers: Triggers,
) {
    let memory = questions.memory;
    let mut turns = interval(questions.every.max(SHORTEST));
    // An answer that was long in coming must not bring on a burst of questions.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asker = Asker::new(questions);
    loop {
        turns.tick().await;
        let mut answer = ask(&line, &asker).await;
        if matches!(answer, Err(Error::StateUntold(_))) {
            asker = asker.coarse();
            answer = ask(&line, &asker).await;
        }
        let news = match answer {
            Ok((answer, next)) => {
                asker = next;
                lock(&load).hear(answer, clock::now(), memory)
            }
            Err(error) => lock(&load).fail(chain(&error)),
        };
        if news {
            triggers.cluster(&key.0, &key.1);
        }
    }
}

async fn ask(line: &Line, asker: &Asker) -> Result<(Answer, Asker), Error> {
    line.ask(|scheduler| asker.clone().ask(scheduler).boxed()).await
}

/// What is asked no longer is not known to be so when it is asked again.
pub(super) fn forget_what_is_not_asked(load: &mut Load, questions: &Questions) {
    if questions.target.is_none() {
        load.targets.clear();
    }
    if !questions.activity {
        load.idle_since = None;
        load.clients = None;
    }
}
