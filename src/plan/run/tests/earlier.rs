//! What is decided stands in fields of its own. Statuses that an earlier version wrote lack them: they are
//! read so that no run is lost by it, and the next look says what they lack.

use super::*;
use crate::api::flow::Retries;
use crate::api::flow_run::{AttemptFailure, Budget, Failures, Foreseen, Stop};
use crate::plan::facts::is_unsaid;

/// A run that an earlier version has looked at.
fn seen(phase: Phase) -> FlowRun {
    let mut run = run(phase);
    run.status.as_mut().unwrap().observed_generation = Some(1);
    run
}

#[test]
fn a_run_in_the_queue_may_have_given_its_place_back_and_is_read_again_before_it_begins() {
    let waiting = seen(Phase::Queued);
    assert!(is_unsaid(&waiting) && !is_unsaid(&run(Phase::Queued)), "one that is new has none yet");
    let begins = plan(&waiting, &observed(flow()), now());
    assert!(begins.wants.covers(Wants::OBJECT | Wants::FLOW | Wants::RUNS));
    assert_eq!(begins.status.phase, Phase::Provisioning);
    let mut forbids = flow();
    forbids.spec.concurrency = Concurrency::Forbid;
    let says = plan(&waiting, &observed(forbids), now());
    assert_eq!((says.status.phase, says.status.waits_for), (Phase::Queued, Some(WaitsFor::FlowPlace)));
}

#[rstest]
#[case("Cancelled", Phase::Cancelled)]
#[case("Replaced", Phase::Cancelled)]
#[case("DeadlineExceeded", Phase::TimedOut)]
#[case("Suspended", Phase::Queued)]
#[case("ClusterLost", Phase::Retrying)]
#[case("ErrImageNeverPull", Phase::Failed)]
#[case("AWordOfAnotherVersion", Phase::Retrying)]
fn a_stop_ends_as_its_word_says(#[case] word: &str, #[case] phase: Phase) {
    let mut run = seen(Phase::Running);
    let (reason, message, since) = (word.to_owned(), "so it was".to_owned(), Time(now()));
    run.status.as_mut().unwrap().stop =
        Some(Stop { reason, message, phase: None, counts_against: None, since });
    let mut retrying = flow();
    retrying.spec.retries = Some(Retries { infrastructure: 1, ..Retries::default() });
    assert_eq!(plan(&run, &observed(retrying), now()).status.phase, phase);
}

#[rstest]
#[case("ScriptError", Phase::Failed)]
#[case("Evicted", Phase::Provisioning)]
fn a_failed_attempt_counts_as_its_word_says(#[case] word: &str, #[case] phase: Phase) {
    let mut run = seen(Phase::Retrying);
    let status = run.status.as_mut().unwrap();
    status.failures = Some(Failures { flow: 1, infrastructure: 1 });
    status.last_failure = Some(AttemptFailure {
        phase: Phase::Failed,
        reason: word.into(),
        message: "so it was".into(),
        counts_against: None,
        at: Time(now()),
    });
    let mut retrying = flow();
    let retries = Retries { limit: 0, infrastructure: 1, delay: "0s".into(), ..Retries::default() };
    retrying.spec.retries = Some(retries);
    assert_eq!(plan(&run, &observed(retrying), now()).status.phase, phase);
}

#[test]
fn a_foreseen_end_outlives_what_a_failed_step_said() {
    let mut run = seen(Phase::Running);
    let status = run.status.as_mut().unwrap();
    status.job = Some("etl-20261201t090000-1".into());
    status.foreseen = Some(Foreseen {
        reason: "Evicted".into(),
        message: "the runner was evicted: no memory".into(),
        counts_against: Budget::Infrastructure,
    });
    // As a failed step writes it over all words.
    (status.reason, status.message) = (Some("ReconcileFailing".into()), Some("no answer".into()));
    let gone = Observed { job: Some(job(Some(("Failed", "BackoffLimitExceeded")))), ..observed(flow()) };
    let plan = plan(&run, &gone, now());
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "Evicted".into()));
    assert_eq!(plan.status.message.as_deref(), Some("the runner was evicted: no memory"));
    assert_eq!(plan.status.foreseen, None);
}
