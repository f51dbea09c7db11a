//! What keeps a run in the queue, and what takes it out of it unstarted.

use std::time::Duration;

use kube::ResourceExt;

use super::work::Work;
use crate::api::count::Count;
use crate::api::duration::Written;
use crate::api::flow::{CatchUpPolicy, Concurrency};
use crate::api::flow_run::WaitsFor;
use crate::api::{DaskCluster, Flow, FlowRun, Phase, Reason};
use crate::plan::facts::{clocks_of, due_at, is_backfill, is_tick, phase_of};
use crate::plan::flow::terms::{gives_way, is_held_by_suspension, offset as start_offset, places};
use crate::plan::newest::Newest;

/// What is told of a run that gives its place back.
const GIVEN_BACK: &str =
    "there are fewer places than when the run got its own, and it had not started: it waits for one again";

/// How many runs wait under `Queue` where the Flow does not say.
const MAX_QUEUED: usize = 100;

/// What a run that has not started has of the places that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It stands in no list of those that have one.
    None,
    /// One, or none is needed.
    One,
    /// One too many: there are fewer places than when it got its own.
    TooMany,
}

impl Place {
    /// By the list of those that have one, in which the run stands after those that keep theirs.
    fn of(run: &FlowRun, admitted: &[String], places: usize) -> Self {
        match admitted.iter().position(|name| *name == run.name_any()) {
            None => Self::None,
            Some(before) if before < places => Self::One,
            Some(_) => Self::TooMany,
        }
    }
}

/// What keeps a run from starting.
pub(super) struct Hold {
    pub waits_for: WaitsFor,
    pub reason: Reason,
    pub message: String,
}

impl Hold {
    fn new(waits_for: WaitsFor, reason: Reason, message: impl Into<String>) -> Self {
        Self { waits_for, reason, message: message.into() }
    }

    /// There are fewer places than when the run got its own.
    fn given_back() -> Self {
        Self::new(WaitsFor::AnotherPlace, Reason::PlaceGivenBack, GIVEN_BACK)
    }
}

impl Work<'_> {
    /// The run's place among those of its Flow. Right after the policy was changed nobody knows who keeps
    /// theirs.
    fn place(&self, flow: &Flow) -> Place {
        let Some(places) = places(&flow.spec) else { return Place::One };
        let seen = flow.status.as_ref().and_then(|status| status.observed_generation);
        match Place::of(self.run, admitted(flow), places) {
            Place::TooMany if seen != flow.metadata.generation => Place::None,
            place => place,
        }
    }

    /// Whether a run that has begun and has no runner yet may get one: the places may have become fewer
    /// since. One without a place waits; one with a place too many gives it back.
    pub(super) fn keeps_its_place(&mut self, flow: &Flow) -> bool {
        let of_cluster = self.observed.cluster.as_deref().map(|cluster| self.place_on(cluster));
        match (self.place(flow), of_cluster) {
            (Place::TooMany, _) | (_, Some(Place::TooMany)) => {
                self.forget_attempt();
                self.release_own_cluster();
                self.wait(Phase::Queued, Hold::given_back());
                false
            }
            (place, _) => place == Place::One,
        }
    }

    /// The run's place on a cluster that limits its runs.
    fn place_on(&self, cluster: &DaskCluster) -> Place {
        let Some(places) = cluster.spec.max_active_runs else { return Place::One };
        let admitted = cluster.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
        let seen = cluster.status.as_ref().and_then(|status| status.observed_generation);
        match Place::of(self.run, admitted, places.size()) {
            Place::TooMany if seen != cluster.metadata.generation => Place::None,
            place => place,
        }
    }

    /// Why the run may not start, if so.
    pub(super) fn held(&self, flow: &Flow) -> Option<Hold> {
        if self.run.spec.suspend {
            let message = "the run is suspended: spec.suspend is true";
            return Some(Hold::new(WaitsFor::Resume, Reason::Suspended, message));
        }
        if is_held_by_suspension(flow, self.run) {
            let message = "the Flow is suspended: spec.suspend of the Flow is true, and its ticks wait";
            return Some(Hold::new(WaitsFor::Resume, Reason::Suspended, message));
        }
        self.held_by_flow(flow).or_else(|| self.held_by_cluster())
    }

    fn held_by_flow(&self, flow: &Flow) -> Option<Hold> {
        let admitted = admitted(flow);
        match self.place(flow) {
            Place::One => return None,
            Place::TooMany => return Some(Hold::given_back()),
            Place::None => {}
        }
        let active = match admitted {
            [] => "its turn has not come".to_owned(),
            [run] => format!("run {run} is active"),
            runs => format!("{} runs are active", runs.len()),
        };
        let (reason, message) = match flow.spec.concurrency {
            Concurrency::Queue => {
                let places = flow.spec.max_active.map_or(1, Count::size);
                (Reason::MaxActiveReached, format!("{active}, and maxActive is {places}"))
            }
            Concurrency::Replace if !admitted.is_empty() && gives_way(&flow.spec, self.run) => {
                (Reason::ConcurrencyForbidden, format!("{active} and is being replaced by this run"))
            }
            policy => (Reason::ConcurrencyForbidden, format!("{active}, and concurrency is {policy:?}")),
        };
        Some(Hold::new(WaitsFor::FlowPlace, reason, message))
    }

    fn held_by_cluster(&self) -> Option<Hold> {
        self.held_by_suspension().or_else(|| self.held_by_limit())
    }

    /// The cluster is suspended, and serves nobody until somebody resumes it.
    pub(super) fn held_by_suspension(&self) -> Option<Hold> {
        let cluster = self.observed.cluster.as_ref().filter(|cluster| cluster.spec.suspend)?;
        let message = format!("the DaskCluster {} is suspended", cluster.name_any());
        Some(Hold::new(WaitsFor::ClusterResume, Reason::ClusterSuspended, message))
    }

    /// The cluster limits its runs, and this one has no place.
    pub(super) fn held_by_limit(&self) -> Option<Hold> {
        let cluster = self.observed.cluster.as_ref()?;
        let name = cluster.name_any();
        let places = cluster.spec.max_active_runs?;
        let message = format!("the DaskCluster {name} has no place: its maxActiveRuns is {places}");
        match self.place_on(cluster) {
            Place::One => None,
            Place::None => Some(Hold::new(WaitsFor::ClusterPlace, Reason::ClusterBusy, message)),
            Place::TooMany => Some(Hold::given_back()),
        }
    }

    /// Why a run that is held will never start, if so.
    pub(super) fn skipped(&mut self, flow: &Flow, held: &str) -> Option<(Reason, String)> {
        let deadline = flow.spec.starting_deadline.as_ref().and_then(Written::get);
        // A tick is started later by its Flow's jitter. The logical time of other runs may have passed long
        // ago: they are late by the time that they were held.
        let jitter = if is_tick(self.run) { start_offset(flow) } else { Duration::ZERO };
        let since = due_at(self.run).checked_add(jitter).unwrap_or(self.now);
        let until = deadline.and_then(|deadline| since.checked_add(deadline).ok());
        // A backfill's ticks passed long ago, and it has its own way of waiting.
        if let Some(until) = until.filter(|_| !is_backfill(self.run)) {
            if until <= self.now {
                let message =
                    format!("the starting deadline passed at {until} while the run was waiting: {held}");
                return Some((Reason::StartingDeadlineExceeded, message));
            }
            self.wake_at(until);
        }
        let admitted = admitted(flow).contains(&self.run.name_any());
        // Under `Replace` a run that has its place and waits for its cluster gives way, as one that is at
        // work does.
        let suspended = self.run.spec.suspend || is_held_by_suspension(flow, self.run);
        if suspended || (admitted && flow.spec.concurrency != Concurrency::Replace) {
            return None;
        }
        if let Some(newer) = self.newer(flow) {
            let message = format!(
                "the newer run {newer} takes its place: of several ticks of a clock that wait only the newest runs"
            );
            return Some((Reason::Superseded, message));
        }
        self.queue_is_full(flow)
    }

    /// The newer run that is to take the place of this one: while both wait, and under `Replace` also while
    /// this one is at work.
    pub(super) fn newer(&self, flow: &Flow) -> Option<String> {
        if !gives_way(&flow.spec, self.run) {
            return None;
        }
        let waiting = self.waiting(flow).filter(|other| gives_way(&flow.spec, other));
        Newest::of(waiting).in_place_of(self.run).map(str::to_owned)
    }

    fn queue_is_full(&self, flow: &Flow) -> Option<(Reason, String)> {
        let (places, room, limit) = match flow.spec.concurrency {
            Concurrency::Queue => {
                let room = flow.spec.max_queued.map_or(MAX_QUEUED, Count::size);
                (flow.spec.max_active.map_or(1, Count::size), room, "maxQueued")
            }
            // All missed ticks are to run, one after the other; their number is bounded all the same.
            Concurrency::Forbid if is_tick(self.run) && flow.spec.catch_up.policy == CatchUpPolicy::All => {
                (1, flow.spec.catch_up.limit.size(), "catchUp.limit")
            }
            _ => return None,
        };
        // A name whose run has ended is about to give its place back.
        let active = self.observed.siblings.iter().filter(|other| admitted(flow).contains(&other.name_any()));
        if is_backfill(self.run) || active.count() < places {
            return None;
        }
        let mine = (due_at(self.run), self.run.name_any());
        // Under `catchUp` each clock has its own ticks to catch up with.
        let is_beside = |other: &&FlowRun| {
            flow.spec.concurrency == Concurrency::Queue
                || clocks_of(other).any(|clock| clocks_of(self.run).any(|mine| mine == clock))
        };
        let before = self.waiting(flow).filter(is_beside);
        let before = before.filter(|other| (due_at(other), other.name_any()) < mine).count();
        let full = before >= room;
        full.then(|| (Reason::QueueFull, format!("{before} runs wait before it, and {limit} is {room}")))
    }

    /// The other runs of the Flow that wait for a place.
    fn waiting<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = &'a FlowRun> {
        let runs = self.observed.siblings.iter().map(AsRef::as_ref);
        runs.filter(|other: &&FlowRun| {
            phase_of(other) == Phase::Queued
                && !other.spec.suspend
                && !other.spec.cancel
                && !is_held_by_suspension(flow, other)
                && !admitted(flow).contains(&other.name_any())
        })
    }
}

fn admitted(flow: &Flow) -> &[String] {
    flow.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default()
}
