//! Changes the objects of a base by turns, and judges each change and the way back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::bases::Base;
use super::changes::Change;
use super::findings::{Fault, Finding};
use super::judge::{State, contradictions, keys, short, written};
use super::specs::sleeper;
use super::world::{Refusal, Seen, World};
use crate::support::clock::now;
use crate::support::figures::say;

/// How long an object must stand still to be at rest.
const REST: Duration = Duration::from_secs(4);
/// Between two looks at what the watches have seen, and at the state of an object and all that belongs to it.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_AT_STATE: Duration = Duration::from_millis(700);
/// Until a watch knows of an object that was created.
const WATCH_LAG: Duration = Duration::from_secs(20);
/// How many objects are changed at the same time, those with pods that run not counted.
const AT_ONCE: usize = 60;

/// How many changes there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All.
    pub tried: usize,
    /// Those that the API server refused.
    pub refused: usize,
    /// Those that made another spec of it.
    pub taken: usize,
    /// Those that changed nothing, as a default that is removed.
    pub same: usize,
}

/// A change, from the patch to the end of the way back: what the operator says of the object meanwhile is due
/// to it.
#[derive(Clone, Debug)]
pub struct Round {
    /// The object, and what was changed.
    pub finding: Finding,
    /// From when to when.
    pub span: (Timestamp, Timestamp),
    /// The reasons that the object and its children gave meanwhile.
    pub reasons: BTreeSet<String>,
}

/// All that is gathered.
pub struct Walk {
    /// The namespace.
    pub world: World,
    permits: Semaphore,
    gathered: Mutex<Gathered>,
}

/// What came of the changes.
#[derive(Default)]
pub struct Gathered {
    /// Changes by kind.
    pub counts: BTreeMap<&'static str, Counts>,
    /// Kinds and fields of which a value was taken.
    pub taken: BTreeSet<(&'static str, String)>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Each change that was taken.
    pub rounds: Vec<Round>,
}

impl Walk {
    /// Nothing was changed yet.
    pub fn new(world: World) -> Self {
        Self { world, permits: Semaphore::new(AT_ONCE), gathered: Mutex::default() }
    }

    /// What came of the changes so far.
    pub fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was found, and prints it: a walk is long, and may be cut short.
    fn found(&self, finding: Finding) {
        if finding.excuse().is_none() {
            say(&format!("found: {finding}"));
        }
        self.gathered().findings.push(finding);
    }

    /// Carries out all changes of a base, each of its objects one after the other.
    pub async fn base(&self, base: &Base) {
        let queue = Mutex::new(VecDeque::from(base.changes()));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        join_all((0..base.slots).map(|slot| self.slot(base, slot, &next))).await;
    }

    async fn slot(&self, base: &Base, slot: usize, next: &impl Fn() -> Option<Change>) {
        let (mut made, mut object) = (0, None);
        loop {
            let _permit = self.permits.acquire().await.unwrap();
            let Some(change) = next() else { return };
            let (name, before) = if let Some(there) = object.take() {
                there
            } else {
                let name = format!("{}-{slot}-{made}", base.name);
                made += 1;
                match self.make(base, &name).await {
                    Ok(state) => (name, state),
                    Err(fault) => {
                        self.found(Finding::new(base, &name, &change, fault));
                        return self.delete(base, &name).await;
                    }
                }
            };
            if self.change(base, &name, &before, &change).await {
                object = Some((name, before));
            } else {
                self.delete(base, &name).await;
            }
        }
    }

    async fn delete(&self, base: &Base, name: &str) {
        self.world.delete(base.kind, name).await;
        if base.flow_on.is_some() {
            self.world.delete("Flow", name).await;
        }
    }

    /// Creates an object of the base, and waits until it is as its base says.
    async fn make(&self, base: &Base, name: &str) -> Result<State, Fault> {
        let of = |kind: &str, name: &str, spec: &Value| json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let no_base = |refusal: Refusal| Fault::NoBase(refusal.message);
        let mut spec = base.spec.clone();
        if let Some(cluster) = base.flow_on {
            self.world.create("Flow", &of("Flow", name, &sleeper(cluster))).await.map_err(no_base)?;
            spec["flow"] = json!(name);
        }
        self.world.create(base.kind, &of(base.kind, name, &spec)).await.map_err(no_base)?;
        for (index, spec) in base.runs.iter().enumerate() {
            let mut spec = spec.clone();
            spec["flow"] = json!(name);
            self.world
                .create("FlowRun", &of("FlowRun", &format!("{name}-{index}"), &spec))
                .await
                .map_err(no_base)?;
        }
        let begin = Instant::now();
        loop {
            sleep(LOOK_AT_STATE).await;
            let state = State::of(&self.world, base.kind, name).unwrap_or_default();
            let is_there = |(what, word): &(&str, &str)| match *what {
                "runs" => state.runs.iter().any(|run| run == word),
                condition => state.conditions.get(condition).is_some_and(|is| is == word),
            };
            let all = base.begins.iter().all(is_there) && !state.conditions.is_empty();
            if all && begin.elapsed() > REST && self.all_rest(base, name) {
                return Ok(state);
            }
            if begin.elapsed() > base.limit.max(WATCH_LAG) * 2 {
                return Err(Fault::NoBase(format!("{:?} is wanted; it is {state:?}", base.begins)));
            }
        }
    }

    /// Whether an object and all that belongs to it stand still.
    fn all_rest(&self, base: &Base, name: &str) -> bool {
        let rests = |seen: &Seen| seen.at.elapsed() >= REST;
        self.world.get(base.kind, name).is_some_and(|seen| rests(&seen))
            && self.world.family(base.kind, name).iter().all(|(_, seen)| rests(seen))
    }

    /// One change and the way back. Whether the object is as it was.
    async fn change(&self, base: &Base, name: &str, before: &State, change: &Change) -> bool {
        let world = &self.world;
        let Some(seen) = world.get(base.kind, name) else { return false };
        let (spec, generation) = (&seen.object["spec"], &seen.object["metadata"]["generation"]);
        world.forget_reasons(&keys(base.kind, name, &world.family(base.kind, name)));
        let begin = now();
        let answer = self.patch(base, name, &change.patch).await;
        let count = |counted: fn(&mut Counts)| {
            let mut gathered = self.gathered();
            let counts = gathered.counts.entry(base.kind).or_default();
            counts.tried += 1;
            counted(counts);
        };
        let answer = match answer {
            Err(refusal) => {
                count(|counts| counts.refused += 1);
                if let Some(fault) = fault_of(&refusal, change) {
                    self.found(Finding::new(base, name, change, fault));
                }
                return true;
            }
            Ok(answer) => answer,
        };
        self.gathered().taken.insert((base.kind, change.leaf.clone()));
        if answer["metadata"]["generation"] == *generation {
            count(|counts| counts.same += 1);
            return true;
        }
        count(|counts| counts.taken += 1);
        let judged = match self.rest(base, name, &answer).await {
            Ok(seen) => none(contradictions(base.kind, &seen.object).join("; "), Fault::Contradiction),
            Err(fault) => Err(fault),
        };
        // Also where something is wrong: what comes after it may be wrong as well.
        let back = self.back(base, name, before, spec).await;
        let mut faults: Vec<_> = [judged, back].into_iter().filter_map(Result::err).collect();
        faults.dedup();
        let is_good = faults.is_empty();
        for fault in faults {
            self.found(Finding::new(base, name, change, fault));
        }
        let family = world.family(base.kind, name);
        let all = family.into_iter().map(|(_, seen)| seen).chain(world.get(base.kind, name));
        let reasons = all.flat_map(|seen| seen.reasons).collect();
        let finding = Finding::new(base, name, change, Fault::Untried);
        self.gathered().rounds.push(Round { finding, span: (begin, now()), reasons });
        is_good
    }

    async fn back(&self, base: &Base, name: &str, before: &State, spec: &Value) -> Result<(), Fault> {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let answer = match self.patch(base, name, &patch).await {
            Err(refusal) if refusal.code == 404 => return Err(Fault::Deleted),
            Err(refusal) => return Err(Fault::NoWayBack(refusal.message)),
            Ok(answer) => answer,
        };
        if answer["spec"] != *spec {
            return Err(Fault::NotAsBefore(format!("the spec: {:?}", written(spec, &answer["spec"]))));
        }
        self.rest(base, name, &answer).await?;
        let begin = Instant::now();
        loop {
            let Some(state) = State::of(&self.world, base.kind, name) else { return Err(Fault::Deleted) };
            let differences = state.differences(before);
            if differences.is_empty() {
                break;
            }
            if begin.elapsed() > base.limit {
                return Err(Fault::NotAsBefore(differences.join("; ")));
            }
            sleep(LOOK_AT_STATE).await;
        }
        let seen = self.rest(base, name, &answer).await?;
        none(contradictions(base.kind, &seen.object).join("; "), Fault::Contradiction)
    }

    /// Patches until there is no conflict with somebody else who writes.
    async fn patch(&self, base: &Base, name: &str, patch: &Value) -> Result<Value, Refusal> {
        let mut tries = 0;
        loop {
            match self.world.patch(base.kind, name, patch).await {
                Err(refusal) if matches!(refusal.code, 0 | 409 | 429) && tries < 5 => tries += 1,
                answer => return answer,
            }
            sleep(LOOK_AT_STATE).await;
        }
    }

    /// Waits until the operator has seen the version that the API server answered with, and the object stands
    /// still.
    async fn rest(&self, base: &Base, name: &str, answer: &Value) -> Result<Seen, Fault> {
        let generation = answer["metadata"]["generation"].as_i64();
        let (begin, mut first) = (Instant::now(), None);
        loop {
            sleep(LOOK).await;
            let Some(seen) = self.world.get(base.kind, name) else { return Err(Fault::Deleted) };
            if !seen.object["metadata"]["deletionTimestamp"].is_null() {
                return Err(Fault::Deleted);
            }
            let first = *first.get_or_insert(seen.versions);
            let has = &seen.object["metadata"]["generation"];
            let is_current =
                has.as_i64() >= generation && seen.object["status"]["observedGeneration"] == *has;
            let rests = seen.at.elapsed() >= REST && begin.elapsed() >= REST;
            if is_current && rests {
                return Ok(seen);
            }
            if begin.elapsed() < base.limit {
                continue;
            }
            let status = &seen.object["status"];
            return Err(if is_current {
                let last = written(&seen.before, &seen.object);
                Fault::Restless(format!(
                    "{} versions in {:?}, the last one: {last:?}",
                    seen.versions - first,
                    base.limit
                ))
            } else {
                Fault::Stale(format!(
                    "{} of {has}; {}",
                    status["observedGeneration"],
                    short(&status["conditions"])
                ))
            });
        }
    }
}

/// Err with these words, if there are any.
fn none(words: String, fault: impl FnOnce(String) -> Fault) -> Result<(), Fault> {
    if words.is_empty() { Ok(()) } else { Err(fault(words)) }
}

/// What is wrong with a refusal: it must be one, and name the field.
fn fault_of(refusal: &Refusal, change: &Change) -> Option<Fault> {
    if !(400..500).contains(&refusal.code) {
        return Some(Fault::Server(format!("{} {}", refusal.code, refusal.message)));
    }
    let mut names =
        change.leaf.split(['.', '[', ']', '{', '}']).filter(|name| !name.is_empty() && *name != "spec");
    let is_named = names.any(|name| refusal.message.contains(name));
    (!is_named).then(|| Fault::Unnamed(refusal.message.clone()))
}
