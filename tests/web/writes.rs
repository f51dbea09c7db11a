//! What forms do, with the rights of whoever sends them.

use serde_json::{Value, json};

use super::visitor::Visitor;
use crate::client::stage::{RUNS, Stage, followed, furnished};

const FLOW: &str = "/apis/daskflow.dev/v1alpha1/namespaces/default/flows/nightly-report";
const CLUSTER: &str = "/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics";

/// What says of an object that it was made with the page.
fn by_page() -> Value {
    json!({"daskflow.dev/requested-by": "ui"})
}

/// The run whose page an answer leads to.
async fn run_at(stage: &Stage, location: &str) -> Value {
    let name = location.strip_prefix("/runs/default/").unwrap_or_else(|| panic!("{location:?}"));
    stage.get(&format!("{RUNS}/{name}")).await
}

#[tokio::test]
async fn a_run_is_asked_for_with_its_parameters_and_cancelled() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let path = "/flows/default/nightly-report/run";
    let created = visitor.send(path, "p.days=1&more=&time=").await;
    assert_eq!(created.code, 303, "{}", created.text);
    let run = run_at(&stage, created.header("location")).await;
    assert_eq!((&run["spec"]["flow"], &run["spec"]["parameters"]), (&json!("nightly-report"), &Value::Null));
    assert_eq!(run["metadata"]["annotations"], by_page());
    let created = visitor.send(path, "p.days=7&more=%7B%22region%22%3A%22north%22%7D&time=2026-03-29").await;
    let location = created.header("location").to_owned();
    let run = run_at(&stage, &location).await;
    assert_eq!(run["spec"]["parameters"], json!({"days": 7, "region": "north"}));
    assert_eq!(run["spec"]["scheduledTime"], "2026-03-29T00:00:00Z");
    let cancelled = visitor.send(&format!("{location}/cancel"), "").await;
    assert_eq!((cancelled.code, cancelled.header("location")), (303, location.as_str()));
    assert_eq!(run_at(&stage, &location).await["spec"]["cancel"], true);
    for (form, said) in [
        ("more=7", "no object of JSON"),
        ("time=yesterday", "is no instant"),
        ("p.days=7&time=12026-01-01", "is no instant"),
    ] {
        let refused = visitor.send(path, form).await;
        assert!(
            refused.code == 400 && refused.text.contains(said),
            "{form}: {} {}",
            refused.code,
            refused.text
        );
    }
    let other = visitor.send("/flows/default/nightly-rport/run", "").await;
    assert!(other.code == 404 && other.text.contains("did you mean nightly-report?"), "{}", other.text);
    let many = visitor.send(path, &format!("more={}", "x".repeat(300_000))).await;
    assert!(many.code == 400 && many.text.contains("larger than 256 KiB"), "{}", many.text);
}

#[tokio::test]
async fn what_has_ended_runs_again_and_what_has_not_does_not() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let again = visitor.send("/runs/default/nightly-report-20251007t000000/retry", "").await;
    let run = run_at(&stage, again.header("location")).await;
    assert_eq!(
        (&run["spec"]["scheduledTime"], &run["spec"]["parameters"]),
        (&json!("2025-10-07T00:00:00Z"), &json!({"days": 1}))
    );
    assert_eq!(run["metadata"]["annotations"], by_page());
    let refused = visitor.send("/runs/default/nightly-report-now-8kfpz/retry", "").await;
    assert!(refused.code == 400 && refused.text.contains("has not ended (Running)"), "{}", refused.text);
}

#[tokio::test]
async fn flows_and_clusters_are_suspended_and_resumed() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    for (path, object) in [("/flows/default/nightly-report", FLOW), ("/clusters/default/analytics", CLUSTER)]
    {
        for (verb, suspended) in [("suspend", true), ("resume", false)] {
            let answer = visitor.send(&format!("{path}/{verb}"), "").await;
            assert_eq!((answer.code, answer.header("location")), (303, path), "{}", answer.text);
            assert_eq!(stage.get(object).await["spec"]["suspend"], json!(suspended), "{path} {verb}");
        }
    }
    let answer = visitor.send("/flows/default/nightly-report/suspend", "back=list").await;
    assert_eq!(answer.header("location"), "/?namespace=default");
    // The page shows what the watch says.
    while !visitor.page("/").await.text.contains(">Resume</button>") {
        tokio::task::yield_now().await;
    }
    for path in ["/runs/default/nightly-report-now-8kfpz/suspend", "/flows/default/nightly-report/delete"] {
        assert_eq!(visitor.send(path, "").await.code, 404, "{path}");
    }
}

#[tokio::test]
async fn a_cluster_that_follows_another_one_has_no_button_to_suspend_it() {
    let stage = furnished().await;
    stage.put(0, followed("own")).await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let said = "belongs to the DaskCluster own of kubernetes.dask.org, which has no suspend";
    let page = visitor.page("/clusters/default/own").await.text;
    assert!(page.contains(said) && !page.contains("/clusters/default/own/suspend"), "{page}");
    for verb in ["suspend", "resume"] {
        let refused = visitor.send(&format!("/clusters/default/own/{verb}"), "").await;
        assert!(refused.code == 400 && refused.text.contains(said), "{verb}: {}", refused.text);
    }
    let other = visitor.page("/clusters/default/analytics").await.text;
    assert!(other.contains("/clusters/default/analytics/suspend"), "{other}");
}

#[tokio::test]
async fn a_backfill_is_started() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let path = "/flows/default/nightly-report/backfill";
    let started = visitor.send(path, "from=2025-10-01&to=2025-10-05&parallelism=2").await;
    assert_eq!(
        (started.code, started.header("location")),
        (303, "/flows/default/nightly-report"),
        "{}",
        started.text
    );
    let all = stage.get("/apis/daskflow.dev/v1alpha1/namespaces/default/flowbackfills").await;
    let spec = &all["items"][0]["spec"];
    assert_eq!((&spec["from"], &spec["parallelism"]), (&json!("2025-10-01T00:00:00Z"), &json!(2)));
    assert_eq!(all["items"][0]["metadata"]["annotations"], by_page());
    for (form, said) in [
        ("from=2025-10-05&to=2025-10-01", "before its beginning"),
        ("from=&to=2025-10-01", "is no instant"),
        ("from=2025-10-01&to=2025-10-02&parallelism=0", "from 1 to 100"),
    ] {
        let refused = visitor.send(path, form).await;
        assert!(refused.code == 400 && refused.text.contains(said), "{form}: {}", refused.text);
    }
}

#[tokio::test]
async fn what_a_backfill_would_do_is_shown_before_it_is_started() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let path = "/flows/default/nightly-report/backfill?from=2025-10-05&to=2025-10-08&parallelism=2";
    let seen = visitor.json(path).await;
    let ticks = seen["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 4, "{seen}");
    assert_eq!(
        (&ticks[0]["tick"], &ticks[0]["does"]),
        (&json!("2025-10-05T00:00:00Z"), &json!("run")),
        "{seen}"
    );
    // This tick has a run.
    assert_eq!(ticks[2]["run"], json!("nightly-report-20251007t000000"));
    assert!(ticks[2]["exists"].is_string() && ticks[2]["does"] != json!("run"), "{seen}");
    let page = visitor.page(path).await.text;
    assert!(page.contains("4 ticks, ") && page.contains(">Start the backfill</button>"), "{page}");
    assert!(page.contains("name=\"from\" value=\"2025-10-05T00:00:00Z\""), "{page}");
    let all = stage.get("/apis/daskflow.dev/v1alpha1/namespaces/default/flowbackfills").await;
    assert_eq!(all["items"], json!([]), "nothing is created by a look");
    // A program has the fault too, and a person no button.
    let path = "/flows/default/nightly-report/backfill?from=2025-10-05T01:00:00Z&to=2025-10-05T02:00:00Z";
    assert_eq!(visitor.json(path).await["fault"], json!("no clock of the Flow ticks in this time"));
    let page = visitor.page(path).await.text;
    assert!(page.contains("It would start nothing") && !page.contains("Start the backfill"), "{page}");
    for (path, code) in [
        ("/flows/default/nightly-report/backfill?from=x&to=2025-10-08", 400),
        ("/flows/default/nightly-report/backfill", 400),
        ("/flows/default/none/backfill?from=2025-10-05&to=2025-10-08", 404),
    ] {
        assert_eq!(visitor.page(path).await.code, code, "{path}");
    }
}

#[tokio::test]
async fn without_rights_the_words_are_those_of_the_commands() {
    let stage = furnished().await.answers("/flowruns", Some(403));
    // Runs may be neither listed nor created.
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let page = visitor.page("/runs").await;
    assert_eq!(page.code, 403, "{}", page.text);
    assert!(page.text.contains("you may not watch flowruns in the namespace default"), "{}", page.text);
    assert!(page.text.contains("ClusterRole daskflow-view"), "{}", page.text);
    assert!(!page.text.contains("http-equiv"), "it does not pass by itself: {}", page.text);
    let json = visitor.page("/runs?format=json").await;
    assert!(json.code == 403 && json.text.contains("\"code\": 403"), "{}", json.text);
    assert_eq!(visitor.page("/runs/default/nightly-report-now-8kfpz").await.code, 403);
    // The other pages are there without them.
    let said = "without runs: you may not watch flowruns in the namespace default";
    for path in ["/", "/clusters", "/attention", "/flows/default/nightly-report"] {
        let page = visitor.page(path).await;
        assert!(page.code == 200 && page.text.contains(said), "{path}: {}", page.text);
    }
    let all = visitor.json("/").await;
    assert_eq!(all["flows"][0]["name"], "nightly-report");
    assert!(all["without"][0].as_str().unwrap().starts_with(said), "{all}");
}

#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_again_where_the_api_server_is_away() {
    let stage = furnished().await.answers("/flows", Some(500));
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let page = loop {
        let page = visitor.page("/").await;
        if page.code != 200 {
            break page;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    assert_eq!(page.code, 502, "{}", page.text);
    assert!(page.text.contains("http-equiv=\"refresh\" content=\"10\""), "{}", page.text);
}
