//! What the operator's log and traces say of a reconcile.

use std::sync::Arc;

use serde_json::Value;

use crate::api::{DaskCluster, DaskClusterSpec};
use crate::daemon::log::Format;
#[cfg(feature = "otlp")]
use crate::daemon::log::Traces;
use crate::daemon::log::testing::logging;
#[cfg(feature = "otlp")]
use crate::daemon::log::testing::tracing_to;
use crate::operator::testing;

/// Reconciles a cluster whose every request is refused.
async fn fail() {
    let (context, server, _wakes) = testing::context(1);
    let refuse = |_: &str| testing::refusal(500, "InternalError", "the disk is full");
    let (_asked, _server) = testing::serve(server, refuse);
    let spec = DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() };
    let mut cluster = DaskCluster::new("lonely", spec);
    cluster.metadata.namespace = Some("team".into());
    cluster.metadata.uid = Some("u".into());
    testing::look(Arc::new(cluster), &Arc::new(context)).await;
}

#[tokio::test]
async fn each_line_of_a_reconcile_names_the_object_in_json() {
    // A filter for warnings must not take the name away.
    let (_guard, _level, log) = logging("warn", Format::Json);
    fail().await;
    let lines = log.lines();
    let about: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = about.iter().find(|line| line["message"] == "the reconcile failed").unwrap();
    assert_eq!(failed["level"], "WARN");
    assert!(failed["error"].as_str().unwrap().contains("the disk is full"), "with what caused it: {failed}");
    assert!(failed["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{failed}");
    for line in about {
        let object = [&line["kind"], &line["namespace"], &line["name"]];
        assert_eq!(object, ["DaskCluster", "team", "lonely"], "{line}");
    }
}

#[tokio::test]
async fn each_line_of_a_reconcile_names_the_object_in_text() {
    let (_guard, _level, log) = logging("info", Format::Text);
    fail().await;
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("the reconcile failed")), "{lines:?}");
    for line in lines {
        let object = r#"reconcile{kind="DaskCluster" namespace="team" name="lonely"}"#;
        assert!(line.contains(object), "{line}");
    }
}

/// A collector that keeps what it is sent.
#[cfg(feature = "otlp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_hears_of_a_reconcile() {
    let (sent, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let take = move |body: axum::body::Bytes| {
        sent.send(body).unwrap();
        std::future::ready(())
    };
    let routes = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _server =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(
            async move { axum::serve(listener, routes).await },
        ));

    let traces = Traces::to(&format!("http://{address}/")).unwrap();
    let (guard, _level, _log) = tracing_to(Some(&traces), "info", Format::Text);
    fail().await;
    drop(guard);
    tokio::task::spawn_blocking(|| traces.end()).await.unwrap();
    let spans = heard.recv().await.unwrap();
    let text = String::from_utf8_lossy(&spans);
    for words in ["daskflow", "reconcile", "DaskCluster", "team", "lonely", "the reconcile failed"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
