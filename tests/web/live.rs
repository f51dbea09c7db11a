//! What comes by itself: changes, and lines of logs.

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::Response;
use serde_json::json;

use super::many::Lists;
use super::visitor::Visitor;
use crate::client::stage::furnished;

/// Events as they come.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    fn of(response: Response<Body>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event that is no comment; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// The address of the changes of a page.
async fn live(visitor: &Visitor, path: &str) -> String {
    let page = visitor.page(path).await.text;
    let address = page.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap();
    address.replace("&#38;", "&")
}

#[tokio::test(start_paused = true)]
async fn a_page_hears_of_its_own_changes() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let address = live(&visitor, "/runs/default/nightly-report-now-w4c2d").await;
    let mut events = Events::of(visitor.open(&address).await);
    let other = tokio::time::timeout(std::time::Duration::from_secs(60), events.next());
    let (none, ()) = tokio::join!(other, async {
        let status = json!({"phase": "Succeeded", "reason": "Succeeded"});
        stage.set_run("nightly-report-now-8kfpz", &status).await;
    });
    assert!(none.is_err(), "another run: {none:?}");
    stage.set_run("nightly-report-now-w4c2d", &json!({"phase": "Provisioning"})).await;
    assert_eq!(events.next().await.as_deref(), Some("event: change\ndata: once more"));
    assert!(visitor.page("/runs/default/nightly-report-now-w4c2d").await.text.contains("Provisioning"));
    // What changed before a page has connected is said at once.
    let mut late = Events::of(visitor.open(&address).await);
    assert_eq!(late.next().await.as_deref(), Some("event: change\ndata: once more"));
}

/// What changed between the end of a watch and the next list is in no event of it.
#[tokio::test(start_paused = true)]
async fn a_page_hears_of_what_changed_while_nothing_was_watched() {
    let lists = Lists::default();
    let run = |phase: &str| {
        json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": "etl"},
            "metadata": {"name": "etl-1", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": phase},
        })
    };
    lists.put("flowruns", vec![run("Running")]);
    let visitor = Visitor::new(lists.cluster()).await;
    let address = live(&visitor, "/runs").await;
    let mut events = Events::of(visitor.open(&address).await);
    while lists.watches.load(std::sync::atomic::Ordering::Relaxed) < 4 {
        tokio::task::yield_now().await;
    }
    lists.put("flowruns", vec![run("Succeeded")]);
    lists.expired.notify_waiters();
    // What a slow machine reads only after it has sent the page is a change of its own.
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(60), events.next()).await;
        assert_eq!(event.expect("of this no page hears").as_deref(), Some("event: change\ndata: once more"));
        if visitor.json("/runs").await["runs"][0]["phase"] == "Succeeded" {
            break;
        }
    }
}

#[tokio::test]
async fn a_log_comes_line_by_line_until_the_run_has_ended() {
    let stage = furnished().await;
    let (run, pod) = ("nightly-report-now-8kfpz", "nightly-report-now-8kfpz-1");
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let page = visitor.page(&format!("/runs/default/{run}")).await.text;
    let address = page.split("data-log=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let more = stage.logs.more(pod);
    let write = |second: i64, text: &str| {
        let line = daskflow::cluster_api::LogLine { at: stage.ago(second), text: text.as_bytes().to_vec() };
        more.unbounded_send(line).unwrap();
    };
    write(9, "50 %\r100 %");
    write(8, "7 of 7 are there");
    let mut events = Events::of(visitor.open(&address).await);
    // What the page has is not sent again.
    let first = events.next().await.unwrap();
    assert!(first.contains("data: 50 %\ndata: 100 %"), "{first}");
    let second = events.next().await.unwrap();
    assert!(second.starts_with("event: line") && second.contains("data: 7 of 7 are there"), "{second}");
    let id = second.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    assert!(id.ends_with("*1"), "{id}");
    drop(more);
    stage.logs.write(pod, stage.ago(9), "50 %\r100 %");
    stage.logs.write(pod, stage.ago(8), "7 of 7 are there");
    stage.logs.write(pod, stage.ago(8), "done");
    let ended = json!({"phase": "Succeeded", "reason": "Succeeded", "finishedAt": stage.now, "exitCode": 0});
    stage.set_run(run, &ended).await;
    let mut rest = String::new();
    while let Some(event) = events.next().await {
        rest.push_str(&event);
        rest.push('\n');
    }
    assert!(
        rest.contains("data: done") && rest.trim_end().ends_with("event: end\ndata: all of it"),
        "{rest}"
    );
    assert_eq!(rest.matches("7 of 7").count(), 0, "{rest}");
}
