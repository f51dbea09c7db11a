//! The API server goes away and comes back.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::figures::figure_seconds;
use crate::support::settings::Place;
use crate::support::{Load, Namespace, leave_out, poll, test, within};
use crate::ticks;

/// How long it is away.
const OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn api_server_outage_is_survived() {
    test("api_server_outage_is_survived", Load::Disruptive, async |namespace| {
        if namespace.settings.place != Place::Embedded {
            return leave_out(
                "api_server_outage_is_survived",
                "only the embedded cluster's API server may be killed",
            );
        }
        ticks::start(namespace).await;
        ticks::next_run(namespace, 60).await;
        cluster_tool(namespace, "kill-component").await;
        let gone = namespace.try_list::<Pod>("").await;
        sleep(OUTAGE).await; // this is the outage; there is nothing to watch in it
        cluster_tool(namespace, "start-component").await;
        assert!(gone.is_err(), "the API server was away");
        poll(within(60, "the API server answers"), async || {
            namespace.try_list::<Pod>("").await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
        let back = Instant::now();
        ticks::next_run(namespace, 90).await;
        figure_seconds("api_server_back_to_next_run", back.elapsed().as_secs_f64());
        let end = ticks::next_run(namespace, 30).await;
        ticks::assert_each_once(namespace, end).await;
    })
    .await;
}

async fn cluster_tool(namespace: &Namespace, command: &str) {
    let tool = namespace.settings.cluster_tool.as_ref().expect("DASKFLOW_E2E_CLUSTER_TOOL is set");
    let output = Command::new(tool).args([command, "kube-apiserver"]).output().await.unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
