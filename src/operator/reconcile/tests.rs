mod life;
mod looks;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::api::{DaskCluster, DaskClusterSpec, Flow, FlowRun, Kind};
use crate::operator::testing::{ApiServer, context, look, merged, quota_refusal, refusal, respond, serve};
use crate::operator::undecodable::Undecodable;

fn cluster(replicas: i32) -> DaskCluster {
    let mut cluster =
        DaskCluster::new("demo", DaskClusterSpec { image: "flows:1".into(), ..Default::default() });
    cluster.spec.workers.replicas = Some(replicas);
    cluster.metadata.namespace = Some("default".into());
    cluster.metadata.uid = Some("u".into());
    cluster.metadata.generation = Some(1);
    cluster
}

/// An API server whose namespace has room for no pod. It keeps the cluster's status, and which requests there
/// were.
struct FullNamespace {
    cluster: Arc<Mutex<DaskCluster>>,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl FullNamespace {
    fn serve(mut server: ApiServer, cluster: DaskCluster) -> Self {
        let (cluster, asked) = (Arc::new(Mutex::new(cluster)), Arc::new(Mutex::new(Vec::new())));
        let (kept, log) = (cluster.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Some((request, reply)) = server.next_request().await {
                let what = format!("{} {}", request.method(), request.uri().path());
                let body = request.into_body().collect_bytes().await.unwrap();
                let body = merged(serde_json::from_slice(&body).unwrap_or_default());
                let answer = answer(&what, body, &mut kept.lock().unwrap());
                log.lock().unwrap().push(what);
                respond(reply, answer);
            }
        });
        Self { cluster, asked, _task: AbortOnDropHandle::new(task) }
    }

    /// How many requests there were with this method, to paths that end so.
    fn count(&self, method: &str, end: &str) -> usize {
        let is_it = |asked: &&String| asked.starts_with(method) && asked.ends_with(end);
        self.asked.lock().unwrap().iter().filter(is_it).count()
    }
}

fn answer(what: &str, body: Value, cluster: &mut DaskCluster) -> (u16, Value) {
    let (method, path) = what.split_once(' ').unwrap();
    let last = path.rsplit('/').next().unwrap();
    match (method, last) {
        ("POST", "pods") => quota_refusal(),
        ("PATCH", "status") => {
            cluster.status = serde_json::from_value(body["status"].clone()).unwrap();
            (200, json!(cluster))
        }
        ("GET", "demo") => (200, json!(cluster)),
        ("GET", "pods") => (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []})),
        ("GET", _) => refusal(404, "NotFound", "not found"),
        _ => (200, body),
    }
}

#[tokio::test]
async fn a_full_quota_is_told_once_and_tried_with_one_pod_from_then_on() {
    let (context, server, _wakes) = context(1);
    let context = Arc::new(context);
    let api = FullNamespace::serve(server, cluster(40));
    for turn in 1..=10 {
        let known = Arc::new(api.cluster.lock().unwrap().clone());
        look(known, &context).await;
        let refused = api.count("POST", "/pods");
        if turn == 1 {
            assert!((1..=Bounds::USUAL.at_once).contains(&refused), "{refused}");
            api.asked.lock().unwrap().retain(|asked| !asked.ends_with("/pods"));
        } else {
            assert_eq!(refused, turn - 1, "one try in each of the turns after the first");
        }
    }
    assert_eq!(api.count("PATCH", "/status"), 1);
    assert_eq!(api.count("POST", "/events"), 1);
    let status = api.cluster.lock().unwrap().status.clone().unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "QuotaExceeded");
    assert!(ready.message.contains("exceeded quota: small"), "{}", ready.message);
}

#[test]
fn the_wait_for_room_is_short_however_often_it_failed() {
    let refused = |(_, status): (u16, Value)| {
        Error::Api(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    };
    let chance = Chance::of_machine();
    let longest = |error: &Error| (0..200).map(|_| wait_after(error, 30, &chance)).max().unwrap();
    assert!(longest(&refused(quota_refusal())) <= QUOTA_BACKOFF_MAX);
    assert!(
        longest(&refused(refusal(500, "InternalError", "no"))) > QUOTA_BACKOFF_MAX,
        "of 200 random waits up to 300 s"
    );
}

#[tokio::test]
async fn the_end_of_a_run_is_counted_when_it_is_written_and_not_before() {
    let run = json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
        "metadata": {"name": "etl-1", "namespace": "default", "uid": "u", "resourceVersion": "1"},
        "spec": {"flow": "etl", "cancel": true},
        "status": {"phase": "Queued"},
    });
    let run: Arc<FlowRun> = Arc::new(serde_json::from_value(run).unwrap());
    let (context, server, _wakes) = context(1);
    let context = Arc::new(context);
    let conflicts = Arc::new(AtomicU32::new(2));
    let (left, known) = (conflicts.clone(), run.clone());
    let (asked, _server) = serve(server, move |what| match what {
        "GET etl-1" => (200, json!(*known)),
        "GET flowruns" | "GET pods" => {
            (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}))
        }
        get if get.starts_with("GET") => refusal(404, "NotFound", "not found"),
        "PATCH etl-1" if left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() => {
            refusal(409, "Conflict", "the object has been modified")
        }
        _ => (200, json!(*known)),
    });
    let counted = || {
        let text = context.scrape();
        let line = "daskflow_runs_ended_total{result=\"Cancelled\",reason=\"Cancelled\"} ";
        text.lines().find_map(|served| served.strip_prefix(line)).unwrap().to_owned()
    };
    for written in ["0", "0", "1"] {
        look(run.clone(), &context).await;
        assert_eq!(counted(), written, "{:?}", asked.all());
    }
    let text = context.scrape();
    assert!(text.contains("daskflow_reconcile_total{kind=\"FlowRun\",result=\"conflict\"} 2"), "{text}");
}

#[tokio::test]
async fn nothing_is_written_into_a_namespace_that_is_being_deleted() {
    let (context, server, _wakes) = context(1);
    let context = Arc::new(context);
    let (asked, _server) = serve(server, |what| match what.split_once(' ').unwrap() {
        ("GET", "demo") => (200, json!(cluster(1))),
        ("GET", "pods") => (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []})),
        ("GET", _) => refusal(404, "NotFound", "not found"),
        _ => {
            let (code, mut status) = refusal(403, "Forbidden", "because it is being terminated");
            status["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "message": "it is"}]});
            (code, status)
        }
    });
    look(Arc::new(cluster(1)), &context).await;
    let all = asked.all();
    let writes: Vec<&String> = all.iter().filter(|what| !what.starts_with("GET")).collect();
    assert_eq!(
        writes.len(),
        1,
        "the first refusal ends it, and neither a status nor an event follows: {writes:?}"
    );
    assert_eq!(context.backoff.by_kind(), [].into(), "it waits for the deletion");
}

/// Lets the operator know of an object that does not decode.
fn cannot_be_read<K>(context: &Context, name: &str)
where
    K: kube::Resource<DynamicType = ()> + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let object = json!({"metadata": {"name": name, "namespace": "default"}, "spec": 1});
    let guard: kube::core::DeserializeGuard<K> = serde_json::from_value(object).unwrap();
    let mut watch =
        Undecodable::new(prometheus_client::metrics::gauge::Gauge::default(), context.undecodable.clone());
    assert!(watch.open(kube::runtime::watcher::Event::Apply(guard)).is_none());
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_left_as_it_was_known() {
    let (context, server, _wakes) = context(1);
    cannot_be_read::<DaskCluster>(&context, "demo");
    let (asked, _server) = serve(server, |_| refusal(500, "InternalError", "nobody is asked"));
    look(Arc::new(cluster(1)), &Arc::new(context)).await;
    assert_eq!(asked.all(), [""; 0]);
}

/// An operator that has started since does not know the cluster at all, and must not take it for deleted.
#[tokio::test]
async fn a_run_on_a_cluster_that_cannot_be_read_goes_on_and_says_so() {
    let run = json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
        "metadata": {"name": "etl-1", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"flow": "etl"},
        "status": {"phase": "Running", "cluster": "demo", "job": "etl-1-1", "scheduler": "s/0", "attempt": 1},
    });
    let run: Arc<FlowRun> = Arc::new(serde_json::from_value(run).unwrap());
    let (context, server, _wakes) = context(1);
    cannot_be_read::<DaskCluster>(&context, "demo");
    let known = run.clone();
    let (asked, _server) = serve(server, move |what| match what {
        "GET flowruns" | "GET pods" => {
            (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}))
        }
        "GET etl-1-1" => (
            200,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {
            "name": "etl-1-1", "namespace": "default",
            "ownerReferences": [{"apiVersion": "x", "kind": "FlowRun", "name": "etl-1", "uid": "u"}]}}),
        ),
        get if get.starts_with("GET") => refusal(404, "NotFound", "not found"),
        _ => (200, json!(*known)),
    });
    look(run, &Arc::new(context)).await;
    let all = asked.all();
    assert!(!all.iter().any(|what| what.starts_with("DELETE")), "{all:?}");
    assert!(all.contains(&"PATCH etl-1".to_owned()), "it is told: {all:?}");
}

#[tokio::test]
async fn an_object_that_is_gone_is_not_in_backoff() {
    let (context, _server, _wakes) = context(1);
    let id = |kind| (kind, "default".to_owned(), "etl".to_owned());
    context.backoff.failed(&id(Kind::Flow));
    context.backoff.failed(&id(Kind::Flow));
    context.backoff.failed(&id(Kind::FlowRun));
    assert_eq!(context.backoff.by_kind(), [(Kind::Flow, 1), (Kind::FlowRun, 1)].into());
    gone::<Flow>(&context, "default", "etl");
    assert_eq!(context.backoff.by_kind(), [(Kind::FlowRun, 1)].into());
}
