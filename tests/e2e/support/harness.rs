//! Runs one test: its turn, its namespace, and the facts when it fails.
//!
//! All tests must be threads of one process, as `cargo test` has it: their turns are kept in this process's memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures::FutureExt;
use kube::Client;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::timeout;

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
    /// It kills things that all tests need, so it runs alone.
    Disruptive,
}

/// The longest that any test takes; one that hangs must still tell its facts.
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Tests with Dask pods that run side by side: a scheduler and two workers want a core while they start.
static DASK_TESTS: Semaphore = Semaphore::const_new(4);

impl Load {
    /// How many of the places in [`DASK_TESTS`] it takes.
    fn places(self) -> u32 {
        match self {
            Self::Objects | Self::Light => 0,
            Self::Dask | Self::Disruptive => 1,
            Self::Crowd => 3,
        }
    }
}

/// Held for reading by every test, for writing by a disruptive one.
static QUIET: RwLock<()> = RwLock::const_new(());

/// Runs a test in a namespace of its own. Where there is no cluster it says so and leaves the test out, unless
/// leaving out is forbidden.
pub async fn test(name: &str, load: Load, body: impl AsyncFnOnce(&Namespace)) {
    let Some(settings) = settings_or_skip(name, load) else { return };
    let _quiet = if load == Load::Disruptive {
        futures::future::Either::Left(QUIET.write().await)
    } else {
        futures::future::Either::Right(QUIET.read().await)
    };
    let _turn = DASK_TESTS.acquire_many(load.places()).await.unwrap();
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
    assert!(
        !settings::is_required(),
        "{name} is left out, and DASKFLOW_E2E=required forbids that: {missing}"
    );
    if !settings::is_for_later() {
        say(&format!("LEFT OUT: {name}: {missing} (run `make e2e`)"));
    }
    None
}

fn words(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<&str>().copied();
    text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}
