//! Which waiting run another one takes the place of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::facts::{clocks_of, due_at, is_tick};
use crate::api::FlowRun;

/// The newest runs of those that wait, by what they are: the ticks of each clock, and what is made by hand
/// for each clock or none.
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

    /// The run that is to run in place of this one: a newer tick of its clock, of a shared run one of each of
    /// its clocks; of a run made by hand, one that was made by hand later. Ticks of one instant never stand
    /// in each other's place.
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

    use super::*;
    use crate::plan::facts::tests::{TICK, run};

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
