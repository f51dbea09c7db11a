//! The brain: from (spec, status, what was observed, now) to a [`Plan`], a list of steps as data.
//!
//! It is pure: no client, no clock, no randomness, no files. And it is total: a spec that makes no sense
//! gives a plan whose status says so. Whoever holds the hands (`operator` today) carries the steps out in
//! their order, then writes the status, then tells the events, and comes back when [`Next`] says.

pub mod backfill;
pub mod certificates;
pub mod cluster;
pub mod compat;
pub mod conditions;
mod count;
pub mod facts;
pub mod field;
mod figure;
pub mod flow;
pub mod lease;
pub mod names;
pub mod newest;
pub mod objects;
pub mod order;
mod part;
pub mod pods;
pub mod reading;
pub mod requests;
pub mod run;
pub mod schedule;
pub mod served;
pub mod site;
pub mod subject;
pub mod subset;
mod targets;
pub mod turns;
pub mod violation;
mod violations;
pub mod wants;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

pub use figure::{Figure, between};
pub use part::Part;
pub use targets::{Applied, Object, Take, Victim, VictimKind};
pub use wants::Wants;

use crate::api::Reason;
use run::gateway::GatewayStep;

/// What is to be done about one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S> {
    /// Writes to other objects, in this order.
    pub steps: Vec<Step>,
    /// The whole status as it should be; nothing is written when it is so already.
    pub status: S,
    /// What to tell in events: transitions only.
    pub events: Vec<Note>,
    /// What to count when the status is written.
    pub figures: Vec<Figure>,
    /// When to look again, if nothing changes before.
    pub next: Next,
    /// What it rests on: unless all of that was looked at live, it is not carried out.
    pub wants: Wants,
    /// How soon the status has to be written.
    pub urgency: Urgency,
}

/// How soon a status has to be written. What is soon over is not worth a write; until then the next plan
/// begins from it all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// Before anything that follows.
    #[default]
    Now,
    /// By this instant, if it still is so.
    By(Timestamp),
    /// By this instant; and what follows from it is planned at once.
    GoOn(Timestamp),
    /// With the next look at the object, which comes after those at all others that wait for their turn: what
    /// has been created is what they wait for as well. A status that follows from an unwritten one is
    /// written.
    InTurn,
}

impl<S> Plan<S> {
    /// A plan that writes no other object.
    pub fn status_only(status: S) -> Self {
        let (steps, events, figures) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            steps,
            status,
            events,
            figures,
            next: Next::Change,
            wants: Wants::NOTHING,
            urgency: Urgency::Now,
        }
    }
}

/// When an object is looked at again, if nothing changes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Only when something changes.
    #[default]
    Change,
    /// At this instant.
    At(Timestamp),
    /// After this time.
    After(Duration),
}

impl Next {
    /// The earlier of both, seen from `now`.
    #[must_use]
    pub fn sooner(self, other: Self, now: Timestamp) -> Self {
        let delay = |next: Self| match next {
            Self::Change => None,
            Self::At(at) => {
                Some(at.duration_since(now).unsigned_abs()).filter(|_| at > now).or(Some(Duration::ZERO))
            }
            Self::After(after) => Some(after),
        };
        match (delay(self), delay(other)) {
            (Some(a), Some(b)) if b < a => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Server-side apply of a kind that changes in place.
    Apply(Box<Applied>),
    /// Let the API server say what it thinks of a pod, without creating it.
    Try(Box<Pod>),
    /// Create; if an object of the name exists already and is owned by the same owner, it is done.
    Create(Box<Object>),
    /// Delete, if the object still has this uid.
    Delete(Victim),
    /// Make the Flow the owner of a run that a user created, and label it.
    Adopt {
        /// The run's name.
        run: String,
        /// All its owners, the Flow among them.
        owners: Vec<OwnerReference>,
        /// The labels to add.
        labels: BTreeMap<String, String>,
    },
    /// Delete a pod, if the API server would take `wanted` in its place. What it refuses must cost nothing
    /// that is there.
    Replace {
        /// The pod that is to follow.
        wanted: Box<Pod>,
        /// The pod that is there.
        victim: Victim,
    },
    /// Set an annotation of a pod that still has this uid, or take it away.
    Annotate {
        /// The pod.
        pod: Victim,
        /// The annotation.
        key: &'static str,
        /// What it is to say. None: it goes.
        value: Option<String>,
    },
    /// Let the kubelet end what still runs in a pod that has this uid; the pod and its logs stay. Nothing
    /// depends on it.
    EndPod(Victim),
    /// Set how long a Job that still has this uid may take.
    Limit {
        /// The Job.
        job: Victim,
        /// Seconds from its start. None: as long as it wants.
        seconds: Option<i64>,
    },
    /// Set `spec.cancel` of a run that still has this uid, and say who did.
    Cancel {
        /// The run's name.
        run: String,
        /// Its uid: a run of the same name that came after it is spared.
        uid: Option<String>,
        /// The annotations to add.
        annotations: BTreeMap<String, String>,
    },
    /// Make a certificate, and its authority where there is none.
    Issue(Box<Issue>),
    /// Ask cert-manager for a certificate: server-side apply of its object.
    Request(Box<Value>),
    /// Ask cert-manager no more: delete its object of this name.
    Withdraw(String),
    /// Copy the files of a certificate into a new Secret, if they are still the ones that were judged.
    Copy {
        /// The Secret that is read.
        from: String,
        /// The hash of its content.
        hash: String,
        /// The new Secret, still without files.
        to: Box<Secret>,
    },
    /// Let a Dask Gateway do something.
    Gateway(Box<GatewayStep>),
    /// Set the finalizers of a run that is still of this version.
    Finalize {
        /// The run's name.
        run: String,
        /// Its version: another one may have other finalizers.
        version: Option<String>,
        /// All its finalizers.
        finalizers: Vec<String>,
    },
    /// Begin to ask the scheduler to give these workers no more tasks; those that they run go on. It cannot
    /// be undone. What the scheduler answers is observed later.
    CloseToTasks {
        /// Their pods, whose names are their names in Dask.
        workers: Vec<Victim>,
    },
    /// Begin to ask the scheduler to let these workers go. What it answers is observed later, and a later
    /// plan deletes the pods of those that it let go.
    Retire {
        /// Their pods, whose names are their names in Dask.
        workers: Vec<Victim>,
    },
}

/// A certificate to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    /// The Secret of the authority.
    pub authority: ObjectMeta,
    /// Make the authority, too.
    pub new_authority: bool,
    /// How long a new authority is good for.
    pub authority_life: Duration,
    /// The Secret of the certificate.
    pub certificate: ObjectMeta,
    /// The DNS names in it.
    pub names: Vec<String>,
    /// How long it is good for.
    pub life: Duration,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A warning rather than a normal event.
    pub warning: bool,
    /// The reason word.
    pub reason: Reason,
    /// A sentence, stable for the same cause.
    pub message: String,
    /// Whether it is true only when the steps of the plan have been carried out: what was to be created may
    /// not have been.
    pub needs_steps: bool,
}

impl Note {
    /// A normal event.
    pub fn normal(reason: Reason, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into(), needs_steps: false }
    }

    /// A warning.
    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self { warning: true, reason, message: message.into(), needs_steps: false }
    }

    /// The same, of what the steps of the plan do.
    #[must_use]
    pub fn after_steps(self) -> Self {
        Self { needs_steps: true, ..self }
    }
}
