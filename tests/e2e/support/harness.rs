//! Runs one test: its turn, its namespace, and the facts when it fails.
//!
//! All tests must be threads of one process, as `cargo test` has it: their turns are kept in this process's
//! memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures::FutureExt;
use kube::Client;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::figures::say;
use super::namespace::Namespace;
use super::operator::{self, Operator};
use super::report;
use super::settings::{self, Place, Settings};
use super::shared::{self, Shared};
use super::times;
use super::turns::{Load, Registered};

/// The longest that any test takes; one that hangs must still tell its facts.
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs a test in a namespace of its own. Where there is no cluster it says so and leaves the test out,
/// unless leaving out is forbidden.
pub async fn test(name: &str, load: Load, body: impl AsyncFnOnce(&Namespace)) {
    let Some(settings) = settings_or_skip(name, load) else { return };
    let registered = Registered::new(load);
    let turn = registered.turn(times::expected_s(name)).await;
    let client = Client::try_default().await.expect("the kubeconfig can be read");
    if load == Load::OwnOperator {
        rest(&client).await;
    } else if settings.place != Place::ApiServerOnly {
        operator::must_run(&client).await;
    }
    let mut namespace = Namespace::make(client, settings, name).await;
    namespace.holds(turn);
    let failure = run(name, &namespace, body).await;
    let failure = match failure {
        None => AssertUnwindSafe(namespace.delete()).catch_unwind().await.err(),
        failure => failure,
    };
    if load == Load::OwnOperator && registered.is_last_of_its_stage() {
        wake(&namespace.client).await;
    }
    drop(registered);
    if let Some(cause) = failure {
        resume_unwind(cause);
    }
}

/// The same in a namespace with a cluster, `dask`, that tests share: for a test that only needs a cluster to
/// run on. It changes nothing but what it makes, and what it makes has names that no other test in there
/// uses.
pub async fn test_on(shared: Shared, name: &str, body: impl AsyncFnOnce(&Namespace)) {
    let Some(settings) = settings_or_skip(name, Load::Runs) else { return };
    let registered = Registered::new(Load::Runs);
    let user = shared::User::of(shared);
    let turn = registered.turn(times::expected_s(name)).await;
    let client = Client::try_default().await.expect("the kubeconfig can be read");
    operator::must_run(&client).await;
    let mut namespace = user.namespace(client, settings).await;
    namespace.holds(turn);
    let failure = run(name, &namespace, body).await;
    user.leave(&namespace, failure.is_none()).await;
    if let Some(cause) = failure {
        resume_unwind(cause);
    }
}

/// Runs the body, and says how long it took. If it fails, the answer is the cause, and all facts were
/// printed.
async fn run(
    name: &str,
    namespace: &Namespace,
    body: impl AsyncFnOnce(&Namespace),
) -> Option<Box<dyn Any + Send>> {
    let begin = Instant::now();
    let outcome = AssertUnwindSafe(timeout(TEST_LIMIT, body(namespace))).catch_unwind().await;
    times::took(name, begin.elapsed());
    let cause: Box<dyn Any + Send> = match outcome {
        Ok(Ok(())) => return None,
        Ok(Err(_)) => Box::new(format!("it did not end within {TEST_LIMIT:?}")),
        Err(cause) => cause,
    };
    report::print(namespace).await;
    eprintln!("{name}: {}; namespace {} is kept", words(&*cause), namespace.name);
    Some(cause)
}

/// Whether the operator under test rests, because all tests that run have operators of their own.
static RESTS: Mutex<bool> = Mutex::const_new(false);

async fn rest(client: &Client) {
    let mut rests = RESTS.lock().await;
    if !*rests {
        Operator::under_test(client).stop().await;
        *rests = true;
    }
}

async fn wake(client: &Client) {
    let mut rests = RESTS.lock().await;
    Operator::under_test(client).start().await;
    *rests = false;
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
