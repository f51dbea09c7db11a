//! A controller over an API server that answers slowly, in virtual time.

use std::sync::Mutex;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};
use tower::{BoxError, Layer, service_fn};

use super::*;
use crate::api::Flow;
use crate::operator::metrics::Metrics;
use crate::operator::requests::Adapt;
use crate::operator::testing::context;

/// How long the API server takes for a request.
const ANSWER: Duration = Duration::from_millis(150);

fn flow(namespace: &str, name: &str) -> Flow {
    serde_json::from_value(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"cluster": {"address": "tcp://scheduler.team.svc:8786"}, "command": ["true"]},
    }))
    .unwrap()
}

/// A client that keeps which objects were written, and when.
fn client() -> (Client, Arc<Mutex<Vec<(String, Instant)>>>) {
    let written = Arc::new(Mutex::new(Vec::new()));
    let log = written.clone();
    let service = service_fn(move |request: Request<Body>| {
        let log = log.clone();
        async move {
            tokio::time::sleep(ANSWER).await;
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect_bytes().await?;
            log.lock().unwrap().push((path.trim_end_matches("/status").to_owned(), Instant::now()));
            let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
            body["metadata"] = json!({"name": "a", "namespace": "team"});
            body["spec"] = json!({"cluster": {}, "command": ["true"], "flow": "a"});
            let answer = Response::new(Body::from(serde_json::to_vec(&body).unwrap()));
            Ok::<_, BoxError>(answer)
        }
    });
    (Client::new(Adapt::new(&Metrics::default()).layer(service), "default"), written)
}

/// A controller of these Flows, all of which wake at once; how long after that each was written.
async fn written_after(
    flows: Vec<Flow>,
    enough: impl Fn(&[(String, Instant)]) -> bool,
) -> Vec<(String, Duration)> {
    let (mut context, _server, _wakes) = context(1);
    let (client, written) = client();
    context.client = client;
    let context = Arc::new(context);
    let (store, mut writer) = reflector::store();
    let (wake, wakes) = mpsc::unbounded_channel();
    for flow in flows {
        wake.send(Wake { object: ObjectRef::from_obj(&flow), urgent: false }).unwrap();
        writer.apply_watcher_event(&watcher::Event::Apply(flow));
    }
    let (begun, stop) = (Instant::now(), CancellationToken::new());
    let running = controller(&context, store, wakes, &stop);
    let until = async {
        while !enough(&written.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = running => panic!("it ended by itself"),
        () = until => {}
        () = tokio::time::sleep(Duration::from_secs(600)) => panic!("{} were written", written.lock().unwrap().len()),
    }
    let written = written.lock().unwrap();
    written.iter().map(|(path, at)| (path.clone(), *at - begun)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flow_of_another_namespace_is_written_at_once_while_a_thousand_wait() {
    let mut flows: Vec<Flow> = (0..1_000).map(|number| flow("busy", &format!("flow-{number}"))).collect();
    flows.push(flow("team", "flow"));
    let written = written_after(flows, |written| written.len() >= 1_001).await;
    let (_, after) = written.iter().find(|(path, _)| path.contains("/team/")).unwrap();
    assert!(*after <= ANSWER * 3, "{after:?}");
    let (_, last) = written.iter().max_by_key(|(_, after)| *after).unwrap();
    assert!(*last > ANSWER * 20, "the others have waited: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_ends_when_the_operator_stops() {
    let (mut context, _server, _wakes) = context(1);
    let (client, written) = client();
    context.client = client;
    let context = Arc::new(context);
    let (store, mut writer) = reflector::store();
    let (wake, wakes) = mpsc::unbounded_channel();
    let flow = flow("team", "flow");
    wake.send(Wake { object: ObjectRef::from_obj(&flow), urgent: false }).unwrap();
    writer.apply_watcher_event(&watcher::Event::Apply(flow));
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(ANSWER / 2).await;
        stop.cancel();
    };
    futures::future::join(controller(&context, store, wakes, &stop), stopping).await;
    assert_eq!(written.lock().unwrap().len(), 1);
}

#[test]
fn a_look_that_waits_is_small() {
    let (context, _server, _wakes) = runtime().block_on(async { context(1) });
    let (tells, _telling) = mpsc::unbounded_channel();
    let key: Key = (Arc::from("team"), Arc::from("flow"));
    let look = look(Arc::new(flow("team", "flow")), Arc::new(context), (key, false), tells);
    let bytes = std::mem::size_of_val(&look);
    // Half a thousand of them wait at the most, of each kind.
    assert!(bytes <= 16_384, "{bytes}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
