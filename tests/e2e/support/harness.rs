//! Runs one test: its turn, its namespace, and the facts when it fails.
//!
//! All tests must be threads of one process, as `cargo test` has it: their turns are kept in this process's memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::LazyLock;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use kube::Client;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::figures::say;
use super::namespace::Namespace;
use super::operator;
use super::report;
use super::settings::{self, Place, Settings};

/// What a test does to the cluster, which decides what may run beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Objects that the API server alone judges.
    Objects,
    /// No Dask pods.
    Light,
    /// Dask pods: a cluster of up to three workers, or four that come one after the other.
    Dask,
    /// More Dask pods than that, or so many pods that the cluster has to work for them.
    Crowd,
    /// It kills things that all tests need, so it runs alone, after the others.
    Disruptive,
}

/// The longest that any test takes; one that hangs must still tell its facts.
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Tests with Dask pods that run side by side: a scheduler and two workers want a core while they start.
static DASK_TESTS: Semaphore = Semaphore::const_new(5);
/// Tests without Dask pods that run side by side.
static LIGHT_TESTS: Semaphore = Semaphore::const_new(6);

impl Load {
    /// Where it waits for its turn, and how many places it takes.
    fn places(self) -> (&'static Semaphore, u32) {
        match self {
            Self::Objects | Self::Light => (&LIGHT_TESTS, 1),
            Self::Dask | Self::Disruptive => (&DASK_TESTS, 1),
            Self::Crowd => (&DASK_TESTS, 3),
        }
    }
}

/// Held for reading by every test, for writing by a disruptive one.
static QUIET: RwLock<()> = RwLock::const_new(());

/// How many tests have begun, or wait for their turn, that are not disruptive.
static OTHERS: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));
/// All tests are started at once, if there are threads for them; by then each has been counted. Nothing tells how many
/// there are. One that is counted later costs time: [`QUIET`] keeps them apart all the same.
const ALL_COUNTED: Duration = Duration::from_secs(1);

/// One of [`OTHERS`], until it has ended.
struct Counted;

impl Counted {
    fn new() -> Self {
        OTHERS.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OTHERS.send_modify(|count| *count -= 1);
    }
}

/// Runs a test in a namespace of its own. Where there is no cluster it says so and leaves the test out, unless
/// leaving out is forbidden.
pub async fn test(name: &str, load: Load, body: impl AsyncFnOnce(&Namespace)) {
    let Some(settings) = settings_or_skip(name, load) else { return };
    let _quiet = if load == Load::Disruptive {
        // If it went first, everybody would wait for it, and it for the slowest of those that run.
        sleep(ALL_COUNTED).await;
        OTHERS.subscribe().wait_for(|count| *count == 0).await.unwrap();
        Either::Left(QUIET.write().await)
    } else {
        Either::Right((Counted::new(), QUIET.read().await))
    };
    let (queue, places) = load.places();
    let _turn = queue.acquire_many(places).await.unwrap();
    let client = Client::try_default().await.expect("the kubeconfig can be read");
    if settings.place != Place::ApiServerOnly {
        operator::must_run(&client).await;
    }
    let namespace = Namespace::make(client, settings, name).await;
    let begin = tokio::time::Instant::now();
    let outcome = AssertUnwindSafe(timeout(TEST_LIMIT, body(&namespace))).catch_unwind().await;
    match outcome {
        Ok(Ok(())) => {
            say(&format!("figure: {name} {:.1} s", begin.elapsed().as_secs_f64()));
            namespace.delete().await;
        }
        Ok(Err(_)) => {
            report::print(&namespace).await;
            panic!("{name} did not end within {TEST_LIMIT:?}; namespace {} is kept", namespace.name);
        }
        Err(cause) => {
            report::print(&namespace).await;
            eprintln!("{name}: {}; namespace {} is kept", words(&*cause), namespace.name);
            resume_unwind(cause);
        }
    }
}

fn settings_or_skip(name: &str, load: Load) -> Option<&'static Settings> {
    let missing = match settings::settings() {
        Ok(settings) if settings.place == Place::ApiServerOnly && load != Load::Objects => {
            "an API server alone is not enough"
        }
        Ok(settings) => return Some(settings),
        Err(why) => why,
    };
    if settings::is_for_later() && !settings::is_required() {
        return None;
    }
    leave_out(name, &format!("{missing} (run `make e2e`)"));
    None
}

/// Says that a test is left out, and why; fails where none may be.
pub fn leave_out(name: &str, why: &str) {
    assert!(!settings::is_required(), "{name} is left out, and DASKFLOW_E2E=required forbids that: {why}");
    say(&format!("LEFT OUT: {name}: {why}"));
}

fn words(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<&str>().copied();
    text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}
