//! For the tests: an API server in memory whose watches tell the caches when the test lets them, a Job
//! controller and kubelets that do as the test says, and the controllers' queues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use http::Request;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::client::Body;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{self as testing, ApiServer, refusal, respond};
use crate::api::{DaskCluster, Flow, FlowRun, Kind};
use crate::daemon::clock::Clock;
use crate::operator::caches::Kept;
use crate::operator::context::Context;
use crate::operator::reconcile::{Planned, gone, reconcile};
use crate::operator::route::{Routes, Watched};
use crate::operator::wakes::Wakes;
use crate::plan::pods::runner;

/// The namespace of all objects.
pub(in crate::operator) const NAMESPACE: &str = "default";

/// What a watch tells: the plural of the kind, whether the object is gone, and the object.
type Told = (String, bool, Value);

/// What the API server holds.
pub(in crate::operator) struct Held {
    clock: Clock,
    version: u64,
    /// By the plural of the kind and the name.
    objects: BTreeMap<(String, String), Value>,
    told: VecDeque<Told>,
    asked: Vec<String>,
}

impl Held {
    /// Nothing yet. Objects are created at the time of this clock.
    pub(in crate::operator) fn new(clock: Clock) -> Self {
        Self { clock, version: 0, objects: BTreeMap::new(), told: VecDeque::new(), asked: Vec::new() }
    }

    /// The objects of a kind, by their names.
    pub(in crate::operator) fn all<K: DeserializeOwned>(&self, plural: &str) -> Vec<K> {
        let of_kind = self.objects.iter().filter(|((kind, _), _)| kind == plural);
        of_kind.map(|(_, object)| serde_json::from_value(object.clone()).unwrap()).collect()
    }

    /// Keeps an object, and tells the watches.
    fn put(&mut self, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert((plural.to_owned(), name), object.clone());
        self.told.push_back((plural.to_owned(), false, object.clone()));
        object
    }

    pub(in crate::operator) fn create(&mut self, plural: &str, mut object: Value) -> Value {
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(NAMESPACE);
        metadata["uid"] = json!(format!("uid-{plural}-{}", metadata["name"].as_str().unwrap()));
        metadata["generation"] = json!(1);
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!(self.clock.now().to_string());
        }
        if plural.starts_with("flow") {
            object["status"] = json!({"observedGeneration": -1});
        }
        let created = self.put(plural, object);
        if plural == "jobs" {
            self.put("pods", pod_of(&created));
        }
        created
    }

    /// What comes of a request.
    pub(in crate::operator) fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let key = (asked.plural.clone(), asked.name.clone());
        let there = self.objects.get(&key).cloned();
        match (asked.method.as_str(), there) {
            ("POST", _) if asked.dry_run => (201, asked.body.clone()),
            ("POST", Some(_)) => refusal(409, "AlreadyExists", "it is there"),
            ("POST", None) => (201, self.create(&asked.plural, asked.body.clone())),
            ("GET", _) if asked.name.is_empty() => {
                let (items, version) = (self.all::<Value>(&asked.plural), self.version.max(1).to_string());
                let metadata = json!({"resourceVersion": version});
                (200, json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}))
            }
            (_, None) => refusal(404, "NotFound", "there is none"),
            ("GET", Some(there)) => (200, there),
            ("DELETE", Some(there)) => {
                self.objects.remove(&key);
                self.told.push_back((asked.plural.clone(), true, there.clone()));
                (200, there)
            }
            ("PATCH", Some(there)) => {
                let version = &asked.body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != there["metadata"]["resourceVersion"] {
                    return refusal(409, "Conflict", "the object has been modified");
                }
                let mut changed = there;
                if asked.status {
                    changed["status"] = asked.body["status"].clone();
                }
                (200, self.put(&asked.plural, changed))
            }
            (method, _) => panic!("not expected here: {method}"),
        }
    }
}

/// The pod that the Job controller makes.
fn pod_of(job: &Value) -> Value {
    let name = job["metadata"]["name"].as_str().unwrap();
    let mut metadata = job["spec"]["template"]["metadata"].clone();
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(NAMESPACE);
    metadata["uid"] = json!(format!("uid-pod-{name}"));
    metadata["creationTimestamp"] = job["metadata"]["creationTimestamp"].clone();
    metadata["labels"]["batch.kubernetes.io/job-name"] = json!(name);
    metadata["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": job["spec"]["template"]["spec"]})
}

/// One request.
pub(in crate::operator) struct Asked {
    method: String,
    plural: String,
    name: String,
    status: bool,
    dry_run: bool,
    body: Value,
}

impl Asked {
    pub(in crate::operator) async fn of(request: Request<Body>) -> Self {
        let method = request.method().to_string();
        let (path, query) =
            (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        let after = path.split_once("/namespaces/default/").unwrap().1;
        let mut parts = after.split('/').map(str::to_owned);
        let (plural, name) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        let status = parts.next().is_some();
        let body = request.into_body().collect_bytes().await.unwrap();
        let body = testing::merged(serde_json::from_slice(&body).unwrap_or_default());
        let sent = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let name = if method == "POST" { sent } else { name };
        Self { method, plural, name, status, dry_run: query.contains("dryRun"), body }
    }

    /// The verb, the kind and the subresource.
    fn title(&self) -> String {
        let verb = match self.method.as_str() {
            "GET" if self.name.is_empty() => "LIST",
            other => other,
        };
        let more = if self.status { "/status" } else { "" };
        let dry = if self.dry_run { " (dry run)" } else { "" };
        format!("{verb} {}{more}{dry}", self.plural)
    }
}

/// All of it.
pub(in crate::operator) struct Stage {
    pub(in crate::operator) context: Arc<Context>,
    held: Arc<Mutex<Held>>,
    wakes: Wakes,
    _server: AbortOnDropHandle<()>,
}

impl Stage {
    /// An empty namespace, whose caches are full.
    pub(in crate::operator) fn new() -> Self {
        let (context, server, wakes) = testing::context(1);
        let held = Arc::new(Mutex::new(Held::new(context.clock.clone())));
        let task = tokio::spawn(serve(server, held.clone()));
        let stage = Self { context: Arc::new(context), held, wakes, _server: AbortOnDropHandle::new(task) };
        let stores = &stage.context.stores;
        fill(&stores.flows);
        fill(&stores.runs);
        fill(&stores.jobs);
        fill(&stores.pods);
        stage
    }

    /// Somebody creates an object.
    pub(in crate::operator) fn create(&self, plural: &str, object: Value) {
        self.held.lock().unwrap().create(plural, object);
    }

    /// Somebody changes an object.
    pub(in crate::operator) fn change(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut held = self.held.lock().unwrap();
        let mut object = held.objects[&(plural.to_owned(), name.to_owned())].clone();
        change(&mut object);
        held.put(plural, object);
    }

    /// Somebody deletes an object.
    pub(in crate::operator) fn remove(&self, plural: &str, name: &str) {
        let mut held = self.held.lock().unwrap();
        let object = held.objects.remove(&(plural.to_owned(), name.to_owned())).unwrap();
        held.version += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(held.version.to_string());
        held.told.push_back((plural.to_owned(), true, object));
    }

    /// The object as the API server has it.
    pub(in crate::operator) fn read<K: DeserializeOwned>(&self, plural: &str, name: &str) -> K {
        let held = self.held.lock().unwrap();
        serde_json::from_value(held.objects[&(plural.to_owned(), name.to_owned())].clone()).unwrap()
    }

    /// The names of the objects of a kind.
    pub(in crate::operator) fn names(&self, plural: &str) -> Vec<String> {
        let held = self.held.lock().unwrap();
        held.objects.keys().filter(|(kind, _)| kind == plural).map(|(_, name)| name.clone()).collect()
    }

    /// The kubelet tells how the runner's container is.
    pub(in crate::operator) fn runner(&self, pod: &str, phase: &str, state: &Value) {
        self.change("pods", pod, |pod| {
            pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": runner::CONTAINER, "image": "i",
                "imageID": "", "ready": true, "restartCount": 0, "state": state}]});
        });
    }

    /// What was asked since the last time.
    pub(in crate::operator) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.held.lock().unwrap().asked)
    }

    /// The next thing that a watch tells, taken in as the operator does. False: there is none.
    pub(in crate::operator) fn tell(&self) -> bool {
        let Some((plural, is_gone, object)) = self.held.lock().unwrap().told.pop_front() else {
            return false;
        };
        let routes = &self.context.routes;
        match plural.as_str() {
            "flows" => take::<Flow>(routes, is_gone, object),
            "flowruns" => take::<FlowRun>(routes, is_gone, object),
            "jobs" => take::<Job>(routes, is_gone, object),
            "pods" => take::<Pod>(routes, is_gone, object),
            _ => {}
        }
        true
    }

    /// Those that are to be looked at, each once.
    pub(in crate::operator) fn woken(&mut self) -> BTreeSet<(Kind, String)> {
        let mut woken = BTreeSet::new();
        for kind in [Kind::Flow, Kind::FlowRun, Kind::DaskCluster] {
            while let Some(wake) = self.wakes.try_recv(kind) {
                woken.insert((kind, wake.key.1.to_string()));
            }
        }
        woken
    }

    /// Looks at those that were woken, until nobody is; then lets the next watch tell, until none has
    /// anything to tell.
    pub(in crate::operator) async fn settle(&mut self) {
        loop {
            let woken = self.woken();
            if woken.is_empty() && !self.tell() {
                return;
            }
            for (kind, name) in woken {
                match kind {
                    Kind::Flow => self.look::<Flow>(&name).await,
                    Kind::FlowRun => self.look::<FlowRun>(&name).await,
                    _ => self.look::<DaskCluster>(&name).await,
                }
            }
        }
    }

    async fn look<K: Planned>(&self, name: &str) {
        match K::kept(&self.context.stores).get(&ObjectRef::new(name).within(NAMESPACE)) {
            // An error is looked at again when something changes.
            Some(object) => {
                let _ = reconcile(object, self.context.clone()).await;
                self.context.events.publish_waiting().await;
            }
            None => gone::<K>(&self.context, NAMESPACE, name),
        }
    }
}

/// The cache is full.
fn fill<K: Watched>(kept: &Kept<K>) {
    kept.take(None, Event::Init);
    kept.take(None, Event::InitDone);
}

/// Takes in what a watch tells.
fn take<K: Watched>(routes: &Routes, is_gone: bool, object: Value) {
    let object: K = serde_json::from_value(object).unwrap();
    assert!(!object.name_any().is_empty());
    let event = if is_gone { Event::Delete(object) } else { Event::Apply(object) };
    for object in K::kept(&routes.stores).take(None, event) {
        K::changed(routes, &object);
    }
}

async fn serve(mut server: ApiServer, held: Arc<Mutex<Held>>) {
    while let Some((request, reply)) = server.next_request().await {
        let asked = Asked::of(request).await;
        let answer = {
            let mut held = held.lock().unwrap();
            held.asked.push(asked.title());
            held.answer(&asked)
        };
        respond(reply, answer);
    }
}
