//! An API server whose every answer is late, over the connections and with the TLS of the operator.

use std::time::Duration;

use tokio::time::sleep;

use super::hung::{Witness, lease};
use super::process::{Folder, Operator};
use super::proxy::Proxy;
use crate::support::{Load, test};

/// How late answers are. The operator promises to bear 4 s: the rest is for what the API server and a busy
/// machine add to it, which was more than half a second beside the start of all other tests. The law and the
/// tests over loopback have the 4 s.
const LATE: Duration = Duration::from_secs(3);
/// Long enough for a leader that does not bear it to be lost several times, and for the Lease to be taken.
const LASTS: Duration = Duration::from_secs(45);

/// The Lease is as long as the operator has it by itself.
#[tokio::test]
async fn slow_api_server_costs_no_lease() {
    test("slow_api_server_costs_no_lease", Load::Objects, async |namespace| {
        let folder = Folder::make(&namespace.name);
        let over_proxy = folder.0.join("kubeconfig");
        let proxy = Proxy::to_the_api_server(&over_proxy).await;
        let first = Operator::start_with(namespace, "first", &folder.0, Some(&over_proxy), &[]).await;
        first.until("leader", 60).await;
        let second = Operator::start_with(namespace, "second", &folder.0, None, &[]).await;
        second.until("standby, first_", 60).await;
        let witness = Witness::of([first.port(), second.port()]);
        witness.until_seen([true, false]).await;
        let before = lease(namespace).await;

        proxy.delay(LATE);
        sleep(LASTS).await;
        first.until("leader", 20).await;
        second.until("standby, first_", 20).await;
        proxy.delay(Duration::ZERO);
        sleep(LATE).await;
        first.until("leader", 20).await;
        witness.assert_never_two();
        let after = lease(namespace).await;
        assert_eq!(
            (before.holder_identity, before.acquire_time, before.lease_transitions),
            (after.holder_identity, after.acquire_time, after.lease_transitions),
        );
        assert!(!first.log().contains("no longer leads"), "{}", first.log());
    })
    .await;
}
