//! The Dask web UI, through the Service that the operator makes.

use daskflow::api::{Flow, Phase};

use crate::support::manifests::inline;
use crate::support::{Load, dask_cluster, poll, test, within};

#[tokio::test]
async fn dashboard_answers() {
    test("dashboard_answers", Load::Dask, async |namespace| {
        // Two workers of two threads: 60 naps of half a second take some 8 s, time enough to look.
        let cluster = namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 2)).await;
        let status = cluster.status.unwrap();
        let address = status.dashboard_address.clone().unwrap_or_default();
        assert!(address.starts_with("http://dask-scheduler."), "{status:?}");

        let (code, page) = namespace.page("dask", "status").await.unwrap();
        assert_eq!(code, 200, "{page}");
        assert!(page.contains("<html") && page.contains("Dask"), "{page}");

        let idle = namespace.counts("dask").await.unwrap();
        assert_eq!((idle["workers"].as_i64(), idle["tasks"].as_i64()), (Some(2), Some(0)), "{idle}");
        namespace.create::<Flow>(inline("busy", include_str!("flows/busy_dask.py"), "dask")).await;
        let run = namespace.start_run("busy").await;
        poll(within(90, "the dashboard shows tasks while a run is on"), async || {
            let counts = namespace.counts("dask").await?;
            let (tasks, processing) = (counts["tasks"].as_i64(), counts["processing"].as_i64());
            if tasks >= Some(1) && processing >= Some(1) { Ok(()) } else { Err(counts.to_string()) }
        })
        .await;
        namespace.until_phase(&run, Phase::Succeeded, 90).await;
    })
    .await;
}
