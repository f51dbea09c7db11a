//! Several operators, of which one works: how long it takes until another one does, and that it is never two.

mod hung;
mod process;
mod proxy;
mod slow;

use std::cell::RefCell;

use futures::future::join;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;

use crate::operator_killed::strike;
use crate::support::clock::{now, seconds, watch_until};
use crate::support::figures::figure_seconds;
use crate::support::operator::{self, Operator};
use crate::support::{Load, test, within};
use crate::ticks;

/// From the death of a leader to the next one: what users are promised.
const KILLED_S: f64 = 15.0;
/// From the end of a leader that was asked to stop to the next one: what users are promised.
const STOPPED_S: f64 = 2.0;

#[tokio::test]
async fn killed_leader_is_replaced() {
    test("killed_leader_is_replaced", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &[]).await;
        ticks::start(namespace).await;
        operator.scale(2).await;
        ticks::next_run(namespace, 60).await;

        // The process alone: its container is started anew and may have the Lease back before the other one
        // takes it.
        let leader = operator.ready_pod().await;
        let moment = now() + SignedDuration::from_secs(5);
        let taken = until_lease(&operator, |lease| acquisition(lease) > moment);
        let ((), (_, taken)) = join(strike(namespace, &leader, moment, "SIGKILL"), taken).await;
        assert_in_time("leader_process_killed_to_next", seconds(moment, taken), KILLED_S);
        ticks::next_run(namespace, 60).await;
        operator.until_ready(2).await;

        // All of it, as when a node loses its power: it says no more, and nothing starts it anew.
        let leader = operator.ready_pod().await;
        let moment = now() + SignedDuration::from_secs(5);
        let taken = until_lease(&operator, |lease| !is_held_by(lease, &leader) && !holder(lease).is_empty());
        let lost = async {
            strike(namespace, &leader, moment, "SIGSTOP").await;
            operator.delete_now(&leader.name_any()).await;
        };
        let ((), (_, taken)) = join(lost, taken).await;
        assert_in_time("leader_lost_to_next", seconds(moment, taken), KILLED_S);

        let end = ticks::next_run(namespace, 60).await;
        operator.scale(1).await;
        ticks::assert_each_once(namespace, end).await;
    })
    .await;
}

#[tokio::test]
async fn stopped_leader_hands_over_in_two_seconds() {
    test("stopped_leader_hands_over_in_two_seconds", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &[]).await;
        ticks::start(namespace).await;
        operator.scale(2).await;
        ticks::next_run(namespace, 60).await;
        let leader = operator.ready_pod().await;

        let asked = now();
        let taken = until_lease(&operator, |lease| !is_held_by(lease, &leader) && !holder(lease).is_empty());
        let stop = async {
            let pods = operator.api::<Pod>();
            pods.delete(&leader.name_any(), &DeleteParams::default()).await.unwrap();
        };
        let ((), (seen, taken)) = join(stop, taken).await;
        let released = seen.iter().find(|(_, lease)| holder(lease).is_empty());
        let (released, lease) = released.expect("the leader has released the Lease");
        assert_eq!(lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds), Some(1));
        assert_in_time("leader_released_to_next", seconds(*released, taken), STOPPED_S);
        figure_seconds("leader_deleted_to_next", seconds(asked, taken));

        let end = ticks::next_run(namespace, 60).await;
        operator.scale(1).await;
        ticks::assert_each_once(namespace, end).await;
    })
    .await;
}

/// Watches the operator's Lease until it is as wanted. The answer is all versions with the time at which each
/// was seen, and the time of the last.
async fn until_lease(
    operator: &Operator,
    wanted: impl Fn(&Lease) -> bool,
) -> (Vec<(Timestamp, Lease)>, Timestamp) {
    let seen = RefCell::new(Vec::new());
    let leases = operator.api::<Lease>();
    let wait = within(60, "the Lease is held by the next one");
    let at = watch_until(leases, operator::LEASE, wait, |lease: Option<&Lease>| {
        let lease = lease?;
        seen.borrow_mut().push((now(), lease.clone()));
        wanted(lease).then(now)
    })
    .await;
    (seen.into_inner(), at)
}

fn assert_in_time(what: &str, took: f64, limit: f64) {
    figure_seconds(what, took);
    assert!(took <= limit, "{what}: {took:.2} s, and {limit} s are promised");
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn is_held_by(lease: &Lease, pod: &Pod) -> bool {
    holder(lease) == operator::identity(pod)
}

/// When its holder began to lead, by the holder's clock, which here is the clock of this machine.
fn acquisition(lease: &Lease) -> Timestamp {
    let acquired = lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref());
    acquired.map_or(Timestamp::MIN, |time| time.0)
}
