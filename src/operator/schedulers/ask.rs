//! What a scheduler is asked: over and over for its load, and once before a pod of its cluster is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::closed::is_closing;
use super::follow::unreachable;
use super::line::{Line, names};
use crate::dask::{Error, Scheduler};
use crate::plan::cluster::SchedulerView;
use crate::plan::cluster::load::{Answer, Questions};

/// What tasks want may take a scheduler seconds to tell, in which it does nothing else. It is left alone for
/// this many times as long.
const SPARE: u32 = 20;
/// All questions of one look together. The reconcile that looks has more to do.
const LOOK: Duration = Duration::from_secs(9);

/// What a look asks beside the workers and who may go.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::operator) struct Asks {
    /// How many tasks lie with each worker, and whether one can be closed to new ones.
    pub(in crate::operator) busy: bool,
    /// Whether it is idle, and which clients it has.
    pub(in crate::operator) activity: bool,
}

/// What a scheduler says before pods of its cluster are created or deleted.
#[derive(Debug, Default)]
pub(in crate::operator) struct Look {
    /// Its workers. A subscription may have been taken over unseen, so it is asked itself.
    pub(in crate::operator) view: SchedulerView,
    /// Them, in the order in which they had better go.
    pub(in crate::operator) closing_order: Option<Vec<String>>,
    /// Those that it gives no more tasks.
    pub(in crate::operator) closing: BTreeSet<String>,
    /// How many tasks lie with each, without those that will never begin there.
    pub(in crate::operator) busy: Option<BTreeMap<String, u64>>,
    /// Whether it can close a worker to new tasks.
    pub(in crate::operator) closes: bool,
    /// Whether it is idle now. None: it was not asked.
    pub(in crate::operator) activity: Option<Answer>,
}

/// Asks the scheduler of `cluster` for its workers, whom it can spare, and what else is told. What it does
/// not answer is left out, and the plan holds what would need it.
pub(in crate::operator) async fn look(line: &Line, asks: Asks, cluster: (&str, &str)) -> Look {
    let deadline = Instant::now() + LOOK;
    let told = Told { deadline, cluster };
    let identity = match within(deadline, line.ask(|scheduler| scheduler.identity().boxed())).await {
        Ok(identity) => identity,
        Err(error) => {
            return Look { view: unreachable(&error), ..Look::default() };
        }
    };
    let mut look = Look::default();
    let closing = identity.workers.values().filter(|worker| is_closing(worker));
    look.closing = closing.map(|worker| worker.name.to_string()).collect();
    let order =
        told.of("which workers may close", line.ask(|scheduler| scheduler.closing_order().boxed())).await;
    look.closing_order = order.map(|names| names.iter().map(ToString::to_string).collect());
    let workers = names(identity.workers.values().map(|worker| &worker.name));
    if asks.busy {
        let workers = workers.clone();
        let question = line.ask(move |scheduler| tasks_of(scheduler, workers.clone()));
        if let Some(Tasks { busy, closes }) = told.of("which workers are busy", question).await {
            (look.busy, look.closes) = (Some(busy), closes);
        }
        for (name, running) in line.running_at_closed(&identity.workers) {
            // Of those that lie with it, the others never begin there.
            if let Some(tasks) = look.busy.as_mut().and_then(|busy| busy.get_mut(&name)) {
                *tasks = running.min(*tasks);
            }
        }
    }
    if asks.activity {
        look.activity = Some(told.of("whether it is idle", activity(line)).await.unwrap_or_default());
    }
    Look { view: SchedulerView::Answering { workers }, ..look }
}

/// Within what time a scheduler is to tell something, and whose it is.
struct Told<'a> {
    deadline: Instant,
    cluster: (&'a str, &'a str),
}

impl Told<'_> {
    async fn of<T>(&self, what: &str, answer: impl Future<Output = Result<T, Error>>) -> Option<T> {
        let (namespace, cluster) = self.cluster;
        let answer = within(self.deadline, answer).await.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(namespace, cluster, error, "the scheduler did not report {what}");
        });
        answer.ok()
    }
}

async fn within<T>(deadline: Instant, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = Error::Timeout { what: "answer", limit: LOOK };
    timeout_at(deadline, answer).await.unwrap_or(Err(late))
}

/// What is asked where workers are waited for.
struct Tasks {
    /// How many lie with each worker.
    busy: BTreeMap<String, u64>,
    /// Whether a worker can be closed to new ones.
    closes: bool,
}

fn tasks_of(scheduler: &mut Scheduler, workers: BTreeSet<String>) -> BoxFuture<'_, Result<Tasks, Error>> {
    let tasks = async move {
        let busy = scheduler.busy(&workers).await?;
        // One that does not tell its release is waited for as an old one is.
        Ok(Tasks { busy, closes: scheduler.closes_to_tasks().await.unwrap_or(false) })
    };
    tasks.boxed()
}

/// Asks whether the scheduler is idle.
async fn activity(line: &Line) -> Result<Answer, Error> {
    let ask = |coarse| line.ask(move |scheduler| scheduler.idleness(coarse).boxed());
    let mut answer = ask(line.is_coarse()).await;
    if matches!(answer, Err(Error::StateUntold(_))) {
        line.become_coarse();
        answer = ask(true).await;
    }
    let (idle, clients) = answer?;
    Ok(Answer { idle, clients, ..Answer::default() })
}

/// Asks for the load, over and over.
pub(super) struct Asker {
    questions: Questions,
    /// The amounts of resources that it told last. None: it cannot tell, and nobody knows.
    resources: Option<BTreeMap<String, f64>>,
    /// It is not asked for them before this time.
    spared_until: Instant,
}

impl Asker {
    pub(super) fn new(questions: Questions) -> Self {
        Self { questions, resources: None, spared_until: Instant::now() }
    }

    /// What the scheduler answers. What its release cannot tell is left out; with `coarse` it is asked for no
    /// more than every release and every scheduler can tell.
    pub(super) async fn ask(&mut self, scheduler: &mut Scheduler, coarse: bool) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        if let Some(duration) = self.questions.target {
            answer.target = Some(scheduler.adaptive_target(duration).await?);
        }
        if self.questions.resources {
            self.ask_resources(scheduler, coarse).await?;
            answer.resources.clone_from(&self.resources);
        }
        if self.questions.activity {
            (answer.idle, answer.clients) = scheduler.idleness(coarse).await?;
        }
        Ok(answer)
    }

    async fn ask_resources(&mut self, scheduler: &mut Scheduler, coarse: bool) -> Result<(), Error> {
        if coarse {
            self.resources = None;
            return Ok(());
        }
        let begin = Instant::now();
        if begin < self.spared_until {
            return Ok(());
        }
        let answer = scheduler.wanted_resources().await;
        // Whatever became of it, it took the scheduler this long.
        self.spared_until = Instant::now() + begin.elapsed() * SPARE;
        self.resources = match answer {
            Ok(resources) => Some(resources),
            Err(Error::Unsupported { .. } | Error::UnknownOperation { .. } | Error::TooManyTasks { .. }) => {
                None
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }
}
