//! `daskflow next` and `daskflow validate` of objects in a cluster.

use serde_json::{Value, json};

use super::program::Listens;
use super::stage::{Stage, furnished, ours};

/// Objects with faults that only the operator would find, as the API server takes them.
async fn with_faults() -> Stage {
    let stage = furnished().await;
    let zone = json!({"timeZone": "Europe/Pari", "clocks": [{"name": "nightly", "cron": "0 2 * * *"}]});
    let spec = json!({"cluster": {"ref": {"name": "analytics"}}, "schedule": zone});
    stage.put(0, ours("Flow", "faulty", &spec, &json!({}))).await;
    stage
        .put(0, ours("Flow", "by-hand", &json!({"cluster": {"ref": {"name": "analytics"}}}), &json!({})))
        .await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_flows_in_a_cluster_are_listed_as_those_of_files() {
    let here = Listens::new("objects_next", with_faults().await).await;
    let after = "--after 2026-03-28 --count 2";
    let (code, out, err) = here.run(&format!("daskflow next nightly-report {after}")).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let file = "daskflow status nightly-report -o json > flow.json && daskflow next -f flow.json";
    let (code, of_file, err) = here.run(&format!("{file} {after}")).await;
    assert_eq!((code, of_file.as_str()), (0, out.as_str()), "{err}");
    assert!(out.contains("nightly-report-20260328t010000") && out.lines().count() == 3, "{out}");
    let (code, out, err) =
        here.run(&format!("daskflow next flow/by-hand nightly-report -o json {after}")).await;
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, rows.as_array().unwrap().len()), (0, 2), "{err}");
    assert_eq!(err, "by-hand has no schedule: it runs when a FlowRun is created\n");
    let (code, out, err) = here.run("daskflow next faulty").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("flow/faulty: spec.schedule.timeZone: the time zone `Europe/Pari`"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_a_cluster_are_checked_as_files_are() {
    let here = Listens::new("objects_validate", with_faults().await).await;
    let all = "nightly-report analytics run/nightly-report-now-8kfpz";
    let (code, out, err) = here.run(&format!("daskflow validate {all}")).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "3 objects checked\n", ""));
    let (code, out, _) = here.run(&format!("daskflow validate flow/faulty {all}")).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("flow/faulty: spec.schedule.timeZone: the time zone `Europe/Pari`"), "{out}");
    assert!(out.ends_with("\n4 objects checked, 1 fault\n"), "{out}");
    let (_, out, _) = here.run("daskflow validate flow/faulty -o json").await;
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&json!("flow/faulty"), &Value::Null), "{out}");
}
