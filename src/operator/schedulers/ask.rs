//! What a scheduler is asked: over and over for its load, and once before a pod of its cluster is deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::line::Line;
use crate::dask::message::WorkerInfo;
use crate::dask::{Error, Scheduler};
use crate::operator::failure::chain;
use crate::plan::cluster::SchedulerView;
use crate::plan::cluster::load::{Answer, Questions};

/// What tasks want may take a scheduler seconds to tell, in which it does nothing else. It is left alone for this many times
/// as long.
const SPARE: u32 = 20;
/// The status of a worker whose data is moving away.
const CLOSING: &str = "closing_gracefully";

/// What a scheduler says before pods of its cluster are created or deleted.
#[derive(Debug, Default)]
pub(in crate::operator) struct Look {
    /// Its workers. A subscription may have been taken over unseen, so it is asked itself.
    pub(in crate::operator) view: SchedulerView,
    /// Them, in the order in which they had better go.
    pub(in crate::operator) closing_order: Option<Vec<String>>,
    /// Those that it is letting go already.
    pub(in crate::operator) closing: BTreeSet<String>,
    /// How many tasks lie with each.
    pub(in crate::operator) busy: Option<BTreeMap<String, u64>>,
}

/// Asks a scheduler for its workers, whom it can spare, and, with `who_is_busy`, how many tasks lie with each. What it
/// does not answer is left out, and the plan holds what would need it.
pub(in crate::operator) async fn look(line: &Line, who_is_busy: bool) -> Look {
    let identity = match line.ask(|scheduler| scheduler.identity().boxed()).await {
        Ok(identity) => identity,
        Err(error) => {
            return Look { view: SchedulerView::Unreachable(chain(&error)), ..Look::default() };
        }
    };
    let workers: BTreeSet<String> = identity.workers.values().map(|worker| worker.name.to_string()).collect();
    let is_closing = |worker: &&WorkerInfo| worker.status.as_deref() == Some(CLOSING);
    let closing =
        identity.workers.values().filter(is_closing).map(|worker| worker.name.to_string()).collect();
    let order = line.ask(|scheduler| scheduler.closing_order().boxed()).await;
    let closing_order =
        told("who may go", order).map(|names| names.iter().map(ToString::to_string).collect());
    let mut busy = None;
    if who_is_busy {
        let names = workers.clone();
        busy = told("who is busy", line.ask(move |scheduler| tasks_of(scheduler, names.clone())).await);
    }
    Look { view: SchedulerView::Answering { workers }, closing_order, closing, busy }
}

fn tasks_of(
    scheduler: &mut Scheduler,
    workers: BTreeSet<String>,
) -> BoxFuture<'_, Result<BTreeMap<String, u64>, Error>> {
    async move { scheduler.busy(&workers).await }.boxed()
}

fn told<T>(what: &str, answer: Result<T, Error>) -> Option<T> {
    answer
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the scheduler did not tell {what}");
        })
        .ok()
}

/// Asks for the load, over and over.
#[derive(Clone)]
pub(super) struct Asker {
    questions: Questions,
    /// The scheduler cannot write what it knows of itself: it is asked for less.
    coarse: bool,
    /// The amounts of resources that it told last.
    resources: Option<BTreeMap<String, f64>>,
    /// It is not asked for them before this time.
    spared_until: Instant,
}

impl Asker {
    pub(super) fn new(questions: Questions) -> Self {
        Self { questions, coarse: false, resources: None, spared_until: Instant::now() }
    }

    /// Asks for no more than every release and every scheduler can tell.
    pub(super) fn coarse(self) -> Self {
        Self { coarse: true, ..self }
    }

    /// What the scheduler answers, and who asks next time. What its release cannot tell is left out.
    pub(super) async fn ask(mut self, scheduler: &mut Scheduler) -> Result<(Answer, Self), Error> {
        let mut answer = Answer::default();
        if let Some(duration) = self.questions.target {
            answer.target = Some(scheduler.adaptive_target(duration).await?);
        }
        if self.questions.resources {
            self.ask_resources(scheduler).await?;
            answer.resources.clone_from(&self.resources);
        }
        if self.questions.activity {
            (answer.idle, answer.clients) = self.activity(scheduler).await?;
        }
        Ok((answer, self))
    }

    async fn ask_resources(&mut self, scheduler: &mut Scheduler) -> Result<(), Error> {
        let begin = Instant::now();
        if self.coarse || begin < self.spared_until {
            return Ok(());
        }
        match scheduler.wanted_resources().await {
            Ok(resources) => self.resources = Some(resources),
            Err(Error::Unsupported { .. } | Error::UnknownOperation { .. }) => self.resources = None,
            // So many at once will not be fewer soon, and what was wanted before still is.
            Err(Error::TooManyTasks { .. }) => {}
            Err(error) => return Err(error),
        }
        self.spared_until = Instant::now() + begin.elapsed() * SPARE;
        Ok(())
    }

    async fn activity(
        &self,
        scheduler: &mut Scheduler,
    ) -> Result<(Option<bool>, Option<BTreeSet<String>>), Error> {
        if !self.coarse {
            let activity = scheduler.activity().await?;
            return Ok((Some(activity.in_flight == 0), activity.clients));
        }
        let idle = match scheduler.check_idle().await {
            Err(Error::Unsupported { .. }) => scheduler.coarse_activity().await?.in_flight == 0,
            since => since?.is_some(),
        };
        Ok((Some(idle), None))
    }
}
