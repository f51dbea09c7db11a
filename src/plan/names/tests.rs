//! Names are labels, and differ where what they name differs.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[rstest]
#[case("2026-12-01T09:05:07Z", None, "dask-example-20261201t090507")]
#[case("2026-12-01T00:00:00+02:00", None, "dask-example-20261130t220000")]
#[case("2026-12-01T09:05:07Z", Some("nightly"), "dask-example-20261201t090507-2a3b")]
fn a_run_is_named_after_its_flow_tick_and_clock(
    #[case] tick: &str,
    #[case] clock: Option<&str>,
    #[case] name: &str,
) {
    assert_eq!(run_name("dask-example", at(tick), clock), name);
}

#[test]
fn flows_of_jobs_are_told_apart_where_their_names_are_cut() {
    let fits = "a".repeat(FLOW_NAME_MAX);
    assert_eq!(flow_name_for_job(&fits), fits);
    let of_month =
        |month: u8| flow_name_for_job(&format!("aggregate-sales-of-all-shops-in-europe-2026-0{month}"));
    assert_eq!((of_month(1).len(), of_month(1) == of_month(2)), (FLOW_NAME_MAX, false));
}

/// The hash is part of the format of names. If this fails, every run of a clock would be started anew by an
/// upgrade.
#[test]
fn the_hash_stays_as_it_is() {
    // printf abc | sha256sum
    assert_eq!(short_hash("abc", 8), "ba7816bf");
    assert_eq!(short_hash("abc", 64), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(short_hash("abc", 1000).len(), 64);
}

#[test]
fn a_cluster_has_the_name_of_its_run_where_that_fits() {
    let fits = "a".repeat(CLUSTER_NAME_MAX);
    assert_eq!(cluster_name_for_run(&fits), fits);
    let long = "a".repeat(CLUSTER_NAME_MAX + 1);
    let name = cluster_name_for_run(&long);
    assert_eq!(name.len(), CLUSTER_NAME_MAX);
    assert_eq!(name, format!("{}-{}", "a".repeat(44), short_hash(&long, 8)));
}

#[test]
fn children_are_named_after_their_owner() {
    assert_eq!(job_name("dask-example-20261201t090507", 1), "dask-example-20261201t090507-1");
    assert_eq!(scheduler_name("analytics"), "analytics-scheduler");
    assert_eq!(worker_name("analytics", "default", "x7k2p"), "analytics-default-x7k2p");
}

#[test]
fn clocks_of_one_hash_are_found() {
    assert_eq!(clocks_that_collide(&["nightly", "hourly", "payday"]), None);
    let names: Vec<String> = (0..2000).map(|number| format!("clock-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (one, other) = clocks_that_collide(&names).unwrap();
    assert_ne!(one, other);
    assert_eq!(clock_hash(one), clock_hash(other));
}

/// A name that users may give: a DNS label that begins with a letter.
fn name(max: usize) -> impl Strategy<Value = String> {
    let form = format!("[a-z]([a-z0-9-]{{0,{}}}[a-z0-9])?", max - 2);
    proptest::string::string_regex(&form).unwrap()
}

fn assert_label(name: &str) {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    assert!(name.len() <= LABEL_MAX, "{name} has {} characters", name.len());
    assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
    assert!(name.ends_with(ends), "{name}");
    assert!(name.chars().all(|c| ends(c) || c == '-'), "{name}");
}

/// From 1970 to 9999, in seconds.
const SECONDS: std::ops::Range<i64> = 0..253_402_200_000;

proptest! {
    #[test]
    fn every_name_is_a_label(
        flow in name(FLOW_NAME_MAX),
        cluster in name(CLUSTER_NAME_MAX),
        group in name(LABEL_MAX),
        clock in proptest::option::of("\\PC{1,63}"),
        second in SECONDS,
        attempt in 0u32..1000,
        suffix in "[a-z0-9]{5}",
    ) {
        let run = run_name(&flow, Timestamp::from_second(second).unwrap(), clock.as_deref());
        assert_label(&run);
        assert!(run.len() <= RUN_NAME_MAX);
        assert_label(&job_name(&run, attempt));
        let own = cluster_name_for_run(&run);
        assert!(own.len() <= CLUSTER_NAME_MAX);
        for cluster in [cluster, own] {
            assert_label(&cluster);
            assert_label(&scheduler_name(&cluster));
            assert_label(&worker_name(&cluster, &group, &suffix));
        }
    }

    #[test]
    fn distinct_ticks_have_distinct_names(flow in name(FLOW_NAME_MAX), one in SECONDS, other in SECONDS) {
        prop_assume!(one != other);
        let run = |second| run_name(&flow, Timestamp::from_second(second).unwrap(), Some("nightly"));
        assert_ne!(run(one), run(other));
        assert_ne!(cluster_name_for_run(&run(one)), cluster_name_for_run(&run(other)));
    }
}
