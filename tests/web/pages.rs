//! What the pages say, and what they never have.

use std::collections::BTreeSet;

use serde_json::json;

use super::visitor::Visitor;
use crate::client::stage::{furnished, ours, runner};

const PAGES: [&str; 12] = [
    "/",
    "/?q=nightly&state=failing",
    "/runs",
    "/runs?state=failed&q=flowfailed",
    "/clusters",
    "/attention",
    "/attention?namespace=",
    "/flows/default/nightly-report",
    "/runs/default/nightly-report-20251007t000000",
    "/runs/default/nightly-report-now-8kfpz",
    "/runs/default/nightly-report-now-w4c2d",
    "/clusters/default/analytics",
];

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let mark = format!(" {attribute}=\"");
    page.split(mark.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn no_page_loads_or_runs_what_is_not_ours() {
    let visitor = Visitor::new(furnished().await.cluster).await;
    for path in PAGES {
        let page = visitor.page(path).await;
        assert_eq!(page.code, 200, "{path}: {}", page.text);
        let policy = page.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cache-control"), "no-store");
        for attribute in ["src", "href", "action", "data-live", "data-log"] {
            let is_ours = |link: &&str| {
                link.is_empty() || (link.starts_with(['/', '?', '#']) && !link.starts_with("//"))
            };
            let foreign: Vec<&str> =
                values(&page.text, attribute).into_iter().filter(|link| !is_ours(link)).collect();
            assert_eq!(foreign, Vec::<&str>::new(), "{path}: {attribute}");
        }
        // The policy would refuse it.
        assert!(!page.text.contains(" style=") && !page.text.contains("<style"), "{path}");
        assert!(page.text.matches("<script").count() == 1 && !page.text.contains(" onclick"), "{path}");
        assert!(page.text.len() < 100_000, "{path}: {} bytes", page.text.len());
    }
    for file in ["/page.js", "/style.css"] {
        let text = visitor.get(file).await.text;
        assert!(
            !text.contains("://") && !text.contains("innerHTML = ") && !text.contains("@import"),
            "{file}"
        );
    }
}

/// What a screen reader and a keyboard need, as far as the text of a page shows it.
#[tokio::test]
async fn pages_have_landmarks_labels_and_heads_of_tables() {
    let visitor = Visitor::new(furnished().await.cluster).await;
    for path in PAGES {
        let page = visitor.page(path).await.text;
        for part in
            ["<html lang=\"en\">", "<header>", "<nav ", "<main ", "<footer>", "class=\"skip\" href=\"#main\""]
        {
            assert!(page.contains(part), "{path}: {part}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count(), "{path}");
        let headless = page.matches("<th>").count();
        assert_eq!(headless, 0, "{path}: every head of a table says what it is of");
        let ids = values(&page, "id");
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{path}: {ids:?}");
        for named in values(&page, "aria-labelledby") {
            assert!(ids.contains(&named), "{path}: {named}");
        }
        for field in page.split("<input ").skip(1) {
            let (field, _) = field.split_once('>').unwrap();
            let at = page.find(field).unwrap();
            let before = page.get(..at).unwrap();
            let in_label = before.rfind("<label") > before.rfind("</label>");
            assert!(field.contains("type=\"hidden\"") || in_label, "{path}: {field}");
        }
        for part in page.split("data-part").skip(1).zip(page.split("data-part")) {
            assert!(
                part.1.rsplit('<').next().unwrap().contains(" id=\""),
                "{path}: a part is found by its id"
            );
        }
    }
}

#[tokio::test]
async fn what_users_write_is_shown_as_they_wrote_it() {
    let stage = furnished().await;
    let evil = "</pre><script>alert(1)</script>\"'<img src=x onerror=alert(2)>";
    let failed = json!({
        "phase": "Failed", "reason": evil, "message": evil, "attempt": 1, "job": evil, "cluster": evil,
        "startedAt": stage.ago(60), "finishedAt": stage.ago(50), "mergedParameters": {evil: evil},
        "lastFailure": {"phase": "Failed", "reason": evil, "message": evil, "at": stage.ago(55)},
    });
    let name = "nightly-report-evil";
    stage
        .put(
            70,
            ours("FlowRun", name, &json!({"flow": "nightly-report", "parameters": {evil: evil}}), &failed),
        )
        .await;
    stage.put(70, runner(name, 1, "Failed")).await;
    stage.logs.write(&format!("{name}-1"), stage.ago(55), evil);
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "InvalidSchedule", "message": evil, "lastTransitionTime": stage.now,
    });
    let flow = ours(
        "Flow",
        "evil",
        &json!({"cluster": {"ref": {"name": "analytics"}}, "parameters": {evil: evil}, "code": {"inline": evil}}),
        &json!({"schedule": evil, "conditions": [condition]}),
    );
    stage.put(70, flow).await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let escaped = "&#60;script&#62;alert(1)";
    let log = format!("/runs/default/{name}");
    let find = format!("{log}?find=%3C%2Fpre%3E%3Cscript%3E");
    for path in [
        "/",
        "/runs",
        "/attention",
        "/flows/default/evil",
        &log,
        &find,
        "/runs?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E%3Cscript%3Ealert(1)",
        "/?namespace=%22%3E%3Cscript%3Ealert(1)",
        "/flows/default/%3Cscript%3Ealert(1)",
    ] {
        let page = visitor.page(path).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(!page.text.contains("<script>") && !page.text.contains("<img"), "{path}: {}", page.text);
        let is_shown = page.text.contains(escaped);
        assert!(
            is_shown || path.contains("namespace=") || path.contains("%3Cscript%3Ealert(1)"),
            "{path}: {}",
            page.text
        );
    }
    // The log with all of it, and twice the message.
    let page = visitor.page(&log).await.text;
    assert!(page.matches(escaped).count() >= 4, "{page}");
    let json = visitor.json(&log).await;
    assert_eq!((&json["message"], &json["log"]["lines"][0]), (&json!(evil), &json!(evil)));
    let whole = visitor.get(&format!("{log}/log")).await;
    assert_eq!((whole.header("content-type"), whole.text.trim()), ("text/plain; charset=utf-8", evil));
    assert_eq!(whole.header("content-disposition"), format!("attachment; filename=\"{name}-1.log\""));
}

/// No template has a way around the escaping.
#[test]
fn templates_escape_everything() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        assert!(entry.path().extension().is_some_and(|kind| kind == "html"), "{}", entry.path().display());
        for way in ["|safe", "| safe", "|escape(", "autoescape"] {
            assert!(!text.contains(way), "{}: {way}", entry.path().display());
        }
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[tokio::test]
async fn flows_are_shown_with_their_past_and_their_next_run() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let all = visitor.json("/").await;
    let flow = &all["flows"][0];
    assert_eq!(
        (&flow["name"], &flow["well"], &flow["active"]),
        (&json!("nightly-report"), &json!("2 of 4"), &json!(2))
    );
    assert_eq!((&flow["failed_in_a_row"], &flow["suspended"]), (&json!(1), &json!(false)));
    let phases: Vec<&str> =
        flow["runs"].as_array().unwrap().iter().map(|run| run["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["Succeeded", "TimedOut", "Succeeded", "Failed", "Running", "Queued"]);
    let page = visitor.page("/").await.text;
    for part in [
        "<a href=\"/flows/default/nightly-report\">nightly-report</a>",
        "<a href=\"/runs/default/nightly-report-20251007t000000\"><rect class=\"f\"",
        "<title>Failed: FlowFailed, 9 s, 3 h ago</title>",
        "(in 13 h)",
        "0 2 * * * Europe/Paris",
        "aria-label=\"suspend nightly-report\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(visitor.json("/?state=suspended").await["flows"], json!([]));
    assert_eq!(visitor.json("/?q=REPORT&state=failing").await["listing"]["total"], 1);
    let one = visitor.page("/flows/default/nightly-report").await.text;
    for part in [
        "The last weeks, Monday first (Europe/Paris)",
        ">days <input name=\"p.days\" value=\"1\"",
        " 02:00:00 CE",
        "<a href=\"/clusters/default/analytics\">analytics</a>",
        "timeZone: Europe/Paris",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let one = visitor.json("/flows/default/nightly-report").await;
    assert_eq!(
        (one["coming"].as_array().unwrap().len(), &one["coming"][0]["zone"]),
        (10, &json!("Europe/Paris"))
    );
    assert_eq!(
        one["calendar"].as_array().unwrap().iter().map(|day| day["bad"].as_u64().unwrap()).sum::<u64>(),
        2
    );
    let manifest = visitor.get("/flows/default/nightly-report/manifest").await.text;
    assert!(manifest.contains("kind: Flow") && !manifest.contains("status:"), "{manifest}");
    let empty = visitor.page("/?namespace=elsewhere").await.text;
    assert!(empty.contains("There is no Flow in the namespace elsewhere"), "{empty}");
}

#[tokio::test]
async fn a_run_is_shown_with_why_where_its_time_went_and_its_log() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let failed = "/runs/default/nightly-report-20251007t000000";
    let page = visitor.page(failed).await.text;
    for part in [
        "<strong>FlowFailed</strong>",
        "task &#39;load&#39;: ValueError: no such region (report.py:31)",
        "→ The message names the task and its error.",
        "<dt>Exit code</dt><dd>3</dd>",
        "&#34;days&#34;: 1",
        "loading 1 day\nValueError: no such region\n",
        ">Run again</button>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("Cancel</button>"), "{page}");
    let json = visitor.json(failed).await;
    assert_eq!(
        (&json["phase"], &json["ended"], &json["attempts"][0]["number"]),
        (&json!("Failed"), &json!(true), &json!(2))
    );
    let stages: Vec<&str> =
        json["stages"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(stages, ["waiting", "attempt 2"]);
    let found = visitor.json(&format!("{failed}?find=valueerror")).await;
    assert_eq!(found["log"]["lines"], json!(["ValueError: no such region"]));
    assert_eq!(found["log"]["note"], "1 lines with “valueerror”");
    let lost = visitor.page(&format!("{failed}?attempt=1")).await.text;
    assert!(lost.contains("is no longer there, and its log went with it"), "{lost}");
    // Of one that runs there is more to come.
    let running = visitor.page("/runs/default/nightly-report-now-8kfpz").await.text;
    assert!(
        running.contains("data-log=\"/runs/default/nightly-report-now-8kfpz/log/live?attempt=1&#38;after="),
        "{running}"
    );
    assert!(running.contains(">Cancel</button>") && running.contains("so far</td>"), "{running}");
    let workers = visitor.json("/runs/default/nightly-report-now-8kfpz?workers=1").await;
    let lines = workers["log"]["lines"].to_string();
    assert!(
        lines.contains("analytics-default-q9mzt loading a part") && !lines.contains("Registered"),
        "{lines}"
    );
    let queued = visitor.page("/runs/default/nightly-report-now-w4c2d").await.text;
    assert!(
        queued.contains("has no log yet: it is Queued") && queued.contains("id=\"log\" data-part"),
        "{queued}"
    );
}

#[tokio::test]
async fn what_fails_waits_and_is_late_is_in_one_place() {
    let stage = furnished().await;
    let late = json!({"nextTick": stage.ago(3600)});
    stage
        .put(9000, ours("Flow", "forgotten", &json!({"cluster": {"ref": {"name": "analytics"}}}), &late))
        .await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let all = visitor.json("/attention").await;
    assert_eq!(
        (&all["failing"][0]["name"], &all["failing"][0]["in_a_row"]),
        (&json!("nightly-report"), &json!(1))
    );
    let why = all["failing"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("FlowFailed: task 'load'"), "{why}");
    assert_eq!(all["waiting"].as_array().unwrap().len(), 1);
    assert_eq!(
        all["waiting"][0]["why"],
        "ConcurrencyForbidden: waits for nightly-report-now-8kfpz, as concurrency is Forbid"
    );
    assert_eq!(all["late"].as_array().unwrap().len(), 1, "{all}");
    assert!(
        all["late"][0]["why"].as_str().unwrap().contains("60 m ago, and no operator has created it"),
        "{all}"
    );
}

#[tokio::test]
async fn what_waits_for_a_person_or_was_not_there_earlier_needs_no_look() {
    let stage = furnished().await;
    let queued = json!({"phase": "Queued", "waitsFor": "Resume", "reason": "Suspended"});
    let of = |more: serde_json::Value| {
        let mut spec = json!({"flow": "nightly-report"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let suspended = ours("FlowRun", "nightly-report-suspended", &of(json!({"suspend": true})), &queued);
    stage.put(9000, suspended).await;
    // A tick of an hour ago with a jitter: its run was created a minute ago.
    let waits = json!({"phase": "Provisioning", "reason": "ClusterStarting"});
    let mut ticks = Vec::new();
    for (tick, created) in [(3600, 60), (7200, 1800)] {
        let tick = stage.ago(tick);
        let name = format!("nightly-report-{}", tick.strftime("%Y%m%dt%H%M%S"));
        let spec = of(json!({"clock": "nightly", "scheduledTime": tick}));
        stage.put(created, ours("FlowRun", &name, &spec, &waits)).await;
        ticks.push(name);
    }
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let all = visitor.json("/attention").await;
    let names = |part: &str| -> Vec<String> {
        let rows = all[part].as_array().unwrap().iter();
        let mut names: Vec<String> = rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert!(!names("waiting").contains(&"nightly-report-suspended".to_owned()), "{all}");
    assert!(names("waiting").contains(&ticks[0]), "{all}");
    let late = names("late");
    assert!(late.contains(&ticks[1]) && !late.contains(&ticks[0]), "{all}");
    assert!(!late.contains(&"nightly-report-suspended".to_owned()), "{all}");
}

#[tokio::test]
async fn all_runs_of_a_flow_are_those_of_no_other() {
    let stage = furnished().await;
    stage
        .put(60, ours("FlowRun", "nightly-report-2-a", &json!({"flow": "nightly-report-2"}), &json!({})))
        .await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let flow = visitor.page("/flows/default/nightly-report").await.text;
    assert!(flow.contains("href=\"/runs?namespace=default&amp;flow=nightly-report\""), "{flow}");
    let all = visitor.json("/runs?flow=nightly-report").await;
    let runs = all["runs"].as_array().unwrap();
    assert!(!runs.is_empty() && runs.iter().all(|run| run["flow"] == "nightly-report"), "{all}");
    assert_eq!(visitor.json("/runs?flow=nightly").await["listing"]["total"], 0);
    let page = visitor.page("/runs?flow=nightly-report").await.text;
    assert!(page.contains("name=\"flow\" value=\"nightly-report\""), "a search stays within it: {page}");
}

#[tokio::test]
async fn a_run_leads_to_the_dashboard_behind_its_gateway() {
    let stage = furnished().await;
    let gateway = json!({
        "access": {"address": "https://hub/gw", "auth": {"type": "JupyterHub", "secretName": "login"}}, "attempt": 1,
        "askedAt": stage.ago(60), "cluster": "c1", "secretName": "s", "dashboard": "/clusters/c1/status",
    });
    let status = json!({"phase": "Running", "attempt": 1, "cluster": "https://hub/gw", "gateway": gateway});
    stage.put(60, ours("FlowRun", "at-hub", &json!({"flow": "nightly-report"}), &status)).await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let page = visitor.page("/runs/default/at-hub").await.text;
    let link =
        "<dt>Dashboard</dt><dd><a href=\"https://hub/gw/clusters/c1/status\" rel=\"noreferrer noopener\"";
    assert!(page.contains(link), "{page}");
    let other = visitor.page("/runs/default/nightly-report-now-8kfpz").await.text;
    assert!(!other.contains("<dt>Dashboard</dt>"), "{other}");
}

#[tokio::test]
async fn a_cluster_is_shown_with_its_groups_and_who_uses_it() {
    let stage = furnished().await;
    let ends = json!({"tls": {"notAfter": stage.now + jiff::SignedDuration::from_hours(72)}});
    stage.set_status("/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics", &ends).await;
    let visitor = Visitor::with(stage.cluster.clone(), |options| {
        options.links.dashboard = Some("https://dask.example/${namespace}/${name}/".to_owned());
    })
    .await;
    let page = visitor.page("/clusters/default/analytics").await.text;
    for part in [
        "<dt>Certificates end</dt>",
        "(in 2 d)",
        "<th scope=\"row\">gpu</th><td>1 of 1</td>",
        "<a href=\"/flows/default/nightly-report\">nightly-report</a>",
        "<a href=\"/runs/default/nightly-report-now-8kfpz\">",
        "href=\"https://dask.example/default/analytics/\" rel=\"noreferrer noopener\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let all = visitor.json("/clusters").await;
    assert_eq!((&all["clusters"][0]["workers"], &all["clusters"][0]["runs"]), (&json!(3), &json!(1)));
}
