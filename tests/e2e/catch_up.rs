//! What starts after the operator was away for hours. Nothing here starts a Dask process: the cluster is
//! suspended, and the runs wait for it.

use std::collections::BTreeMap;

use daskflow::api::{DaskCluster, Flow, FlowRun, Reason, is_seen};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::{inline, named_run, with};
use crate::support::operator::{Operator, SHORT_LEASE};
use crate::support::{Load, Namespace, dask_cluster, poll, test, within};

/// The ticks that passed in three hours, as minutes ago: half hours from a beginning that keeps the next one
/// far from the test.
const TICKS_MIN: [i64; 6] = [165, 135, 105, 75, 45, 15];

#[tokio::test]
async fn long_outage_runs_the_newest_tick_only() {
    test("long_outage_runs_the_newest_tick_only", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &SHORT_LEASE).await;
        let asleep = with(dask_cluster("asleep", &namespace.settings.dask, 1), json!({"suspend": true}));
        namespace.create::<DaskCluster>(asleep).await;
        let base = Timestamp::from_second(now().as_second()).unwrap();
        for (name, catch_up) in [
            ("latest", json!({"policy": "Latest"})),
            ("none", json!({"policy": "None"})),
            ("all", json!({"policy": "All", "limit": 3})),
        ] {
            let clock =
                json!({"name": "half-hourly", "interval": "30m", "startAt": minutes_before(base, 255)});
            let more = json!({"catchUp": catch_up, "schedule": {"clocks": [clock]}});
            namespace.observed_flow(with(inline(name, "pass", "asleep"), more)).await;
            assert!(namespace.runs_of(name).await.is_empty(), "no tick before the Flow was created counts");
        }

        operator.stop().await;
        for name in ["latest", "none", "all"] {
            turn_back(namespace, name, minutes_before(base, 180)).await;
        }
        let started = now();
        operator.start().await;
        let expected = BTreeMap::from([("latest", (1, 5)), ("none", (0, 6)), ("all", (3, 3))]);
        poll(within(90, "the ticks that passed are dealt with"), async || {
            let seen = account(namespace).await;
            if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
        figure_seconds("operator_started_to_late_runs_created", seconds(started, now()));
        for (name, newest) in [("latest", 1), ("all", 3)] {
            let runs = namespace.runs_of(name).await;
            let ticks: Vec<_> = runs.iter().map(|run| run.spec.scheduled_time.clone().unwrap().0).collect();
            let due = TICKS_MIN[TICKS_MIN.len() - newest..].iter().map(|ago| minutes_before(base, *ago));
            assert_eq!(ticks, due.collect::<Vec<_>>(), "{name}");
        }
        let all: Vec<_> = namespace.runs_of("all").await.iter().map(ResourceExt::name_any).collect();
        namespace.until_reason(&all[0], Reason::ClusterSuspended, 30).await;
        for run in &all[1..] {
            namespace.until_reason(run, Reason::ConcurrencyForbidden, 30).await;
        }

        // Another operator reads what this one wrote: nothing is started or counted again.
        operator.stop().await;
        operator.start().await;
        for name in ["latest", "none", "all"] {
            let run: FlowRun = namespace.create(named_run(name, &format!("by-hand-{name}"), json!({}))).await;
            let wait = within(60, format!("{} is looked at", run.name_any()));
            namespace
                .until(&run.name_any(), wait, |run: &FlowRun| {
                    is_seen(run.status.as_ref().and_then(|status| status.observed_generation))
                })
                .await;
        }
        let and_by_hand = expected.into_iter().map(|(name, (runs, missed))| (name, (runs + 1, missed)));
        assert_eq!(account(namespace).await, and_by_hand.collect());
        for (name, missed) in [("latest", 5), ("none", 6), ("all", 3)] {
            let told = namespace.events(name, "TickMissed").await;
            assert_eq!(told.len(), 1, "{name}: {told:?}");
            assert!(told[0].starts_with(&format!("{missed} ticks passed without a run")), "{told:?}");
        }
    })
    .await;
}

fn minutes_before(base: Timestamp, minutes: i64) -> Timestamp {
    base - SignedDuration::from_mins(minutes)
}

/// Lets a Flow's clock remember nothing after this instant, as if the operator had stopped then.
async fn turn_back(namespace: &Namespace, name: &str, instant: Timestamp) {
    let mut clock = namespace.get::<Flow>(name).await.status.unwrap().clocks.remove(0);
    (clock.since.0, clock.last_tick) = (instant, None);
    let status: Value = json!({"status": {"clocks": [clock]}});
    let params = PatchParams::default();
    namespace.api::<Flow>().patch_status(name, &params, &Patch::Merge(status)).await.unwrap();
}

/// Of each Flow: how many runs it has, and how many ticks it missed.
async fn account(namespace: &Namespace) -> BTreeMap<&'static str, (usize, i64)> {
    let mut account = BTreeMap::new();
    for name in ["latest", "none", "all"] {
        let missed = namespace.get::<Flow>(name).await.status.unwrap().missed;
        account.insert(name, (namespace.runs_of(name).await.len(), missed));
    }
    account
}
