//! What deciding costs: one look at an object that needs nothing, and at one that is due. No cluster is involved.
//!
//! `make bench` prints the median of the runs, in microseconds for one plan.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use daskflow::api::common::NameRef;
use daskflow::api::flow::{ClockEntry, ClusterSource, Schedule};
use daskflow::api::{DaskCluster, DaskClusterSpec, Flow, FlowSpec};
use daskflow::plan::{cluster, flow};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const ROUNDS: usize = 21;
const PLANS: u32 = 1_000;

fn main() {
    let now: Timestamp = "2026-12-01T09:00:30Z".parse().unwrap();
    for (name, clock) in [("interval", interval()), ("cron in a zone", cron())] {
        let mut subject = scheduled(clock, now);
        let observed = flow::Observed { cluster_exists: true, live: true, ..flow::Observed::default() };
        subject.status = Some(flow::plan(&subject, &observed, now).status);
        let at_rest = median(|| drop(black_box(flow::plan(black_box(&subject), &observed, now))));
        println!("a Flow at rest, {name}: {at_rest:.1} us");
        let a_day_later: Timestamp = "2026-12-02T09:00:30Z".parse().unwrap();
        let outage = median(|| drop(black_box(flow::plan(black_box(&subject), &observed, a_day_later))));
        println!("a Flow after an outage of a day, {name}: {outage:.1} us");
    }
    let mut subject = DaskCluster::new(
        "analytics",
        DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() },
    );
    subject.spec.workers.replicas = 10;
    let observed = cluster::Observed { live: true, ..cluster::Observed::default() };
    let new = median(|| drop(black_box(cluster::plan(black_box(&subject), &observed, now))));
    println!("a new DaskCluster of 10 workers: {new:.1} us");
}

fn interval() -> ClockEntry {
    ClockEntry { name: "c".into(), interval: Some("1m".into()), ..ClockEntry::default() }
}

fn cron() -> ClockEntry {
    ClockEntry { name: "c".into(), cron: Some("*/5 8-18 * * 1-5".into()), ..ClockEntry::default() }
}

fn scheduled(clock: ClockEntry, created: Timestamp) -> Flow {
    let spec = FlowSpec {
        cluster: ClusterSource {
            ref_: Some(NameRef { name: "analytics".into() }),
            ..ClusterSource::default()
        },
        schedule: Some(Schedule {
            time_zone: Some("Europe/Paris".into()),
            clocks: vec![clock],
            ..Schedule::default()
        }),
        ..FlowSpec::default()
    };
    let mut flow = Flow::new("etl", spec);
    flow.metadata.creation_timestamp = Some(Time(created));
    flow
}

/// Microseconds for one call, the median of the rounds.
fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..PLANS).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(PLANS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}
