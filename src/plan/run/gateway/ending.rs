//! The end of a gateway's cluster, however its run ends.

use jiff::Timestamp;
use kube::ResourceExt;

use super::view::{ClusterState, Creation, GatewayView};
use super::{AT_ONCE, Found, GIVEN_UP_AFTER, SETTLES, TRY_AGAIN};
use super::{GatewayOrder, bind, forget, is_bound, order, stop, uncertain};
use crate::api::{FlowRun, FlowRunStatus, Reason};
use crate::plan::run::observed::Observed;
use crate::plan::run::phase::ASK_AGAIN;
use crate::plan::{Next, Note, Plan, Step, Victim, VictimKind};

/// One step of the end.
pub(super) struct Leaving {
    pub steps: Vec<Step>,
    pub notes: Vec<Note>,
    pub next: Next,
    /// Nothing of the cluster is left, as far as one can know.
    pub is_over: bool,
}

impl Leaving {
    fn over() -> Self {
        Self { steps: Vec::new(), notes: Vec::new(), next: Next::Change, is_over: true }
    }

    fn later(next: Next) -> Self {
        Self { next, is_over: false, ..Self::over() }
    }
}

/// Ends the cluster that this status knows of. One that the Flow has named is left to the others.
pub(super) fn leave(status: &mut FlowRunStatus, view: &GatewayView, now: Timestamp) -> Leaving {
    let Some(known) = status.gateway.as_deref().cloned() else { return Leaving::over() };
    let is_over = |status: &mut FlowRunStatus| {
        forget(status);
        Leaving::over()
    };
    let is_called = |status: &mut FlowRunStatus, name: &str| {
        if let Some(gateway) = &mut status.gateway {
            gateway.cluster = Some(name.to_owned());
        }
        Leaving::later(Next::After(AT_ONCE))
    };
    if known.shared {
        return is_over(status);
    }
    match (known.cluster.as_deref(), view) {
        (None, GatewayView::Asked(creation)) => match creation {
            Creation::Untried | Creation::Waits { .. } | Creation::Refused { .. } => is_over(status),
            Creation::Made(name) => is_called(status, name),
            Creation::Lost { at, found } => match Found::of((*at, found.as_deref()), now) {
                Found::One(name) => is_called(status, name),
                Found::NotYet => {
                    let until = at.checked_add(SETTLES).ok().filter(|until| *until > now);
                    Leaving::later(until.map_or(Next::After(ASK_AGAIN), Next::At))
                }
                Found::None(count) => {
                    let note = Note::warning(Reason::GatewayClusterUnknown, uncertain(&known, count));
                    Leaving { notes: vec![note], ..is_over(status) }
                }
            },
        },
        (Some(_), GatewayView::Cluster(cluster)) if matches!(cluster.state, ClusterState::Ended(_)) => {
            is_over(status)
        }
        (Some(name), GatewayView::Cluster(_)) => {
            let steps = vec![stop(&known, name)];
            Leaving { steps, ..Leaving::later(Next::After(ASK_AGAIN)) }
        }
        (_, GatewayView::Silent { .. }) => Leaving::later(Next::After(TRY_AGAIN)),
        _ => Leaving::later(Next::After(ASK_AGAIN)),
    }
}

/// What is added to the plan of a run that has ended: its cluster is ended, unless it is kept for a while.
pub(in crate::plan::run) fn clean_up(
    plan: &mut Plan<FlowRunStatus>,
    run: &FlowRun,
    observed: &Observed,
    (now, is_kept): (Timestamp, bool),
) {
    if is_kept && plan.status.gateway.as_ref().is_some_and(|known| !known.shared) {
        return;
    }
    let leaving = leave(&mut plan.status, &observed.gateway, now);
    plan.steps.extend(leaving.steps);
    plan.events.extend(leaving.notes);
    plan.next = plan.next.sooner(leaving.next, now);
    if leaving.is_over && is_bound(run) {
        plan.steps.push(bind(run, false));
    }
}

/// The plan of a run that is being deleted, where it is bound to its cluster. A namespace must not wait for a
/// gateway for ever, and what its runs need may be deleted before them: then the cluster is left.
pub(in crate::plan::run) fn deletion(
    run: &FlowRun,
    observed: &Observed,
    status: FlowRunStatus,
    now: Timestamp,
) -> Plan<FlowRunStatus> {
    let mut plan = Plan::status_only(status);
    if !is_bound(run) {
        return plan;
    }
    // It would else see its cluster go, and fail over that.
    plan.steps.extend(observed.job.as_ref().filter(|job| job.metadata.deletion_timestamp.is_none()).map(
        |job| {
            Step::Delete(Victim {
                kind: VictimKind::Job,
                name: job.name_any(),
                uid: job.metadata.uid.clone(),
            })
        },
    ));
    let known = plan.status.gateway.clone();
    let leaving = leave(&mut plan.status, &observed.gateway, now);
    plan.events.extend(leaving.notes);
    let asked_at = run.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let until = asked_at.checked_add(GIVEN_UP_AFTER).unwrap_or(Timestamp::MAX);
    let lacks_login = matches!(&observed.gateway, GatewayView::Silent { lacks_login: true, .. });
    if leaving.is_over {
        plan.steps.push(bind(run, false));
    } else if lacks_login || until <= now {
        let cluster =
            known.as_ref().and_then(|known| known.cluster.as_deref()).unwrap_or("of an unknown name");
        let address = known.as_ref().map(|known| known.access.address.as_str()).unwrap_or_default();
        let why = match &observed.gateway {
            GatewayView::Silent { message, .. } => message.clone(),
            _ => format!("it had not ended by {until:.0}"),
        };
        let message = format!("the cluster {cluster} of the gateway at {address} may go on: {why}");
        plan.events.push(Note::warning(Reason::GatewayClusterUnknown, message));
        plan.steps
            .extend(known.map(|known| order(&known, GatewayOrder::Leave { cluster: known.cluster.clone() })));
        plan.steps.push(bind(run, false));
    } else {
        plan.steps.extend(leaving.steps);
        plan.next = leaving.next.sooner(Next::At(until), now);
    }
    plan
}
