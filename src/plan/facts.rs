//! Facts of a run: what its spec and its status say of it, for all planners.
//!
//! A tick's run is known by its name, which is made from the tick: so a run that somebody makes by hand with
//! the `clock` and the `scheduledTime` of a tick is none, and the runs of an earlier release are.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::names;
use crate::api::flow_run::WaitsFor;
use crate::api::{Flow, FlowRun, FlowRunStatus, Phase, is_seen, labels};

/// How far the clock of the API server, which dates creations, may be behind the operator's, which makes
/// ticks.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The phase that was last written.
pub fn phase_of(run: &FlowRun) -> Phase {
    run.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// The Job that was last written.
pub fn job_of(run: &FlowRun) -> Option<&str> {
    run.status.as_ref()?.job.as_deref()
}

/// What the run waits for, as it was last written.
pub fn waits_for(run: &FlowRun) -> Option<WaitsFor> {
    run.status.as_ref()?.waits_for
}

/// Whether a run stands in the queue and its status does not say what it waits for, as one of a version that
/// did not write that. At its next look, which is soon after the start of the operator, it says so; until
/// then it neither gets a place nor loses one.
pub(in crate::plan) fn is_unsaid(run: &FlowRun) -> bool {
    let status = run.status.as_ref().filter(|status| is_seen(status.observed_generation));
    status.is_some_and(|status| status.phase == Phase::Queued && status.waits_for.is_none())
}

/// The logical time of a run: the tick, else the second of its creation.
pub fn logical_time(run: &FlowRun) -> Timestamp {
    let created = run.metadata.creation_timestamp.as_ref();
    run.spec.scheduled_time.as_ref().or(created).map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// When a run came into the line: a tick at its time, another run when it was created.
pub fn due_at(run: &FlowRun) -> Timestamp {
    if is_tick(run) {
        return logical_time(run);
    }
    run.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0)
}

/// Whether the run has started: its runner's Job is there, or was.
pub fn has_started(run: &FlowRun) -> bool {
    match phase_of(run) {
        Phase::Queued => false,
        Phase::Provisioning => job_of(run).is_some(),
        _ => true,
    }
}

/// Whether a run with this status is let through to its cluster, and its Job, which is created after that, is
/// not there yet.
pub fn is_let_through(status: &FlowRunStatus) -> bool {
    status.phase == Phase::Provisioning && status.job.is_none()
}

/// Whether a `FlowBackfill` started the run.
pub fn is_backfill(run: &FlowRun) -> bool {
    run.spec.backfill.is_some()
}

/// The number of the attempt whose Job is to be observed, from 1.
pub fn attempt_of(run: &FlowRun) -> u32 {
    let attempt = run.status.as_ref().and_then(|status| status.attempt);
    attempt.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(1)
}

/// Whether a run has ended, or is on its way out.
pub(in crate::plan) fn is_over(run: &FlowRun) -> bool {
    phase_of(run).is_final() || run.metadata.deletion_timestamp.is_some()
}

/// Until when the cluster of a run that ended without success is kept.
pub(in crate::plan) fn kept_until(status: &FlowRunStatus, flow: Option<&Flow>) -> Option<Timestamp> {
    let keep = flow?.spec.cluster.keep_on_failure.as_ref()?.get()?;
    let failed = matches!(status.phase, Phase::Failed | Phase::TimedOut);
    let since = status.finished_at.as_ref().filter(|_| failed)?.0;
    since.checked_add(keep).ok()
}

/// The tick that a run was made for, by a clock or by a `FlowBackfill`.
pub fn made_for(run: &FlowRun) -> Option<Timestamp> {
    let (clock, tick) = (run.spec.clock.as_deref()?, run.spec.scheduled_time.as_ref()?.0);
    let name = run.name_any();
    let is_its_name = |clock: Option<&str>| names::run_name(&run.spec.flow, tick, clock) == name;
    (is_its_name(None) || is_its_name(Some(clock))).then_some(tick)
}

/// Whether a clock started the run, at its time. No clock starts one before.
pub fn is_tick(run: &FlowRun) -> bool {
    let Some(tick) = made_for(run).filter(|_| !is_backfill(run)) else { return false };
    let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
    created.and_then(|created| created.checked_add(CLOCK_SKEW_MAX).ok()).is_none_or(|created| tick <= created)
}

/// Whether no earlier run had the name of this one. A clock makes none twice, but for one that is deleted
/// before its tick is written; whoever else makes a run, a `FlowBackfill` or somebody by hand, may do so when
/// one of the same name was deleted a moment ago.
pub(in crate::plan) fn is_first_of_its_name(run: &FlowRun) -> bool {
    let mut writers = run.metadata.managed_fields.iter().flatten();
    is_tick(run)
        && writers.all(|writer| {
            writer.subresource.is_some()
                || writer.manager.as_deref().is_some_and(|manager| manager.starts_with(labels::APP))
        })
}

/// Whether somebody made the run by hand, and waits for it to begin.
pub fn is_run_now(run: &FlowRun) -> bool {
    made_for(run).is_none() && !has_started(run)
}

/// The clocks whose tick a run is: of those that share it, all.
pub fn clocks_of(run: &FlowRun) -> impl Iterator<Item = &str> {
    let alone = run.spec.clock.iter().filter(|_| run.spec.clocks.is_empty());
    alone.chain(&run.spec.clocks).map(String::as_str)
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;
    use crate::api::FlowRunSpec;

    pub(in crate::plan) const TICK: &str = "2026-12-01T09:00:00Z";

    /// A run of the Flow "etl" that is due at [`TICK`].
    pub(in crate::plan) fn run(name: &str, clock: Option<&str>, created: &str) -> FlowRun {
        let spec = FlowRunSpec {
            flow: "etl".into(),
            clock: clock.map(str::to_owned),
            scheduled_time: Some(Time(TICK.parse().unwrap())),
            ..FlowRunSpec::default()
        };
        let mut run = FlowRun::new(name, spec);
        run.metadata.creation_timestamp = Some(Time(created.parse().unwrap()));
        run
    }

    #[rstest]
    #[case::shared("etl-20261201t090000", Some("c"), TICK, true)]
    #[case::overriding("etl-20261201t090000-2a3b", Some("nightly"), TICK, true)]
    #[case::another_clock("etl-20261201t090000-2a3b", Some("hourly"), TICK, false)]
    #[case::by_hand("etl-now", Some("nightly"), TICK, false)]
    #[case::no_clock("etl-20261201t090000", None, TICK, false)]
    #[case::skew("etl-20261201t090000", Some("c"), "2026-12-01T08:56:00Z", true)]
    #[case::ahead("etl-20261201t090000", Some("c"), "2026-11-01T00:00:00Z", false)]
    fn a_tick_is_known_by_its_name(
        #[case] name: &str,
        #[case] clock: Option<&str>,
        #[case] created: &str,
        #[case] is: bool,
    ) {
        assert_eq!(names::clock_hash("nightly"), "2a3b");
        assert_eq!(is_tick(&run(name, clock, created)), is);
    }
}
