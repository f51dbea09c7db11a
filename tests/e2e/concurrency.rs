//! Runs that want to be active at once: replaced, queued, and held by a cluster that limits them.

use daskflow::api::{Flow, FlowRun, Phase, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::{next_multiple, now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::{inline, named_run, with};
use crate::support::namespace::phase_of;
use crate::support::runners::{assert_at_most, is_of_flow};
use crate::support::timeline::Timeline;
use crate::support::{Load, Namespace, Shared, dask_cluster, poll, test, test_on, within};

/// Seconds between the ticks of the flow whose runs are replaced.
const INTERVAL_S: i64 = 10;

#[tokio::test]
async fn replace_stops_the_active_run() {
    test_on(Shared::Dask, "replace_stops_the_active_run", async |namespace| {
        let (pods, runs) = (Timeline::<Pod>::watch(namespace), Timeline::<FlowRun>::watch(namespace));
        // Three ticks of runs that would sleep for ten minutes: two are replaced, the last one goes on.
        let first = next_multiple(now() + SignedDuration::from_secs(2), INTERVAL_S);
        let last = Timestamp::from_second(first.as_second() + 2 * INTERVAL_S).unwrap();
        let clock =
            json!({"name": "often", "interval": format!("{INTERVAL_S}s"), "startAt": first, "endAt": last});
        let more = json!({"concurrency": "Replace", "schedule": {"clocks": [clock]}});
        namespace.create::<Flow>(with(sleeper("replaced"), more)).await;
        // The same ticks under Forbid: the first run goes on beyond the last of them.
        let sleep_s = 2 * INTERVAL_S + 4;
        let more = json!({"schedule": {"clocks": [clock]}, "parameters": {"seconds": sleep_s}});
        namespace.create::<Flow>(with(sleeper("kept"), more)).await;

        let all = until_the_last_runs(namespace, "replaced", last).await;
        assert_replaced(&all[0], &all[1]);
        // Where the first one's pod takes longer to end than the next tick to come, the one in the middle
        // never had its turn: it gives way in the queue.
        match reason_of(&all[1]).as_str() {
            "Superseded" => assert_eq!(phase_of(&all[1]), Phase::Skipped),
            _ => assert_replaced(&all[1], &all[2]),
        }
        let (due, name) = (all[2].spec.scheduled_time.clone().unwrap().0, all[2].name_any());
        let is_at_work = |run: &FlowRun| run.name_any() == name && phase_of(run) == Phase::Running;
        let runs_at = runs.when(format!("{name} is at work"), is_at_work).await;
        figure_seconds("replace_tick_to_runner_running", seconds(due, runs_at));
        let all = until_the_last_runs(namespace, "kept", last).await;
        let ends: Vec<_> = all.iter().map(|run| (phase_of(run), reason_of(run))).collect();
        assert_eq!(ends[0], (Phase::Succeeded, "Succeeded".into()), "under Forbid the active run goes on");
        assert_eq!(ends[1], (Phase::Skipped, "Superseded".into()), "of those that wait only the newest runs");
        for flow in ["replaced", "kept"] {
            assert_at_most(1, &pods, |pod| is_of_flow(pod, flow));
        }
    })
    .await;
}

/// The older run was at work, or about to be, and was ended for the newer one, which its message names.
fn assert_replaced(older: &FlowRun, newer: &FlowRun) {
    assert_eq!(
        (phase_of(older), reason_of(older)),
        (Phase::Cancelled, "Replaced".into()),
        "{:?}",
        older.status
    );
    let message = older.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    assert!(message.contains(&newer.name_any()), "it names the run that takes its place: {message}");
}

/// The three runs of a flow, once the last one is at work and the others have ended.
async fn until_the_last_runs(namespace: &Namespace, flow: &str, last: Timestamp) -> Vec<FlowRun> {
    let wait = within(90, format!("the run of {flow} at {last} is at work, and the others have ended"));
    poll(wait, async || {
        let all = namespace.runs_of(flow).await;
        let open: Vec<_> = all.iter().filter(|run| !phase_of(run).is_final()).collect();
        let newest = all.last().and_then(|run| run.spec.scheduled_time.as_ref()).map(|time| time.0);
        let done = newest == Some(last) && open.len() == 1 && phase_of(open[0]) == Phase::Running;
        let seen: Vec<_> = all.iter().map(|run| (run.name_any(), phase_of(run), reason_of(run))).collect();
        if done && all.len() == 3 { Ok(all) } else { Err(format!("{seen:?}")) }
    })
    .await
}

fn reason_of(run: &FlowRun) -> String {
    run.status.as_ref().and_then(|status| status.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn queue_runs_in_order() {
    test_on(Shared::Dask, "queue_runs_in_order", async |namespace| {
        let (pods, seen) = (Timeline::<Pod>::watch(namespace), Timeline::<FlowRun>::watch(namespace));
        // All four are kept: on a busy machine the first would be forgotten before it is looked at.
        let history = json!({"succeeded": 10});
        let more = json!({"concurrency": "Queue", "maxActive": 2, "maxQueued": 2, "history": history});
        namespace.observed_flow(with(sleeper("queued"), more)).await;
        // The first two end one after the other, so that the order of the next two can be told.
        for (name, sleep_s) in [("q-1", 6), ("q-2", 10), ("q-3", 1), ("q-4", 1), ("q-5", 1)] {
            create_run(namespace, "queued", name, sleep_s).await;
        }
        let full = namespace.until_ended("q-5", 30).await;
        assert_eq!((full.phase, full.reason.as_deref()), (Phase::Skipped, Some("QueueFull")), "{full:?}");
        let message = full.message.clone().unwrap_or_default();
        assert!(message.contains("maxQueued is 2"), "{message}");
        for run in ["q-3", "q-4"] {
            let held = namespace.until_reason(run, Reason::MaxActiveReached, 30).await;
            assert_eq!(held.phase, Phase::Queued, "{held:?}");
            let message = held.message.clone().unwrap_or_default();
            assert!(message.contains("maxActive is 2"), "{message}");
        }
        for run in ["q-1", "q-2", "q-3", "q-4"] {
            namespace.until_phase(run, Phase::Succeeded, 120).await;
        }
        let (first, second) = (begins(&seen, "q-1").await, begins(&seen, "q-2").await);
        let (third, fourth) = (begins(&seen, "q-3").await, begins(&seen, "q-4").await);
        // The first two have their places at once, and begin side by side.
        assert!(first.max(second) <= third && third <= fourth, "first come, first served");
        let place = ends(&seen, "q-1").await;
        assert!(place <= third, "the third began before there was a place");
        figure_seconds("queue_place_free_to_next_run", seconds(place, third));
        assert_eq!(assert_at_most(2, &pods, |pod| is_of_flow(pod, "queued")), 2, "two were active at once");
    })
    .await;
}

#[tokio::test]
async fn shared_cluster_limits_runs_of_all_flows() {
    test("shared_cluster_limits_runs_of_all_flows", Load::Dask, async |namespace| {
        let limited = with(dask_cluster("dask", &namespace.settings.dask, 1), json!({"maxActiveRuns": 1}));
        namespace.ready_cluster(limited).await;
        let (pods, seen) = (Timeline::<Pod>::watch(namespace), Timeline::<FlowRun>::watch(namespace));
        for flow in ["left", "right"] {
            namespace.observed_flow(with(sleeper(flow), json!({"concurrency": "Allow"}))).await;
        }
        // Times of creation have whole seconds, and the names are in another order than the times.
        let runs = [("left", "zebra", 6), ("right", "ant", 1), ("left", "mule", 1)];
        for (flow, name, sleep_s) in runs {
            create_run(namespace, flow, name, sleep_s).await;
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        }
        for name in ["ant", "mule"] {
            let held = namespace.until_reason(name, Reason::ClusterBusy, 30).await;
            assert_eq!(held.phase, Phase::Queued, "{held:?}");
            let message = held.message.clone().unwrap_or_default();
            assert!(message.contains("maxActiveRuns is 1"), "{message}");
        }
        for (_, name, _) in runs {
            namespace.until_phase(name, Phase::Succeeded, 90).await;
        }
        for pair in ["zebra", "ant", "mule"].windows(2) {
            let (end, begin) = (ends(&seen, pair[0]).await, begins(&seen, pair[1]).await);
            assert!(end <= begin, "{} began before {} had ended", pair[1], pair[0]);
            figure_seconds("cluster_place_free_to_next_run", seconds(end, begin));
        }
        assert_at_most(1, &pods, |_| true);
    })
    .await;
}

/// A Flow that sleeps on the cluster `dask`.
fn sleeper(name: &str) -> Value {
    inline(name, include_str!("flows/sleeping.py"), "dask")
}

async fn create_run(namespace: &Namespace, flow: &str, name: &str, sleep_s: i64) {
    namespace.create::<FlowRun>(named_run(flow, name, json!({"seconds": sleep_s}))).await;
}

/// When a run was let through.
async fn begins(runs: &Timeline<FlowRun>, name: &str) -> Timestamp {
    let begun = |run: &FlowRun| !matches!(phase_of(run), Phase::Queued | Phase::Skipped);
    runs.when(format!("{name} begins"), |run| run.name_any() == name && begun(run)).await
}

/// When a run ended.
async fn ends(runs: &Timeline<FlowRun>, name: &str) -> Timestamp {
    runs.when(format!("{name} ends"), |run| run.name_any() == name && phase_of(run).is_final()).await
}
