//! Objects of each kind, there and back.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Secret, Service};
use k8s_openapi::api::events::v1 as new;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{api, create, object, pod, pods, refusal};
use crate::api::{self as ours, DaskCluster, Flow, FlowRun};
use crate::cluster_api::store::Key;
use crate::cluster_api::{ClusterApi, collect, kinds};

#[tokio::test(start_paused = true)]
async fn an_object_gets_what_the_api_server_gives_it() {
    let api = api();
    let created = pods(&api).create(&PostParams::default(), &pod("a")).await.unwrap();
    let meta = &created.metadata;
    assert_eq!((meta.namespace.as_deref(), meta.generation), (Some("default"), Some(1)));
    assert_eq!(meta.creation_timestamp.as_ref().unwrap().0.as_second(), super::START);
    assert_eq!(meta.uid.as_ref().unwrap().len(), 36);
    assert_eq!(created.status.clone().unwrap().phase.as_deref(), Some("Pending"));
    assert_eq!(pods(&api).get("a").await.unwrap(), created);
    let short = pods(&api).get_metadata("a").await.unwrap();
    assert_eq!(short.metadata.uid, created.metadata.uid);
    let (code, _, message) = refusal(pods(&api).create(&PostParams::default(), &pod("a")).await);
    assert_eq!((code, message.as_str()), (409, "pods \"a\" already exists"));
    let (code, reason, message) = refusal(pods(&api).get("b").await);
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "pods \"b\" not found"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_keeps_nothing_and_a_generated_name_is_new() {
    let api = api();
    let version = api.version();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    pods(&api).create(&dry, &pod("a")).await.unwrap();
    assert_eq!(api.version(), version);
    let mut nameless = pod("x");
    nameless.metadata.name = None;
    nameless.metadata.generate_name = Some("run-".to_owned());
    let one = pods(&api).create(&PostParams::default(), &nameless).await.unwrap().name_any();
    let two = pods(&api).create(&PostParams::default(), &nameless).await.unwrap().name_any();
    assert!(one.starts_with("run-") && one.len() == 9 && one != two, "{one} {two}");
}

#[tokio::test(start_paused = true)]
async fn our_kinds_have_their_defaults_and_their_rules() {
    let api = api();
    let clusters: Api<DaskCluster> = Api::namespaced(api.client(), "default");
    let cluster: DaskCluster = object(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "dask"},
        "spec": {"image": "dask:1"},
    }));
    let created = clusters.create(&PostParams::default(), &cluster).await.unwrap();
    assert_eq!(created.status.unwrap().observed_generation, Some(ours::UNSEEN));
    let runs: Api<FlowRun> = Api::namespaced(api.client(), "default");
    let run = |flow: &str| -> FlowRun {
        object(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "r"}, "spec": {"flow": flow},
        }))
    };
    let created = runs.create(&PostParams::default(), &run("etl")).await.unwrap();
    let mut other = created.clone();
    other.spec.flow = "elt".to_owned();
    let (code, reason, message) = refusal(runs.replace("r", &PostParams::default(), &other).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        message,
        "FlowRun.daskflow.dev \"r\" is invalid: spec.flow: Invalid value: \"elt\": flow cannot be changed: create \
         another FlowRun"
    );
    let flows: Api<Flow> = Api::namespaced(api.client(), "default");
    let bad = Patch::Merge(json!({"spec": {"flow": 1}}));
    assert_eq!(refusal(runs.patch("r", &PatchParams::default(), &bad).await).0, 422);
    assert_eq!(refusal(flows.get("none").await).2, "flows.daskflow.dev \"none\" not found");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_one_object_in_two_forms() {
    let api = api();
    let news: Api<new::Event> = Api::namespaced(api.client(), "default");
    let event: new::Event = object(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "etl.1"},
        "regarding": {"kind": "Flow", "name": "etl", "uid": "u"}, "note": "a note", "reason": "R", "type": "Normal",
        "action": "Reconcile", "eventTime": "2027-01-15T08:00:00.000000Z", "reportingController": "daskflow",
        "reportingInstance": "daskflow",
    }));
    news.create(&PostParams::default(), &event).await.unwrap();
    let olds: Api<Event> = Api::namespaced(api.client(), "default");
    let found = olds.list(&ListParams::default().fields("involvedObject.name=etl")).await.unwrap().items;
    assert_eq!((found.len(), found[0].message.as_deref()), (1, Some("a note")));
    assert_eq!(found[0].reporting_component.as_deref(), Some("daskflow"));
    let series = json!({"series": {"count": 2, "lastObservedTime": "2027-01-15T08:00:01.000000Z"}});
    let patched = news.patch("etl.1", &PatchParams::default(), &Patch::Merge(series)).await.unwrap();
    assert_eq!((patched.series.unwrap().count, patched.note.as_deref()), (2, Some("a note")));
}

#[tokio::test(start_paused = true)]
async fn core_kinds_are_kept() {
    let api = api();
    let params = PostParams::default();
    let secret: Secret = object(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}));
    let kept = Api::<Secret>::namespaced(api.client(), "default").create(&params, &secret).await.unwrap();
    assert_eq!(kept.data.unwrap()["k"].0, b"v");
    let map: ConfigMap = object(json!({"metadata": {"name": "m"}, "data": {"k": "v"}}));
    Api::<ConfigMap>::namespaced(api.client(), "default").create(&params, &map).await.unwrap();
    let service: Service = object(json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}));
    let services: Api<Service> = Api::namespaced(api.client(), "default");
    let kept = services.create(&params, &service).await.unwrap();
    let address = kept.spec.unwrap().cluster_ip.unwrap();
    assert_eq!(address, "10.96.0.2", "what is no Service uses no address up");
    let again = services.replace("s", &params, &service).await.unwrap();
    assert_eq!(again.spec.unwrap().cluster_ip, Some(address));
    let leases: Api<Lease> = Api::namespaced(api.client(), "default");
    let lease: Lease = object(json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "one"}}));
    let kept = leases.create(&params, &lease).await.unwrap();
    let (code, ..) = refusal(leases.replace("l", &params, &lease).await);
    assert_eq!(code, 422, "a Lease is never written over an unknown version");
    leases.replace("l", &params, &kept).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(api.client());
    assert_eq!(crds.list(&ListParams::default()).await.unwrap().items.len(), ours::crds().len());
    let (code, ..) = refusal(crds.delete("flows.daskflow.dev", &DeleteParams::default()).await);
    assert_eq!(code, 405);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_must_be_there_and_takes_all_with_it() {
    let api = api();
    let elsewhere: Api<Job> = Api::namespaced(api.client(), "team");
    let job: Job = object(json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]
    }}}}));
    let (code, _, message) = refusal(elsewhere.create(&PostParams::default(), &job).await);
    assert_eq!((code, message.as_str()), (404, "namespaces \"team\" not found"));
    let namespaces: Api<Namespace> = Api::all(api.client());
    let team: Namespace = object(json!({"metadata": {"name": "team"}}));
    namespaces.create(&PostParams::default(), &team).await.unwrap();
    elsewhere.create(&PostParams::default(), &job).await.unwrap();
    create(&api, &["stays"]).await;
    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    let mut other = job.clone();
    other.metadata.name = Some("late".to_owned());
    assert_eq!(refusal(elsewhere.create(&PostParams::default(), &other).await).0, 403);
    while api.collect() > 0 {}
    assert_eq!(refusal(namespaces.get("team").await).0, 404);
    assert!(elsewhere.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(pods(&api).list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_ends_after_its_contents_and_its_finalizers() {
    let namespaces: fn(&ClusterApi) -> Api<Namespace> = |api| Api::all(api.client());
    for params in [DeleteParams::foreground(), DeleteParams::orphan()] {
        let api = api();
        let team: Namespace = object(json!({"metadata": {"name": "team", "finalizers": ["test/keep"]}}));
        namespaces(&api).create(&PostParams::default(), &team).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(api.client(), "team");
        let map: ConfigMap = object(json!({"metadata": {"name": "m", "finalizers": ["test/keep"]}}));
        maps.create(&PostParams::default(), &map).await.unwrap();
        namespaces(&api).delete("team", &params).await.unwrap();
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        while api.collect() > 0 {}
        assert!(namespaces(&api).get("team").await.is_ok(), "its contents are there");
        maps.patch("m", &PatchParams::default(), &free).await.unwrap();
        while api.collect() > 0 {}
        assert_eq!(refusal(maps.get("m").await).0, 404);
        assert!(namespaces(&api).get("team").await.is_ok(), "it has a finalizer");
        namespaces(&api).patch("team", &PatchParams::default(), &free).await.unwrap();
        while api.collect() > 0 {}
        assert_eq!(refusal(namespaces(&api).get("team").await).0, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_ends_an_hour_after_its_last_time() {
    let api = api();
    let events: Api<Event> = Api::namespaced(api.client(), "default");
    let event: Event = object(json!({"metadata": {"name": "e"}, "involvedObject": {"name": "etl"}}));
    events.create(&PostParams::default(), &event).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert_eq!(api.collect(), 0);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(api.collect(), 1);
    assert_eq!(refusal(events.get("e").await).0, 404);
}

#[test]
fn of_too_many_events_the_oldest_end() {
    let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
    let kind = kinds::find("", "v1", "events").unwrap();
    let put = |numbers: std::ops::Range<i64>| {
        for number in numbers {
            let last = jiff::Timestamp::from_second(-(number % 1000)).unwrap();
            let key = Key::new("default", &number.to_string());
            api.lock().store.put(kind.stored, key, json!({"metadata": {}, "lastTimestamp": last}));
        }
    };
    put(0..2003);
    assert_eq!((api.collect(), api.collect()), (3, 0));
    let state = api.lock();
    let there =
        |number: u32| state.store.get(kind.stored, &Key::new("default", &number.to_string())).is_some();
    assert_eq!([999, 1999, 997, 2002].map(there), [false, false, true, true]);
    drop(state);
    // Within a minute a few more are left.
    put(3000..3200);
    assert_eq!(api.collect(), 0);
    put(3200..3201);
    assert_eq!(api.collect(), 201);
}

#[test]
fn a_pass_is_due_where_something_goes_or_has_a_new_owner() {
    let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
    let kind = kinds::find("", "v1", "pods").unwrap();
    let mut seen = api.version();
    let mut is_due = |object: Option<Value>| {
        let mut state = api.lock();
        let key = Key::new("default", "a");
        match object {
            Some(object) => drop(state.store.put(kind.stored, key, object)),
            None => drop(state.store.remove(kind.stored, &key)),
        }
        let due = collect::is_due(&state, seen);
        seen = state.store.version();
        due
    };
    let owned = json!([{"uid": "u"}]);
    assert!(!is_due(Some(json!({"metadata": {}}))), "it is without owner");
    assert!(is_due(Some(json!({"metadata": {"ownerReferences": owned}}))));
    assert!(!is_due(Some(json!({"metadata": {"ownerReferences": owned}, "status": 1}))));
    assert!(is_due(Some(json!({"metadata": {"deletionTimestamp": "now", "ownerReferences": owned}}))));
    assert!(is_due(None));
    let (event, kind) = (Key::new("default", "e"), kinds::find("", "v1", "events").unwrap());
    let mut state = api.lock();
    state.store.put(kind.stored, event.clone(), json!({"metadata": {}}));
    state.store.remove(kind.stored, &event);
    assert!(!collect::is_due(&state, seen), "events own nothing");
    seen = state.store.version();
    drop(state);
    assert!(!collect::is_due(&api.lock(), seen), "nothing has changed");
}

#[test]
fn two_of_the_same_seed_and_clock_are_the_same() {
    let of = |seed: u64| {
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, seed);
        let state = api.lock();
        state.store.all().map(|(_, _, object)| object.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    assert!(kinds::all().len() > 10);
}
