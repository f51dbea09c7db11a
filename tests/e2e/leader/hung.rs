//! An API server that hangs for one of two operators, and a leader that is stopped for longer than its Lease
//! lasts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::process::{Folder, LEASE, LEASE_S, Operator, leads};
use super::proxy::Proxy;
use crate::support::figures::figure_seconds;
use crate::support::{Load, Namespace, poll, test, within};

/// The operators are processes of the test, and one API server is all that they need.
#[tokio::test]
async fn hung_api_server_never_makes_two_leaders() {
    test("hung_api_server_never_makes_two_leaders", Load::Objects, async |namespace| {
        let folder = Folder::make(&namespace.name);
        let over_proxy = folder.0.join("kubeconfig");
        let proxy = Proxy::to_the_api_server(&over_proxy).await;

        let mut first = Operator::start(namespace, "first", &folder.0, Some(&over_proxy)).await;
        first.until("leader", 60).await;
        let mut second = Operator::start(namespace, "second", &folder.0, None).await;
        second.until("standby, first_", 60).await;
        let witness = Witness::of([first.port(), second.port()]);
        witness.until_seen([true, false]).await;

        proxy.hang();
        let hung = Instant::now();
        let ended = first.until_ended(LEASE_S + 5).await;
        figure_seconds("hung_leader_ended", hung.elapsed().as_secs_f64());
        assert!(!ended.success(), "{ended}");
        assert!(first.log().contains("no longer leads"), "{}", first.log());
        assert!(!leads(second.port()).await, "it ended before another one could take its place");
        second.until("leader", 2 * LEASE_S).await;
        figure_seconds("hung_leader_replaced", hung.elapsed().as_secs_f64());
        witness.until_seen([false, true]).await;
        witness.assert_never_two();

        let third = Operator::start(namespace, "third", &folder.0, None).await;
        third.until("standby, second_", 60).await;
        let witness = Witness::of([second.port(), third.port()]);
        witness.until_seen([true, false]).await;
        second.signal("-STOP").await;
        let stopped = Instant::now();
        third.until("leader", 2 * LEASE_S).await;
        figure_seconds("paused_leader_replaced", stopped.elapsed().as_secs_f64());
        let (before, logged) = (lease(namespace).await, second.log().len());
        second.signal("-CONT").await;
        let ended = second.until_ended(5).await;
        assert!(!ended.success(), "{ended}");
        let after = lease(namespace).await;
        assert_eq!(
            (before.holder_identity, before.lease_transitions),
            (after.holder_identity, after.lease_transitions),
            "the one that was stopped has not touched the Lease"
        );
        let log = second.log();
        assert!(log[logged..].contains("no longer leads"), "{log}");
        witness.until_seen([false, true]).await;
        witness.assert_never_two();
        assert!(leads(third.port()).await, "{}", third.log());
    })
    .await;
}

/// What the Lease says.
pub async fn lease(namespace: &Namespace) -> LeaseSpec {
    namespace.get::<Lease>(LEASE).await.spec.unwrap()
}

/// Asks two operators over and over whether they lead.
pub struct Witness {
    /// What was seen: which of the two said that they lead.
    seen: Arc<Mutex<BTreeSet<[bool; 2]>>>,
    _task: AbortOnDropHandle<()>,
}

impl Witness {
    /// Of the operators that listen there.
    pub fn of(ports: [u16; 2]) -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let log = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                // One after the other, and at most a second apart: less than lies between the end of a claim
                // and the end of the Lease.
                let leads = [leads(ports[0]).await, leads(ports[1]).await];
                log.lock().unwrap_or_else(PoisonError::into_inner).insert(leads);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { seen, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until it has been so at least once.
    pub async fn until_seen(&self, leads: [bool; 2]) {
        poll(within(10, format!("leaders are {leads:?}")), async || {
            let seen = self.seen();
            if seen.contains(&leads) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    /// At no moment have both said so.
    pub fn assert_never_two(&self) {
        assert!(!self.seen().contains(&[true, true]), "two led at once");
    }

    fn seen(&self) -> BTreeSet<[bool; 2]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
