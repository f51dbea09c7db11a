//! A controller over an API server that answers slowly, in virtual time.

use std::sync::Mutex;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::{reflector, watcher};
use serde_json::json;
use tower::{BoxError, Layer, service_fn};

use super::*;
use crate::api::Flow;
use crate::daemon::clock::Chance;
use crate::operator::metrics::Metrics;
use crate::operator::requests::Adapt;
use crate::operator::testing::{context, merged};

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

/// The paths that were written to, and when.
type Written = Arc<Mutex<Vec<(String, Instant)>>>;

/// A client that keeps which objects were written, and when.
fn client(stop: &CancellationToken) -> (Client, Written) {
    let written = Written::default();
    let log = written.clone();
    let service = service_fn(move |request: Request<Body>| {
        let log = log.clone();
        async move {
            tokio::time::sleep(ANSWER).await;
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect_bytes().await?;
            log.lock().unwrap().push((path.trim_end_matches("/status").to_owned(), Instant::now()));
            let mut body = merged(serde_json::from_slice(&body).unwrap_or_default());
            body["metadata"] = json!({"name": "a", "namespace": "team"});
            body["spec"] = json!({"cluster": {}, "command": ["true"], "flow": "a"});
            let answer = Response::new(Body::from(serde_json::to_vec(&body).unwrap()));
            Ok::<_, BoxError>(answer)
        }
    });
    let adapt = Adapt::new(&Metrics::default(), stop, &Chance::of_machine());
    (Client::new(adapt.layer(service), "default"), written)
}

/// What a controller of Flows needs, all of which wake at once.
struct World {
    context: Arc<Context>,
    written: Arc<Mutex<Vec<(String, Instant)>>>,
    store: Store<Flow>,
    wake: UnboundedSender<Wake>,
    wakes: UnboundedReceiver<Wake>,
    stop: CancellationToken,
    kept: Box<dyn std::any::Any>,
}

fn wake_of(flow: &Flow) -> Wake {
    Wake::of(flow.metadata.namespace.as_deref().unwrap(), flow.metadata.name.as_deref().unwrap())
}

fn world(flows: Vec<Flow>) -> World {
    let (mut context, server, others) = context(1);
    let stop = CancellationToken::new();
    let (client, written) = client(&stop);
    context.client = client;
    let (store, mut writer) = reflector::store();
    let (wake, wakes) = mpsc::unbounded_channel();
    for flow in flows {
        wake.send(wake_of(&flow)).unwrap();
        writer.apply_watcher_event(&watcher::Event::Apply(flow));
    }
    let others = Box::new((server, others, writer));
    World { context: Arc::new(context), written, store, wake, wakes, stop, kept: others }
}

/// A controller of these Flows, all of which wake at once; how long after that each was written.
async fn written_after(
    flows: Vec<Flow>,
    enough: impl Fn(&[(String, Instant)]) -> bool,
) -> Vec<(String, Duration)> {
    let world = world(flows);
    let (begun, written) = (Instant::now(), &world.written);
    let running = controller(&world.context, world.store, world.wakes, &world.stop);
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
    let World { context, written, store, wakes, stop, wake: _wake, kept: _kept } =
        world(vec![flow("team", "flow")]);
    let stopping = async {
        tokio::time::sleep(ANSWER / 2).await;
        stop.cancel();
    };
    futures::future::join(controller(&context, store, wakes, &stop), stopping).await;
    assert_eq!(written.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_does_not_delay_the_stop() {
    let flows = (0..1_000).map(|number| flow("busy", &format!("flow-{number}"))).collect();
    let World { context, written, store, wakes, stop, wake: _wake, kept: _kept } = world(flows);
    let stopping = async {
        tokio::time::sleep(ANSWER * 5 / 2).await;
        let begun = written.lock().unwrap().len();
        stop.cancel();
        (Instant::now(), begun)
    };
    let ((), (stopped, begun)) =
        futures::future::join(controller(&context, store, wakes, &stop), stopping).await;
    assert!(stopped.elapsed() <= ANSWER * 3, "{:?}", stopped.elapsed());
    let written = written.lock().unwrap().len();
    assert!(begun < written && written < 200, "{begun} and {written}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_wakes_while_it_is_looked_at_is_looked_at_again() {
    let World { context, written, store, wakes, stop, wake, kept: _kept } = world(vec![flow("team", "flow")]);
    let changing = async {
        tokio::time::sleep(ANSWER / 2).await;
        wake.send(Wake::of("team", "flow")).unwrap();
        tokio::time::sleep(ANSWER * 3).await;
        stop.cancel();
    };
    futures::future::join(controller(&context, store, wakes, &stop), changing).await;
    // The cache has no status yet, so that it is written again.
    assert_eq!(written.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_overtakes_the_burst_of_its_namespace() {
    let flows = (0..500).map(|number| flow("busy", &format!("flow-{number}"))).collect();
    let World { context, written, store, wakes, stop, wake, kept: _kept } = world(flows);
    let waking = async {
        tokio::time::sleep(ANSWER / 2).await;
        wake.send(Wake { urgent: true, ..Wake::of("busy", "flow-499") }).unwrap();
        tokio::time::sleep(ANSWER * 3).await;
        stop.cancel();
    };
    futures::future::join(controller(&context, store, wakes, &stop), waking).await;
    let written = written.lock().unwrap();
    assert!(written.iter().any(|(path, _)| path.ends_with("/flow-499")), "not among {}", written.len());
    assert!(written.len() < 250, "{} were written, so that it need not have overtaken any", written.len());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_in_the_cache_is_not_looked_at() {
    let World { context, written, store, wakes, stop, wake, kept: _kept } = world(vec![flow("team", "flow")]);
    wake.send(Wake::of("team", "deleted")).unwrap();
    let stopping = async {
        tokio::time::sleep(ANSWER * 3).await;
        stop.cancel();
    };
    futures::future::join(controller(&context, store, wakes, &stop), stopping).await;
    let written = written.lock().unwrap();
    assert!(written.iter().all(|(path, _)| path.ends_with("/flow")), "{written:?}");
    assert_eq!(written.len(), 1);
}

#[test]
fn a_look_that_waits_is_small() {
    let (context, _server, _wakes) = runtime().block_on(async { context(1) });
    let mut looks = Looks::new();
    let flow = flow("team", "flow");
    assert!(!looks.turns.wake(&wake_of(&flow).key, Rank::Usual));
    let turn = looks.begin(Duration::ZERO).unwrap();
    let look = look(Arc::new(flow), Arc::new(context), turn.clone(), looks.look(turn));
    let bytes = std::mem::size_of_val(&look);
    // All of a kind that wait at the same time take less than 6 MiB.
    assert!(bytes <= 32_768, "{bytes}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
