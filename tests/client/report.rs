//! `daskflow report`: what is in it, and what never is.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::program::Listens;
use super::stage::{RUNS, furnished, ours, pod, runner};

/// What must be in no file.
const PLANTED: &str = "hunter2-is-planted";

/// Puts the password wherever people, and daskflow, put such things.
async fn planted() -> Listens {
    let here = Listens::new("report_planted", furnished().await).await;
    let stage = &here.stage;
    let data = json!({"password": ByteString(PLANTED.as_bytes().to_vec())});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": data});
    stage.put(0, secret).await;
    let env = json!([{"name": "DB", "value": PLANTED}, {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    let mut flow = ours(
        "Flow",
        "etl",
        &json!({
            "cluster": {"ref": {"name": "analytics"}}, "env": env,
            "parameters": {"region": "north", "db": {"password": PLANTED}},
            "args": ["--db-password", PLANTED, format!("--token={PLANTED}")],
            "code": {"inline": format!("connect('{PLANTED}')")},
            "template": {"spec": {"containers": [{"name": "runner", "env": env}]}},
        }),
        &json!({}),
    );
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    flow["metadata"]["annotations"] = json!({applied: flow.to_string()});
    stage.put(10, flow).await;
    let status = json!({
        "phase": "Failed", "reason": "ScriptError", "attempt": 1, "startedAt": stage.ago(5), "finishedAt": stage.now,
        "message": format!("OperationalError: postgres://me:{PLANTED}@db/etl: no route"), "cluster": "analytics",
        "mergedParameters": {"region": "north", "db": {"password": PLANTED}},
    });
    stage.put(8, ours("FlowRun", "etl-now", &json!({"flow": "etl"}), &status)).await;
    let mut pod = runner("etl-now", 1, "Failed");
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "DASKFLOW_FLOW", "value": "etl"},
        {"name": "DASKFLOW_PARAMETERS", "value": format!("{{\"db\":{{\"password\":\"{PLANTED}\"}}}}")},
    ]);
    stage.put(7, pod).await;
    for line in [
        "reading the table orders".to_owned(),
        format!("connected as me with {PLANTED}"),
        "Authorization: Bearer abcdefghijklmnop".to_owned(),
    ] {
        stage.logs.write("etl-now-1", stage.ago(4), &line);
    }
    let run = stage.get(&format!("{RUNS}/etl-now")).await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "etl-now.1"}, "type": "Warning", "reason": "ScriptError",
        "message": format!("password={PLANTED}: no route"), "lastTimestamp": stage.now,
        "involvedObject": {
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "name": "etl-now", "namespace": "default",
            "uid": run["metadata"]["uid"],
        },
    });
    stage.put(0, event).await;
    here
}

/// All files of a report by name, in one text.
fn text(here: &Listens, folder: &str) -> (Vec<String>, String) {
    let folder = here.folder.join(folder);
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let texts = names.iter().map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    (names.clone(), texts.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_password_is_in_no_file() {
    let here = planted().await;
    for object in ["flow/etl", "run/etl-now", "analytics"] {
        let (code, out, err) = here.run(&format!("daskflow report {object} --dir of-{}", object.len())).await;
        assert!(code == 0 && out.contains(" written: "), "{out}{err}");
        let (names, text) = text(&here, &format!("of-{}", object.len()));
        assert!(!text.contains(PLANTED) && !text.contains("abcdefghijklmnop"), "{object}: {names:?}: {text}");
        assert!(!err.contains(PLANTED), "{err}");
        for name in [
            "cluster-analytics.yaml",
            "events.yaml",
            "flow-etl.yaml",
            "log-etl-now-1-runner.txt",
            "pod-etl-now-1.yaml",
            "run-etl-now.yaml",
            "status.txt",
            "versions.txt",
        ] {
            assert!(names.contains(&name.to_owned()), "{object}: without {name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("secret")), "{names:?}");
        // What is of use is left.
        for word in [
            "reading the table orders",
            "OperationalError",
            "region: north",
            "reason: ScriptError",
            "name: P\n",
        ] {
            assert!(text.contains(word), "{object}: without {word}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_nothing_is_overwritten() {
    let here = Listens::new("report_faults", furnished().await).await;
    let labels = json!({"daskflow.dev/run": "nightly-report-now-8kfpz"});
    here.stage.put(0, pod("silent", "runner", &labels, "Pending")).await;
    let line = "daskflow report run/nightly-report-now-8kfpz";
    let (code, _, err) = here.run(line).await;
    assert!(code == 0 && err.contains("without the log of silent/runner: "), "{err}");
    let folder = "daskflow-report-run-nightly-report-now-8kfpz";
    let (names, text) = text(&here, folder);
    assert!(
        names.contains(&"missing.txt".to_owned()) && text.contains("without the log of silent/runner"),
        "{text}"
    );
    let versions: Value = serde_yaml::from_str(
        &std::fs::read_to_string(here.folder.join(folder).join("versions.txt")).unwrap(),
    )
    .unwrap();
    assert_eq!(versions["client"], env!("CARGO_PKG_VERSION"));
    for (line, said) in [
        (line.to_owned(), format!("{folder} is there already")),
        ("daskflow report nightly-rport".to_owned(), "did you mean nightly-report?".to_owned()),
        (format!("{line} --dir nowhere/report"), "cannot be made".to_owned()),
    ] {
        let (code, out, err) = here.run(&line).await;
        assert!(code == 1 && out.is_empty() && err.contains(&said), "{line}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_fails_leaves_nothing() {
    let here = Listens::new("report_broken", furnished().await.answers("/daskclusters", Some(500))).await;
    let (code, _, err) = here.run("daskflow report run/nightly-report-now-8kfpz").await;
    assert!(code == 1 && err.contains("list daskclusters"), "{err}");
    let left = std::fs::read_dir(&here.folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("report-run")).collect();
    assert!(left.is_empty(), "{left:?}");
}
