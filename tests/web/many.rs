//! An API server that answers lists at once and watches never, for states that would take long to make.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use daskflow::client::Cluster;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::visitor::Visitor;

/// Objects by the plural names of their kinds.
type Items = Vec<(String, Vec<Value>)>;

/// What is listed, and what was asked.
#[derive(Clone, Default)]
pub struct Lists {
    items: Arc<Mutex<Items>>,
    /// How many lists were asked for.
    pub asked: Arc<AtomicUsize>,
    /// How many watches there are now.
    pub watches: Arc<AtomicUsize>,
    /// Whether nothing is answered.
    pub silent: bool,
    /// Notified to end the watches there are, as of a version that is too old.
    pub expired: Arc<Notify>,
}

/// Counts for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lists {
    /// Lists these objects of a kind.
    pub fn put(&self, plural: &str, items: Vec<Value>) {
        let mut all = self.items.lock().unwrap();
        all.retain(|(name, _)| name != plural);
        all.push((plural.to_owned(), items));
    }

    /// A cluster with these.
    pub fn cluster(&self) -> Cluster {
        let lists = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let lists = lists.clone();
            async move {
                if lists.silent {
                    std::future::pending::<()>().await;
                }
                let plural = request.uri().path().rsplit('/').next().unwrap().to_owned();
                if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                    lists.watches.fetch_add(1, Ordering::Relaxed);
                    let counted = Counted(lists.watches.clone());
                    // Ends when its reader is dropped. It is notified from here on, read or not.
                    let state = (counted, lists.expired.clone().notified_owned(), lists.expired.clone());
                    let body = futures::stream::unfold(state, |(counted, notified, expired)| async move {
                        notified.await;
                        let gone = json!({"type": "ERROR", "object": {
                            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                            "reason": "Expired", "message": "too old",
                        }});
                        let line = axum::body::Bytes::from(format!("{gone}\n"));
                        let next = expired.clone().notified_owned();
                        Some((Ok::<_, std::convert::Infallible>(line), (counted, next, expired)))
                    });
                    let body = axum::body::Body::from_stream(body);
                    return Ok::<_, std::convert::Infallible>(Response::new(body));
                }
                lists.asked.fetch_add(1, Ordering::Relaxed);
                let all = lists.items.lock().unwrap();
                let items = all.iter().find(|(name, _)| *name == plural).map(|(_, items)| items.clone());
                let list = json!({
                    "apiVersion": "daskflow.dev/v1alpha1", "kind": "List", "metadata": {"resourceVersion": "1"},
                    "items": items.unwrap_or_default(),
                });
                Ok(Response::new(axum::body::Body::from(list.to_string())))
            }
        });
        Cluster { client: Client::new(service, "default"), namespace: "default".to_owned() }
    }
}

/// Ten thousand runs of two hundred Flows with names as long as they may be.
fn ten_thousand() -> Lists {
    let lists = Lists::default();
    let flow = |number: usize| format!("{}{number:03}", "a".repeat(35));
    let flows = (0..200).map(|number| {
        json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "spec": {"cluster": {"ref": {"name": "small"}}},
            "metadata": {"name": flow(number), "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        })
    });
    lists.put("flows", flows.collect());
    let message = "the task could not read its file: ".repeat(20);
    let runs = (0..10_000_usize).map(|number| {
        let tick = jiff::Timestamp::from_second(1_790_000_000 + i64::try_from(number).unwrap() * 60).unwrap();
        json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": flow(number % 200)},
            "metadata": {"name": format!("{}-2026{number:011}", flow(number % 200)), "namespace": "default", "creationTimestamp": tick},
            "status": {
                "phase": if number.is_multiple_of(7) { "Failed" } else { "Succeeded" }, "reason": "FlowFailed", "message": message,
                "startedAt": tick, "finishedAt": tick + jiff::SignedDuration::from_secs(40),
            },
        })
    });
    lists.put("flowruns", runs.collect());
    lists
}

#[tokio::test]
async fn pages_stay_small_with_ten_thousand_runs() {
    let visitor = Visitor::new(ten_thousand().cluster()).await;
    for path in ["/", "/?page=9", "/runs", "/runs?page=200", "/runs?state=failed", "/attention"] {
        let page = visitor.page(path).await;
        assert_eq!(page.code, 200, "{path}");
        assert!(page.text.len() < 100_000, "{path}: {} bytes", page.text.len());
        // Nothing is asserted of the time: machines differ.
        let begun = std::time::Instant::now();
        visitor.get(path).await;
        eprintln!("{path}: {} bytes in {} ms", page.text.len(), begun.elapsed().as_millis());
    }
    let all = visitor.json("/runs").await;
    assert_eq!((&all["listing"]["total"], &all["listing"]["pages"]), (&json!(10_000), &json!(200)));
    assert_eq!(all["runs"].as_array().unwrap().len(), 50);
    assert_eq!(
        all["runs"][0]["name"].as_str().unwrap().get(39..),
        Some("202600000009999"),
        "the newest first"
    );
    let found = visitor.json("/runs?q=00000000042&state=failed").await;
    assert_eq!((&found["listing"]["total"], &found["runs"][0]["phase"]), (&json!(1), &json!("Failed")));
    let page = visitor.page("/runs?state=failed&page=2").await.text;
    assert!(page.contains("href=\"?namespace=default&#38;state=failed&amp;page=3\""), "{page}");
    let one = visitor.page(&format!("/flows/default/{}", all["runs"][0]["flow"].as_str().unwrap())).await;
    assert!(one.text.len() < 100_000, "{} bytes", one.text.len());
}

#[tokio::test]
async fn there_is_a_page_before_anything_is_read() {
    let lists = Lists { silent: true, ..Lists::default() };
    let visitor = Visitor::new(lists.cluster()).await;
    for path in ["/", "/runs", "/flows/default/a"] {
        let page = visitor.get(path).await;
        assert!(page.code == 200 && page.is_opening(), "{path}: {}", page.text);
        assert!(
            page.text.contains("http-equiv=\"refresh\" content=\"1\""),
            "without a script it asks again: {}",
            page.text
        );
    }
}
