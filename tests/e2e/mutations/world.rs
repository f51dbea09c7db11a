//! What is in the namespace of the mutations, as watches see it, and how it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use http::Request;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What is watched: the kinds of ours, and what they make.
const WATCHED: [(&str, &str, &str, &str); 10] = [
    ("daskflow.dev", "v1alpha1", "Flow", "flows"),
    ("daskflow.dev", "v1alpha1", "DaskCluster", "daskclusters"),
    ("daskflow.dev", "v1alpha1", "FlowRun", "flowruns"),
    ("daskflow.dev", "v1alpha1", "FlowBackfill", "flowbackfills"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("batch", "v1", "Job", "jobs"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
];

/// Kind and name of an object.
pub type Key = (String, String);

/// The newest version of an object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The object.
    pub object: Value,
    /// The version before it.
    pub before: Value,
    /// When it came.
    pub at: Instant,
    /// How many versions there were.
    pub versions: usize,
    /// All reasons that it has given since [`World::forget_reasons`].
    pub reasons: BTreeSet<String>,
}

/// An answer of the API server that is no success.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its code.
    pub code: u16,
    /// All that it says, the fields among it.
    pub message: String,
}

/// The namespace.
pub struct World {
    client: Client,
    namespace: String,
    seen: Arc<Mutex<BTreeMap<Key, Seen>>>,
    watches: Vec<JoinHandle<()>>,
}

fn lock(seen: &Mutex<BTreeMap<Key, Seen>>) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Begins to watch.
    pub fn watch(client: Client, namespace: &str) -> Self {
        let seen = Arc::default();
        let watches = WATCHED.map(|(group, version, kind, plural)| {
            let resource = ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: format!("{group}/{version}").trim_start_matches('/').to_owned(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
            };
            let api = Api::namespaced_with(client.clone(), namespace, &resource);
            tokio::spawn(follow(api, kind, Arc::clone(&seen)))
        });
        Self { client, namespace: namespace.to_owned(), seen, watches: watches.into() }
    }

    /// The newest version of an object that is there.
    pub fn get(&self, kind: &str, name: &str) -> Option<Seen> {
        lock(&self.seen).get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    /// How many versions were seen of each object of our kinds that is there.
    pub fn versions(&self) -> BTreeMap<Key, usize> {
        let ours = WATCHED.iter().filter(|(group, ..)| *group == "daskflow.dev").map(|(_, _, kind, _)| *kind);
        let ours: BTreeSet<_> = ours.collect();
        let seen = lock(&self.seen);
        let all = seen.iter().filter(|((kind, _), _)| ours.contains(kind.as_str()));
        all.map(|(key, seen)| (key.clone(), seen.versions)).collect()
    }

    /// Reasons are collected anew from here on, of an object and of what belongs to it.
    pub fn forget_reasons(&self, of: &[Key]) {
        let mut seen = lock(&self.seen);
        for key in of {
            if let Some(seen) = seen.get_mut(key) {
                seen.reasons.clear();
            }
        }
    }

    /// All that an object owns, and what those own; of a Flow and a FlowBackfill all their runs.
    pub fn family(&self, kind: &str, name: &str) -> Vec<(Key, Seen)> {
        let seen = lock(&self.seen);
        let Some(first) = seen.get(&(kind.to_owned(), name.to_owned())) else { return Vec::new() };
        let mut uids = BTreeSet::from([uid(&first.object).to_owned()]);
        let mut found: BTreeMap<&Key, &Seen> = BTreeMap::new();
        loop {
            let is_of = |object: &Value| {
                let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
                let is_owned = owners.filter_map(|owner| owner["uid"].as_str()).any(|uid| uids.contains(uid));
                let names = match kind {
                    "Flow" => &object["spec"]["flow"],
                    "FlowBackfill" => &object["spec"]["backfill"],
                    _ => &Value::Null,
                };
                is_owned || *names == json!(name)
            };
            let new: Vec<_> =
                seen.iter().filter(|(key, seen)| !found.contains_key(key) && is_of(&seen.object)).collect();
            if new.is_empty() {
                return found.into_iter().map(|(key, seen)| (key.clone(), seen.clone())).collect();
            }
            uids.extend(new.iter().map(|(_, seen)| uid(&seen.object).to_owned()));
            found.extend(new);
        }
    }

    /// Creates an object.
    pub async fn create(&self, kind: &str, object: &Value) -> Result<Value, Refusal> {
        let request = Request::post(format!("{}?fieldValidation=Strict", self.path(kind)));
        self.send(request, "application/json", object).await
    }

    /// Carries out a JSON patch.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<Value, Refusal> {
        let request = Request::patch(format!("{}/{name}?fieldValidation=Strict", self.path(kind)));
        self.send(request, "application/json-patch+json", patch).await
    }

    /// Deletes an object and, in the background, what it owns.
    pub async fn delete(&self, kind: &str, name: &str) {
        let request = Request::delete(format!("{}/{name}", self.path(kind)));
        let now = json!({"gracePeriodSeconds": 1, "propagationPolicy": "Background"});
        // It may be deleted already, by what was changed.
        let _ = self.send(request, "application/json", &now).await;
    }

    async fn send(
        &self,
        request: http::request::Builder,
        content: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let request = request.header("Content-Type", content).body(body.to_string().into_bytes()).unwrap();
        self.client.request::<Value>(request).await.map_err(|error| match error {
            kube::Error::Api(status) => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let fields: Vec<_> = causes.map(|cause| cause.field.as_str()).collect();
                Refusal { code: status.code, message: format!("{} [{}]", status.message, fields.join(" ")) }
            }
            error => Refusal { code: 0, message: error.to_string() },
        })
    }

    fn path(&self, kind: &str) -> String {
        let (group, version, _, plural) = WATCHED.iter().find(|(_, _, of, _)| *of == kind).unwrap();
        let of_group = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        format!("{of_group}/{version}/namespaces/{}/{plural}", self.namespace)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The reasons that an object gives in its conditions and in its status.
fn reasons(object: &Value) -> impl Iterator<Item = String> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let all = conditions.map(|condition| &condition["reason"]).chain([&object["status"]["reason"]]);
    all.filter_map(Value::as_str).map(str::to_owned)
}

async fn follow(api: Api<DynamicObject>, kind: &str, all: Arc<Mutex<BTreeMap<Key, Seen>>>) {
    let mut events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let (object, is_listed) = match event {
            Ok(Event::Apply(object)) => (object, false),
            Ok(Event::InitApply(object)) => (object, true),
            Ok(Event::Delete(object)) => {
                lock(&all).remove(&(kind.to_owned(), object.name_any()));
                continue;
            }
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitDone) => {
                lock(&all).retain(|(of, name), _| of != kind || listed.contains(name));
                continue;
            }
            Err(_) => continue,
        };
        if is_listed {
            listed.insert(object.name_any());
        }
        note(&mut lock(&all), kind, object);
    }
}

fn note(all: &mut BTreeMap<Key, Seen>, kind: &str, object: DynamicObject) {
    let key = (kind.to_owned(), object.name_any());
    let object = serde_json::to_value(object).unwrap();
    match all.get_mut(&key) {
        Some(seen) if seen.object["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"] => {
        }
        Some(seen) => {
            seen.reasons.extend(reasons(&object));
            seen.before = std::mem::replace(&mut seen.object, object);
            seen.at = Instant::now();
            seen.versions += 1;
        }
        None => {
            let reasons = reasons(&object).collect();
            all.insert(key, Seen { object, before: Value::Null, at: Instant::now(), versions: 1, reasons });
        }
    }
}
