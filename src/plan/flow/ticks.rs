//! From clocks to runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use serde::Serialize;

use super::observed::Observed;
use super::record::Record;
use super::terms::offset;
use super::{edits, parameters};
use crate::api::count::Count;
use crate::api::duration::Written;
use crate::api::flow::{CatchUpPolicy, ClockEntry, ClockStatus, Schedule};
use crate::api::{Flow, FlowRun, FlowRunSpec, FlowStatus, Phase, Reason, is_seen, labels};
use crate::plan::facts::{clocks_of, made_for, phase_of};
use crate::plan::pods::{Violation, common_labels, content_hash, controller_ref};
use crate::plan::schedule::{CatchUp, Clock, ClockSpec, ClockState, Due, Rules, Timing, due};
use crate::plan::{Figure, Object, Step, names};

/// The zone of a schedule that names none.
pub(super) const DEFAULT_ZONE: &str = "Etc/UTC";

/// What the clocks of a Flow ask for.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// Runs to create.
    pub created: Vec<FlowRun>,
    /// What to remember of each clock.
    pub clocks: Vec<ClockStatus>,
    /// Ticks that passed without a run, counted for the first time.
    pub missed: Missed,
    /// The first tick ahead.
    pub next: Option<Timestamp>,
    /// The newest tick that became a run now.
    pub newest: Option<Timestamp>,
    /// What is wrong with the schedule.
    pub violation: Option<Violation>,
}

/// Ticks that passed without a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// How many.
    pub all: u32,
    /// Those of them that were too late to start.
    pub too_late: u32,
}

impl Missed {
    /// Ticks that passed and were not too late.
    fn passed_over(count: usize) -> Self {
        Self { all: u32::try_from(count).unwrap_or(u32::MAX), too_late: 0 }
    }

    fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.too_late = self.too_late.saturating_add(other.too_late);
    }

    /// What to count of them.
    pub(super) fn figures(self) -> Vec<Figure> {
        let superseded = self.all.saturating_sub(self.too_late);
        [(Reason::StartingDeadlineExceeded, self.too_late), (Reason::Superseded, superseded)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| Figure::TicksMissed { reason, count })
            .collect()
    }
}

/// Looks at all clocks.
pub(super) fn plan(flow: &Flow, old: &FlowStatus, observed: &Observed, now: Timestamp) -> Ticks {
    let mut ticks = Ticks::default();
    let lost = |known: &ClockStatus| edits::lost_tick(flow, old, observed, known, now);
    let Some(schedule) = &flow.spec.schedule else {
        ticks.missed.add(Missed::passed_over(old.clocks.iter().filter_map(lost).count()));
        return ticks;
    };
    let clocks = match parse(flow, schedule) {
        Ok(clocks) => clocks,
        Err(violation) => {
            // What was remembered stays, without its hash: when the schedule is mended, its clocks count as
            // edited.
            let unrecorded = Some(Time(now)).filter(|_| !is_recorded(old));
            let edited = |clock: &ClockStatus| ClockStatus {
                hash: String::new(),
                recorded_since: clock.recorded_since.clone().or(unrecorded.clone()),
                ..clock.clone()
            };
            return Ticks {
                clocks: old.clocks.iter().map(edited).collect(),
                violation: Some(violation),
                ..ticks
            };
        }
    };
    let gone = |known: &&ClockStatus| schedule.clocks.iter().all(|entry| entry.name != known.name);
    ticks.missed.add(Missed::passed_over(old.clocks.iter().filter(gone).filter_map(lost).count()));
    let view = View { flow, schedule, old, observed, now };
    let rules = rules(flow);
    let mut runs: BTreeMap<String, FlowRun> = BTreeMap::new();
    for (entry, clock) in schedule.clocks.iter().zip(&clocks) {
        let mut memory = view.remember(entry);
        let state =
            ClockState { since: memory.since.0, last_tick: memory.last_tick.as_ref().map(|time| time.0) };
        let rules = Rules { room: remaining(entry, &memory), ..rules };
        let answer = due(clock, &state, now, rules);
        if let Some(latest) = answer.latest {
            memory.last_tick = Some(Time(latest));
        }
        for tick in answer.earlier.iter().copied().chain(answer.tick) {
            memory.runs = memory.runs.saturating_add(1);
            ticks.newest = ticks.newest.max(Some(tick));
            share(runs.entry(name(flow, entry, tick)), || run(flow, entry, clock, tick), &entry.name);
        }
        ticks.missed.add(view.missed(entry, &state, &rules, &answer));
        ticks.missed.add(Missed::passed_over(view.lost(entry, &memory).map_or(0, |_| 1)));
        ticks.next = [ticks.next, answer.next].into_iter().flatten().min();
        memory.next_tick = answer.next.and_then(|start| start.checked_sub(offset(flow)).ok()).map(Time);
        view.record(&mut memory);
        ticks.clocks.push(memory);
    }
    let known = |run: &FlowRun| observed.runs.iter().any(|other| other.name_any() == run.name_any());
    ticks.created = runs.into_values().filter(|run| !known(run)).collect();
    ticks
}

/// The run of a tick, or one more clock of a run that is there already.
fn share(place: Entry<'_, String, FlowRun>, make: impl FnOnce() -> FlowRun, clock: &str) {
    match place {
        Entry::Vacant(place) => drop(place.insert(make())),
        Entry::Occupied(mut place) => {
            let spec = &mut place.get_mut().spec;
            if spec.clocks.is_empty() {
                spec.clocks.extend(spec.clock.clone());
            }
            spec.clocks.push(clock.to_owned());
        }
    }
}

/// Creates one run.
pub(super) fn create(run: &FlowRun) -> Step {
    Step::Create(Box::new(Object::Run(run.clone())))
}

/// What the Flow says of ticks that passed.
fn rules(flow: &Flow) -> Rules {
    let catch_up = match flow.spec.catch_up.policy {
        CatchUpPolicy::Latest => CatchUp::Latest,
        CatchUpPolicy::None => CatchUp::None,
        CatchUpPolicy::All => CatchUp::All(flow.spec.catch_up.limit.get()),
    };
    let starting_deadline = flow.spec.starting_deadline.as_ref().and_then(Written::get);
    Rules { starting_deadline, catch_up, offset: offset(flow), ..Rules::default() }
}

/// How many more runs a clock may start, as its status has it.
pub(super) fn room(flow: &Flow, entry: &ClockEntry) -> Option<u32> {
    let clocks = flow.status.as_ref().map(|status| status.clocks.as_slice()).unwrap_or_default();
    match clocks.iter().find(|clock| clock.name == entry.name) {
        Some(memory) => remaining(entry, memory),
        None => entry.max_runs.map(Count::get),
    }
}

fn remaining(entry: &ClockEntry, memory: &ClockStatus) -> Option<u32> {
    let started = memory.runs.max(0).unsigned_abs();
    entry.max_runs.map(|most| most.get().saturating_sub(started))
}

/// The clocks of a schedule, in its order, or what is wrong with the first that is none.
pub(in crate::plan) fn parse(flow: &Flow, schedule: &Schedule) -> Result<Vec<Clock>, Violation> {
    if let Some(violation) = collision(schedule) {
        return Err(violation);
    }
    schedule.clocks.iter().map(|entry| parse_clock(flow, schedule, entry)).collect()
}

/// The name of the zone of a clock.
pub(super) fn zone<'a>(schedule: &'a Schedule, entry: &'a ClockEntry) -> &'a str {
    entry.time_zone.as_deref().or(schedule.time_zone.as_deref()).unwrap_or(DEFAULT_ZONE)
}

/// Two clocks whose runs would get the same names.
pub(super) fn collision(schedule: &Schedule) -> Option<Violation> {
    let named: Vec<&str> = schedule.clocks.iter().map(|clock| clock.name.as_str()).collect();
    let (first, second) = names::clocks_that_collide(&named)?;
    let message =
        format!("the clocks {first} and {second} would give their runs the same names: rename one of them");
    Some(Violation::invalid("spec.schedule.clocks", message))
}

/// Reads one clock.
pub(super) fn parse_clock(flow: &Flow, schedule: &Schedule, entry: &ClockEntry) -> Result<Clock, Violation> {
    let field = |name: &str| match name {
        // What stands in the schedule and not in the clock.
        "only" | "except" => format!("spec.schedule.{name}"),
        "timeZone" if entry.time_zone.is_none() => "spec.schedule.timeZone".to_owned(),
        _ => format!("spec.schedule.clocks[{}].{name}", entry.name),
    };
    let invalid = |name: &str, message: String| Violation {
        reason: if name == "timeZone" { Reason::InvalidTimeZone } else { Reason::InvalidSchedule },
        ..Violation::invalid(field(name), message)
    };
    let timing = match (&entry.interval, &entry.cron, &entry.rrule, &entry.dates) {
        (Some(interval), ..) => {
            Timing::from(interval.read().map_err(|error| invalid("interval", error.to_string()))?)
        }
        (None, Some(cron), ..) => Timing::Cron(cron.clone()),
        (None, None, Some(rrule), _) => Timing::Rrule(rrule.clone()),
        (None, None, None, Some(dates)) => Timing::Dates(dates.iter().map(|date| date.0).collect()),
        _ => return Err(invalid("interval", "write interval, cron, rrule or dates".to_owned())),
    };
    let zone = zone(schedule, entry);
    Clock::parse(&ClockSpec {
        start_at: entry.start_at.as_ref().map(|time| time.0),
        end_at: entry.end_at.as_ref().map(|time| time.0),
        suspend: entry.suspend || flow.spec.suspend,
        daylight_saving: schedule.daylight_saving,
        only: schedule.only.as_ref(),
        except: schedule.except.as_ref(),
        adjust: schedule.adjust,
        ..ClockSpec::new(&entry.name, timing, zone)
    })
    .map_err(|error| invalid(error.field(), error.to_string()))
}

/// Whether the status was written by a release that keeps a record of ticks.
fn is_recorded(old: &FlowStatus) -> bool {
    old.spec_written_at.is_some()
}

/// What a clock's memory depends on.
struct View<'a> {
    flow: &'a Flow,
    schedule: &'a Schedule,
    old: &'a FlowStatus,
    observed: &'a Observed,
    now: Timestamp,
}

impl<'a> View<'a> {
    /// What is remembered of a clock. One that is new, edited or resumed counts from then, so that nothing is
    /// started retroactively; one of a Flow that was never looked at counts from the Flow's creation. Of one
    /// that was there before, ticks whose start lies after the edit are still to come.
    fn remember(&self, entry: &'a ClockEntry) -> ClockStatus {
        let hash = self.hash(entry);
        let known = self.known(entry);
        let same = known.filter(|known| known.hash == hash);
        let first_look = known.is_none() && !is_seen(self.old.observed_generation);
        let created = self.flow.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let edited = edits::edited_at(self.flow, self.old, self.now);
        let since = match (same, known) {
            (Some(same), _) => same.since.0,
            // Not before what the clock counted from until then: its Flow may have been created after a tick.
            (None, Some(known)) => edited.checked_sub(offset(self.flow)).unwrap_or(edited).max(known.since.0),
            (None, None) => created.filter(|_| first_look).unwrap_or(edited),
        };
        // A status that was lost comes back from the runs: none before the newest of them is looked at again.
        let from_runs = || self.ticks_that_ran(entry).max().filter(|_| first_look).map(Time);
        let last_tick = known.and_then(|known| known.last_tick.clone()).or_else(from_runs);
        let times_hash = Some(content_hash(&self.times(entry)));
        let runs = known.filter(|known| known.times_hash == times_hash).map_or(0, |known| known.runs);
        // Of a clock without a record nobody knows what became of its ticks up to now, unless there were
        // none.
        let recorded_since = match known {
            Some(known) if known.times_hash.is_some() && is_recorded(self.old) => {
                known.recorded_since.clone()
            }
            _ => Some(Time(self.now)).filter(|_| !first_look || self.ticks_that_ran(entry).next().is_some()),
        };
        ClockStatus {
            name: entry.name.clone(),
            hash,
            since: Time(since),
            last_tick,
            next_tick: None,
            succeeded: known.and_then(|known| known.succeeded.clone()),
            recorded_since,
            times_hash,
            runs,
        }
    }

    fn known(&self, entry: &ClockEntry) -> Option<&'a ClockStatus> {
        self.old.clocks.iter().find(|clock| clock.name == entry.name)
    }

    /// The tick that a clock was about to deal with when it was edited, and that its present form does not
    /// start.
    fn lost(&self, entry: &'a ClockEntry, memory: &ClockStatus) -> Option<Timestamp> {
        let known = self.known(entry).filter(|known| known.hash != memory.hash)?;
        let lost = edits::lost_tick(self.flow, self.old, self.observed, known, self.now)?;
        (lost <= memory.since.0).then_some(lost)
    }

    /// Remembers which ticks of a clock have succeeded.
    fn record(&self, memory: &mut ClockStatus) {
        let mut record = Record::of(memory);
        let mut news = false;
        for run in self.observed.runs.iter().filter(|run| phase_of(run) == Phase::Succeeded) {
            if let Some(tick) = made_for(run).filter(|_| clocks_of(run).any(|clock| clock == memory.name)) {
                news |= record.add(tick);
            }
        }
        if news {
            record.write(memory);
        }
    }

    /// The ticks of a clock that are runs. One counts even where the status does not know it, because the
    /// operator ended between the two writes.
    fn ticks_that_ran(&self, entry: &ClockEntry) -> impl Iterator<Item = Timestamp> {
        let ran = self.observed.runs.iter().filter(|run| clocks_of(run).any(|clock| clock == entry.name));
        ran.filter_map(|run| made_for(run)).filter(|tick| *tick <= self.now)
    }

    /// Of the ticks that passed, those without a run.
    fn missed(&self, entry: &ClockEntry, state: &ClockState, rules: &Rules, answer: &Due) -> Missed {
        let floor = state.last_tick.max(Some(state.since));
        let starts = |tick: &Timestamp| Some(*tick) == answer.tick || answer.earlier.contains(tick);
        let ran = self.ticks_that_ran(entry).filter(|tick| Some(*tick) > floor && !starts(tick));
        let limit = rules.in_time_from(self.now);
        let (late, in_time): (Vec<_>, Vec<_>) =
            ran.partition(|tick| limit.is_some_and(|limit| *tick < limit));
        let number = |ticks: &[Timestamp]| u32::try_from(ticks.len()).unwrap_or(u32::MAX);
        let too_late = answer.too_late.saturating_sub(number(&late));
        let superseded = answer.missed.saturating_sub(answer.too_late).saturating_sub(number(&in_time));
        Missed { all: too_late.saturating_add(superseded), too_late }
    }

    /// The hash of all that decides a clock's ticks; a change of it makes the clock a new one.
    fn hash(&self, entry: &'a ClockEntry) -> String {
        content_hash(&(self.times(entry), entry.suspend || self.flow.spec.suspend))
    }

    /// What decides when a clock ticks, apart from being suspended.
    fn times(&self, entry: &'a ClockEntry) -> impl Serialize + use<'a> {
        let schedule = self.schedule;
        (
            (&schedule.time_zone, &entry.time_zone, schedule.daylight_saving),
            (&entry.interval, &entry.cron, &entry.rrule, &entry.dates),
            (&schedule.only, &schedule.except, schedule.adjust),
            (&entry.start_at, &entry.end_at),
        )
    }
}

/// The name of the run of a tick. The clock is part of it only where the clock overrides something.
pub(in crate::plan) fn name(flow: &Flow, entry: &ClockEntry, tick: Timestamp) -> String {
    let overrides = entry.parameters.is_some().then_some(entry.name.as_str());
    names::run_name(&flow.name_any(), tick, overrides)
}

/// The run of a tick.
pub(in crate::plan) fn run(flow: &Flow, entry: &ClockEntry, clock: &Clock, tick: Timestamp) -> FlowRun {
    let flow_name = flow.name_any();
    let name = name(flow, entry, tick);
    let mut run = FlowRun::new(
        &name,
        FlowRunSpec {
            flow: flow_name.clone(),
            scheduled_time: Some(Time(tick)),
            clock: Some(entry.name.clone()),
            ..FlowRunSpec::default()
        },
    );
    run.spec.merged_parameters = Some(parameters::merged(flow, &run.spec).into());
    let mut all_labels = common_labels(&flow_name, labels::RUNNER);
    all_labels.insert(labels::FLOW.to_owned(), flow_name);
    run.metadata = ObjectMeta {
        name: Some(name),
        namespace: flow.namespace(),
        owner_references: controller_ref(flow).map(|owner| vec![owner]),
        labels: Some(all_labels),
        annotations: Some(logical_time(clock, tick)),
        ..ObjectMeta::default()
    };
    run
}

/// The tick and its neighbours: what a flow needs to know which stretch of time it is to work on.
fn logical_time(clock: &Clock, tick: Timestamp) -> BTreeMap<String, String> {
    let before = tick.checked_sub(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MIN);
    [
        (labels::SCHEDULED_TIME, Some(tick)),
        (labels::PREVIOUS_TICK, clock.latest_in(Timestamp::MIN, before)),
        (labels::NEXT_TICK, clock.next_after(tick)),
    ]
    .into_iter()
    .filter_map(|(key, time)| Some((key.to_owned(), time?.to_string())))
    .collect()
}

/// The schedule in a few words, for `kubectl get`.
pub(super) fn describe(schedule: &Schedule) -> String {
    let first = schedule.clocks.first();
    let timing = first.map(describe_timing).unwrap_or_default();
    let more = schedule.clocks.len().saturating_sub(1);
    let zone = first.and_then(|clock| clock.time_zone.as_ref()).or(schedule.time_zone.as_ref());
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    let rest = if more > 0 { format!(" (+{more})") } else { String::new() };
    format!("{timing}{zone}{rest}")
}

/// The longest text of a clock in `kubectl get`, in characters.
const TIMING_LENGTH_MAX: usize = 60;

fn describe_timing(clock: &ClockEntry) -> String {
    if let Some(dates) = &clock.dates {
        return format!("{} date{}", dates.len(), if dates.len() == 1 { "" } else { "s" });
    }
    let rule = clock.rrule.as_deref().map(|text| {
        // Of several lines, the one with the rule.
        let rule = text.lines().map(str::trim).find(|line| line.to_ascii_uppercase().contains("FREQ="));
        let rule = rule.unwrap_or(text);
        rule.split_once(':').map_or(rule, |(_, rule)| rule)
    });
    let interval = clock.interval.as_ref().map(Written::as_str);
    let text = interval.or(clock.cron.as_deref()).or(rule).unwrap_or_default();
    if text.chars().count() <= TIMING_LENGTH_MAX {
        return text.to_owned();
    }
    text.chars().take(TIMING_LENGTH_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
