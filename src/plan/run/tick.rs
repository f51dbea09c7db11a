//! Which tick a run is, and which waiting run another one takes the place of.
//!
//! A tick's run is known by its name, which is made from the tick: so a run that somebody makes by hand with the `clock` and
//! the `scheduledTime` of a tick is none, and the runs of an earlier release are.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::{due_at, has_started, is_backfill};
use crate::api::FlowRun;
use crate::plan::names;

/// How far the clock of the API server, which dates creations, may be behind the operator's, which makes ticks.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

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

/// Whether somebody made the run by hand, and waits for it to begin.
pub fn is_run_now(run: &FlowRun) -> bool {
    made_for(run).is_none() && !has_started(run)
}

/// The clocks whose tick a run is: of those that share it, all.
pub fn clocks_of(run: &FlowRun) -> impl Iterator<Item = &str> {
    let alone = run.spec.clock.iter().filter(|_| run.spec.clocks.is_empty());
    alone.chain(&run.spec.clocks).map(String::as_str)
}

/// The newest runs of those that wait, by what they are: the ticks of each clock, and what is made by hand for each clock
/// or none.
#[derive(Debug, Default)]
pub struct Newest<'a> {
    ticks: BTreeMap<&'a str, (Timestamp, String)>,
    by_hand: BTreeMap<Option<&'a str>, (Timestamp, String)>,
}

impl<'a> Newest<'a> {
    /// Of these runs.
    pub fn of(runs: impl Iterator<Item = &'a FlowRun>) -> Self {
        let mut newest = Self::default();
        for run in runs {
            let place = (due_at(run), run.name_any());
            if is_tick(run) {
                for clock in clocks_of(run) {
                    let known = newest.ticks.entry(clock).or_insert_with(|| place.clone());
                    *known = place.clone().max(known.clone());
                }
            } else {
                let known = newest.by_hand.entry(run.spec.clock.as_deref()).or_insert_with(|| place.clone());
                *known = place.clone().max(known.clone());
            }
        }
        newest
    }

    /// The run that is to run in place of this one: a newer tick of its clock, of a shared run one of each of its clocks; of a
    /// run made by hand, one that was made by hand later. Ticks of one instant never stand in each other's place.
    pub fn in_place_of<'b>(&'b self, run: &'b FlowRun) -> Option<&'b str> {
        let mine = (due_at(run), run.name_any());
        if !is_tick(run) {
            let newer = self.by_hand.get(&run.spec.clock.as_deref()).filter(|newer| **newer > mine)?;
            return Some(&newer.1);
        }
        let mut newest = None;
        for clock in clocks_of(run) {
            newest = newest.max(Some(self.ticks.get(clock).filter(|newer| newer.0 > mine.0)?));
        }
        newest.map(|newest| newest.1.as_str())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;
    use crate::api::FlowRunSpec;

    const TICK: &str = "2026-12-01T09:00:00Z";

    fn run(name: &str, clock: Option<&str>, created: &str) -> FlowRun {
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

    #[test]
    fn a_shared_run_gives_way_only_where_each_of_its_clocks_has_a_newer_tick() {
        let mut shared = run("etl-20261201t090000", Some("hourly"), TICK);
        shared.spec.clocks = vec!["hourly".into(), "nightly".into()];
        let later = |clock: &str, tick: &str, name: &str| {
            let mut run = run(name, Some(clock), tick);
            run.spec.scheduled_time = Some(Time(tick.parse().unwrap()));
            run
        };
        let hourly = later("hourly", "2026-12-01T10:00:00Z", "etl-20261201t100000");
        let nightly = later("nightly", "2026-12-02T09:00:00Z", "etl-20261202t090000");
        assert_eq!(Newest::of([&hourly].into_iter()).in_place_of(&shared), None);
        let both = Newest::of([&hourly, &nightly].into_iter());
        assert_eq!(both.in_place_of(&shared), Some("etl-20261202t090000"));
        assert_eq!(both.in_place_of(&nightly), None);
    }
}
