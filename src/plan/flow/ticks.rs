//! From clocks to runs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::Observed;
use crate::api::flow::{CatchUpPolicy, ClockEntry, ClockStatus, Schedule};
use crate::api::{Flow, FlowRun, FlowRunSpec, FlowStatus, Reason, labels};
use crate::plan::pods::{Violation, common_labels, content_hash, controller_ref};
use crate::plan::schedule::{CatchUp, Clock, ClockSpec, ClockState, Due, Rules, Timing, due, parse_duration};
use crate::plan::{Object, Step, names};

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
    pub missed: u32,
    /// The first tick ahead.
    pub next: Option<Timestamp>,
    /// The newest tick that became a run now.
    pub newest: Option<Timestamp>,
    /// What is wrong with the schedule.
    pub violation: Option<Violation>,
}

/// Looks at all clocks.
pub(super) fn plan(flow: &Flow, old: &FlowStatus, observed: &Observed, now: Timestamp) -> Ticks {
    let mut ticks = Ticks::default();
    let Some(schedule) = &flow.spec.schedule else { return ticks };
    let clocks = match parse(flow, schedule) {
        Ok(clocks) => clocks,
        Err(violation) => {
            // What was remembered stays, without its hash: when the schedule is mended, its clocks count as edited.
            let edited = |clock: &ClockStatus| ClockStatus { hash: String::new(), ..clock.clone() };
            return Ticks {
                clocks: old.clocks.iter().map(edited).collect(),
                violation: Some(violation),
                ..ticks
            };
        }
    };
    let view = View { flow, schedule, old, observed, now };
    let rules = rules(flow);
    let mut runs: BTreeMap<String, FlowRun> = BTreeMap::new();
    for (entry, clock) in schedule.clocks.iter().zip(&clocks) {
        let mut memory = view.remember(entry);
        let state =
            ClockState { since: memory.since.0, last_tick: memory.last_tick.as_ref().map(|time| time.0) };
        let answer = due(clock, &state, now, rules);
        if let Some(latest) = answer.latest {
            memory.last_tick = Some(Time(latest));
        }
        for tick in answer.earlier.iter().copied().chain(answer.tick) {
            let run = run(flow, entry, clock, tick);
            ticks.newest = ticks.newest.max(Some(tick));
            runs.entry(run.name_any()).or_insert(run);
        }
        ticks.missed = ticks.missed.saturating_add(view.missed(entry, &state, &answer));
        ticks.next = [ticks.next, answer.next].into_iter().flatten().min();
        ticks.clocks.push(memory);
    }
    let known = |run: &FlowRun| observed.runs.iter().any(|other| other.name_any() == run.name_any());
    ticks.created = runs.into_values().filter(|run| !known(run)).collect();
    ticks
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
        CatchUpPolicy::All => CatchUp::All(u32::try_from(flow.spec.catch_up.limit).unwrap_or(1)),
    };
    let starting_deadline = flow.spec.starting_deadline.as_deref().and_then(|text| parse_duration(text).ok());
    Rules { starting_deadline, catch_up, ..Rules::default() }
}

/// The clocks of a schedule, in its order, or what is wrong with the first that is none.
pub(in crate::plan) fn parse(flow: &Flow, schedule: &Schedule) -> Result<Vec<Clock>, Violation> {
    if let Some(violation) = collision(schedule) {
        return Err(violation);
    }
    schedule.clocks.iter().map(|entry| parse_clock(flow, zone(schedule), entry)).collect()
}

/// The name of the zone of all clocks.
pub(super) fn zone(schedule: &Schedule) -> &str {
    schedule.time_zone.as_deref().unwrap_or(DEFAULT_ZONE)
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
pub(super) fn parse_clock(flow: &Flow, zone: &str, entry: &ClockEntry) -> Result<Clock, Violation> {
    let field = |name: &str| format!("spec.schedule.clocks[{}].{name}", entry.name);
    let invalid = |name: &str, message: String| Violation {
        reason: Reason::InvalidSchedule,
        ..Violation::invalid(field(name), message)
    };
    let timing = match (&entry.interval, &entry.cron) {
        (Some(interval), _) => Timing::Interval(
            parse_duration(interval).map_err(|error| invalid("interval", error.to_string()))?,
        ),
        (None, Some(cron)) => Timing::Cron(cron.clone()),
        (None, None) => return Err(invalid("interval", "write interval or cron".to_owned())),
    };
    Clock::parse(&ClockSpec {
        start_at: entry.start_at.as_ref().map(|time| time.0),
        end_at: entry.end_at.as_ref().map(|time| time.0),
        suspend: entry.suspend || flow.spec.suspend,
        ..ClockSpec::new(&entry.name, timing, zone)
    })
    .map_err(|error| match error.field() {
        "timeZone" => Violation {
            reason: Reason::InvalidTimeZone,
            ..Violation::invalid("spec.schedule.timeZone", error.to_string())
        },
        name => invalid(name, error.to_string()),
    })
}

/// What a clock's memory depends on.
struct View<'a> {
    flow: &'a Flow,
    schedule: &'a Schedule,
    old: &'a FlowStatus,
    observed: &'a Observed,
    now: Timestamp,
}

impl View<'_> {
    /// What is remembered of a clock. One that is new, edited or resumed counts from now, so that nothing is started
    /// retroactively; one of a Flow that was never looked at counts from the Flow's creation.
    fn remember(&self, entry: &ClockEntry) -> ClockStatus {
        let hash = self.hash(entry);
        let known = self.old.clocks.iter().find(|clock| clock.name == entry.name);
        let same = known.filter(|known| known.hash == hash);
        let first_look = known.is_none() && self.old.observed_generation.is_none();
        let created = self.flow.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let since = same.map(|known| known.since.0).or(created.filter(|_| first_look)).unwrap_or(self.now);
        // A status that was lost comes back from the runs: none before the newest of them is looked at again.
        let from_runs = || self.ticks_that_ran(entry).max().filter(|_| first_look).map(Time);
        let last_tick = same.and_then(|known| known.last_tick.clone()).or_else(from_runs);
        ClockStatus { name: entry.name.clone(), hash, since: Time(since), last_tick }
    }

    /// The ticks of a clock that are runs. One counts even where the status does not know it, because the operator
    /// ended between the two writes.
    fn ticks_that_ran(&self, entry: &ClockEntry) -> impl Iterator<Item = Timestamp> {
        let ran = self.observed.runs.iter().filter(|run| run.spec.clock.as_deref() == Some(&entry.name));
        let ticks = ran.filter_map(|run| run.spec.scheduled_time.as_ref()).map(|time| time.0);
        ticks.filter(|tick| *tick <= self.now)
    }

    /// Of the ticks that passed, those without a run.
    fn missed(&self, entry: &ClockEntry, state: &ClockState, answer: &Due) -> u32 {
        let floor = state.last_tick.max(Some(state.since));
        let starts = |tick: &Timestamp| Some(*tick) == answer.tick || answer.earlier.contains(tick);
        let ran = self.ticks_that_ran(entry).filter(|tick| Some(*tick) > floor && !starts(tick));
        answer.missed.saturating_sub(u32::try_from(ran.count()).unwrap_or(u32::MAX))
    }

    /// The hash of all that decides a clock's ticks; a change of it makes the clock a new one.
    fn hash(&self, entry: &ClockEntry) -> String {
        content_hash(&(
            (&self.schedule.time_zone, &entry.interval, &entry.cron),
            (&entry.start_at, &entry.end_at, entry.suspend || self.flow.spec.suspend),
        ))
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
    let first = schedule
        .clocks
        .first()
        .map(|clock| clock.interval.as_ref().or(clock.cron.as_ref()).cloned().unwrap_or_default());
    let more = schedule.clocks.len().saturating_sub(1);
    let zone = schedule.time_zone.as_deref().map(|zone| format!(" {zone}")).unwrap_or_default();
    let rest = if more > 0 { format!(" (+{more})") } else { String::new() };
    format!("{}{zone}{rest}", first.unwrap_or_default())
}
