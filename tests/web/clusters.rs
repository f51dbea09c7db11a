//! What the page of a cluster says of its workers over time, and of what its scheduler has to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use daskflow::client::Cluster;
use http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::visitor::Visitor;
use crate::client::program::Listens;
use crate::client::stage::{Stage, furnished, ours, pod};

const PAGE: &str = "/clusters/default/analytics";
const DASHBOARD: u16 = 8787;
const COUNTS: &str = r#"{"bytes": 3221225472, "clients": 2, "cores": 6, "erred": 1, "memory": 40, "processing": 6, "tasks": 100,
    "unrunnable": 0, "waiting": 54, "workers": 3, "desired_workers": 9}"#;
const IDENTITY: &str = r#"{"type": "Scheduler", "workers": {
    "tcp://10.0.0.7:1": {"memory_limit": 4294967296, "metrics": {"cpu": 99.0, "memory": 1073741824}},
    "tcp://10.0.0.8:1": {"memory_limit": 4294967296, "metrics": {"cpu": 99.0, "memory": 3221225472}}}}"#;

/// A scheduler's dashboard: its answers for counts and for all else, and how often it was asked.
struct Pages {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _server: AbortOnDropHandle<()>,
}

impl Pages {
    async fn new(counts: fn() -> Response<Body>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                match request.uri().path() {
                    "/json/counts.json" => counts(),
                    "/json/identity.json" => Response::new(Body::from(IDENTITY)),
                    other => panic!("{other}"),
                }
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, _server: AbortOnDropHandle::new(server) }
    }
}

/// A page of an API that listens, and has a pod with a scheduler.
async fn visitor(here: &Listens) -> Visitor {
    let config = std::fs::read_to_string(here.folder.join("kubeconfig")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(server)).unwrap();
    Visitor::new(Cluster { client, namespace: "default".to_owned() }).await
}

async fn put_scheduler(stage: &Stage) {
    let labels = json!({"dask.org/cluster-name": "analytics", "dask.org/component": "scheduler"});
    stage.put(60, pod("analytics-scheduler", "scheduler", &labels, "Running")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_is_asked_through_the_users_own_rights() {
    let here = Listens::new("page_load", furnished().await).await;
    put_scheduler(&here.stage).await;
    let pages = Pages::new(|| Response::new(Body::from(COUNTS))).await;
    here.ports.put("analytics-scheduler", DASHBOARD, pages.address);
    let visitor = visitor(&here).await;
    let mut is_late = false;
    let page = loop {
        let page = visitor.page(PAGE).await.text;
        if !page.contains("did not answer within") {
            break page;
        }
        // The machine is busy with other things; that answer is kept for 5 s.
        is_late = true;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    for part in [
        "<dt>Tasks</dt><dd>100</dd>",
        "<dt>On workers</dt><dd>6</dd>",
        "<dt>Failed</dt><dd>1</dd>",
        "<dt>Results in memory</dt><dd>40, 3.0 GiB</dd>",
        "<dt>Memory of the workers</dt><dd>4.0 GiB of 8.0 GiB (50 %)</dd>",
        "<dt>The fullest worker</dt><dd>75 %</dd>",
        "<rect class=\"s\" width=\"100\" height=\"10\"/>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let load = &visitor.json(PAGE).await["load"];
    assert_eq!((&load["tasks"], &load["memory"]["fullest"]), (&json!(100), &json!(75)));
    let is_even = pages.asked.load(Ordering::Relaxed).is_multiple_of(2);
    assert!(is_late || is_even, "each look has two questions");
}

/// What stands in the place of a scheduler's answer.
type Answer = fn() -> Response<Body>;

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_answers_otherwise_is_said_to() {
    let here = Listens::new("page_load_faults", furnished().await).await;
    let without = visitor(&here).await.page(PAGE).await.text;
    assert!(without.contains("the scheduler of the cluster analytics does not run now"), "{without}");
    put_scheduler(&here.stage).await;
    let endless = || {
        let body = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>("[".repeat(4096)));
        Response::new(Body::from_stream(body))
    };
    let cases: [(Answer, &str); 4] = [
        (|| Response::new(Body::from("<b>7</b>")), "is no scheduler of Dask"),
        (
            || Response::builder().status(404).body(Body::empty()).unwrap(),
            "answers /json/counts.json with 404",
        ),
        (endless, "the scheduler does not answer: length limit exceeded"),
        (
            || Response::new(Body::from_stream(futures::stream::pending::<std::io::Result<String>>())),
            "did not answer within 2 s",
        ),
    ];
    for (counts, said) in cases {
        let pages = Pages::new(counts).await;
        here.ports.put("analytics-scheduler", DASHBOARD, pages.address);
        let page = visitor(&here).await.page(PAGE).await;
        assert!(page.code == 200 && page.text.contains(said), "{said}: {}", page.text);
        assert!(!page.text.contains("<dt>Tasks</dt>"), "{}", page.text);
    }
}

/// As on `daskflow local`: no port is forwarded.
#[tokio::test]
async fn a_scheduler_of_this_machine_is_asked_directly() {
    let stage = furnished().await;
    let pages = Pages::new(|| Response::new(Body::from(COUNTS))).await;
    let status = json!({"dashboardAddress": format!("http://{}/status", pages.address)});
    stage.set_status("/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics", &status).await;
    let page = Visitor::new(stage.cluster.clone()).await.page(PAGE).await.text;
    assert!(page.contains("<dt>Tasks</dt><dd>100</dd>"), "{page}");
}

#[tokio::test]
async fn the_sizes_of_the_last_hour_are_read_from_events_and_pods() {
    let stage = furnished().await;
    let fixed = Visitor::new(stage.cluster.clone()).await.page(PAGE).await.text;
    for part in ["only the autoscaler leaves a trace", "<td>not known</td><td>2</td>"] {
        assert!(fixed.contains(part), "{part}: {fixed}");
    }
    let groups = json!([{"name": "default", "desired": 2, "ready": 2}]);
    let spec = json!({"image": "dask:1", "workers": {"autoscale": {"minimum": 0, "maximum": 9}}});
    let created = stage.put(9000, ours("DaskCluster", "elastic", &spec, &json!({"groups": groups}))).await;
    let event = |name: &str, seconds: i64, message: &str| {
        let at = stage.ago(seconds);
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "type": "Normal", "reason": "WorkersScaled",
            "message": message, "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
            "involvedObject": {"kind": "DaskCluster", "name": "elastic", "namespace": "default", "uid": created["metadata"]["uid"]},
            "action": "Reconcile", "reportingComponent": "daskflow", "reportingInstance": "daskflow",
        })
    };
    for (name, seconds, message) in [
        ("elastic.1", 1800, "the group default goes from 0 to 7 workers"),
        ("elastic.2", 900, "the group default goes from 7 to 2 workers"),
        ("elastic.3", 600, "<script>alert(1)</script>"),
    ] {
        stage.put(0, event(name, seconds, message)).await;
    }
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let sizes = &visitor.json("/clusters/default/elastic").await["sizes"];
    let wanted: Vec<(&Value, &Value)> =
        sizes["changes"].as_array().unwrap().iter().map(|one| (&one["at"], &one["wanted"])).collect();
    assert_eq!(wanted[..2], [(&json!(stage.ago(900)), &json!(2)), (&json!(stage.ago(1800)), &json!(7))]);
    assert_eq!((wanted.len(), wanted[2].1, &sizes["highest"]), (3, &json!(0), &json!(7)));
    let page = visitor.page("/clusters/default/elastic").await.text;
    assert_eq!(page.matches("<rect class=\"n\" x=\"").count(), 2, "{page}");
    // One who may read neither still sees the cluster.
    let stage = stage.answers("/events", Some(403)).answers("/pods", Some(403));
    let page = Visitor::new(stage.cluster.clone()).await.page("/clusters/default/elastic").await.text;
    for part in ["you may not list events", "you may not list pods", "Nothing is known of the last hour."] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
