//! A namespace of one test, and what tests do in it.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use daskflow::api::{DaskCluster, Flow, FlowRun, FlowRunStatus, Phase, Reason};
use http::Request;
use k8s_openapi::api::core::v1::{Event, Namespace as CoreNamespace, Pod, ServiceAccount};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::clock::{Patience, describe, poll, watch_until, within};
use super::figures::say;
use super::settings::Settings;
use super::turns::Turn;

/// Seconds that pods of a deleted namespace have to end. Nobody waits for what they would still say.
const GRACE_S: u32 = 1;

/// The namespace of one test.
pub struct Namespace {
    /// Speaks to the cluster.
    pub client: Client,
    /// Images and place.
    pub settings: &'static Settings,
    /// The namespace's name.
    pub name: String,
    turn: Mutex<Option<Turn>>,
}

/// What a test reads and writes: a kind with namespaces.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + Debug
    + Send
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug
        + Send
        + 'static
{
}

impl Namespace {
    /// Makes the namespace of a test, ready for pods.
    pub async fn make(client: Client, settings: &'static Settings, test: &str) -> Self {
        let words: String = test.replace('_', "-").chars().take(40).collect();
        let name = format!("e2e-{}-{:04x}", words.trim_end_matches('-'), fastrand::u16(..));
        Self::called(client, settings, name, test).await
    }

    /// The same, under this name.
    pub async fn called(client: Client, settings: &'static Settings, name: String, test: &str) -> Self {
        let object = json!({"metadata": {"name": name, "labels": {"daskflow.dev/e2e": test}}});
        let namespaces: Api<CoreNamespace> = cluster_wide(&client);
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let namespace = Self::of_others(client, settings, &name);
        if settings.place != super::settings::Place::ApiServerOnly {
            let accounts: Api<ServiceAccount> = namespace.api();
            let wait = within(60, "the namespace has its service account");
            watch_until(accounts, "default", wait, |account| account.map(|_| ())).await;
        }
        namespace
    }

    /// A namespace that is there.
    pub fn of_others(client: Client, settings: &'static Settings, name: &str) -> Self {
        Self { client, settings, name: name.to_owned(), turn: Mutex::new(None) }
    }

    /// Has the turn of its test from now on.
    pub fn holds(&mut self, turn: Turn) {
        self.turn = Mutex::new(Some(turn));
    }

    /// Lets another test begin: from here on this one has no pods that work, and only waits.
    pub fn gives_turn_back(&self) {
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Deletes the namespace, lets another test begin, and waits until no pod of this one uses the machine.
    pub async fn delete(&self) {
        let namespaces: Api<CoreNamespace> = cluster_wide(&self.client);
        if let Err(error) = namespaces.delete(&self.name, &DeleteParams::default()).await {
            say(&format!("note: cannot delete namespace {}: {error}", self.name));
        }
        // In this order: nothing makes pods in a namespace that is being deleted.
        let hurry = DeleteParams::default().grace_period(GRACE_S);
        if let Err(error) = self.api::<Pod>().delete_collection(&hurry, &ListParams::default()).await {
            say(&format!("note: cannot hurry the pods of namespace {}: {error}", self.name));
        }
        self.gives_turn_back();
        poll(within(120, format!("no pod is left in the deleted namespace {}", self.name)), async || {
            let pods = self.try_list::<Pod>("").await.map_err(|error| error.to_string())?;
            let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
            if names.is_empty() { Ok(()) } else { Err(names.join(", ")) }
        })
        .await;
    }

    /// The objects of a kind in this namespace.
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates an object exactly as it is written, with kubectl's strictness about unknown fields.
    pub async fn create<K: Kind>(&self, object: Value) -> K {
        let written = object.to_string();
        self.try_create(object).await.unwrap_or_else(|status| panic!("{}: {written}", status.message))
    }

    /// Creates an object, or tells why the API server refuses it.
    pub async fn try_create<K: Kind>(&self, object: Value) -> Result<K, Box<Status>> {
        self.submit(Method::Create, object, "").await
    }

    /// What the API server would say to a new object.
    pub async fn judge_new<K: Kind>(&self, object: Value) -> Result<K, Box<Status>> {
        self.submit(Method::Create, object, "&dryRun=All").await
    }

    /// What the API server would say to another version of an object that exists.
    pub async fn judge_change<K: Kind>(&self, object: Value) -> Result<K, Box<Status>> {
        self.submit(Method::Replace, object, "&dryRun=All").await
    }

    async fn submit<K: Kind>(&self, method: Method, object: Value, more: &str) -> Result<K, Box<Status>> {
        let path = K::url_path(&(), Some(&self.name));
        let strict = format!("?fieldManager=e2e&fieldValidation=Strict{more}");
        let request = match method {
            Method::Create => Request::post(format!("{path}{strict}")),
            Method::Replace => {
                Request::put(format!("{path}/{}{strict}", object["metadata"]["name"].as_str().unwrap()))
            }
        };
        let request =
            request.header("Content-Type", "application/json").body(object.to_string().into_bytes()).unwrap();
        match self.client.request::<K>(request).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("no answer to {object}: {error}"),
        }
    }

    /// Changes some fields of an object.
    pub async fn change<K: Kind>(&self, name: &str, fields: Value) -> K {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(fields)).await.unwrap()
    }

    /// The object of this name.
    pub async fn get<K: Kind>(&self, name: &str) -> K {
        self.api::<K>().get(name).await.unwrap()
    }

    /// What `kubectl get` shows of an object, by the name of the column.
    pub async fn columns<K: Kind>(&self, name: &str) -> Map<String, Value> {
        let request = Request::get(format!("{}/{name}", K::url_path(&(), Some(&self.name))))
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        let table: Value = self.client.request(request.body(Vec::new()).unwrap()).await.unwrap();
        let names = table["columnDefinitions"].as_array().unwrap().iter();
        let cells = table["rows"][0]["cells"].as_array().unwrap().iter().cloned();
        names.map(|column| column["name"].as_str().unwrap().to_owned()).zip(cells).collect()
    }

    /// The objects that a label selector chooses; all with an empty one.
    pub async fn list<K: Kind>(&self, labels: &str) -> Vec<K> {
        self.try_list(labels).await.unwrap()
    }

    /// The same, while the API server may be away.
    pub async fn try_list<K: Kind>(&self, labels: &str) -> Result<Vec<K>, kube::Error> {
        Ok(self.api::<K>().list(&ListParams::default().labels(labels)).await?.items)
    }

    /// Watches an object until it is as wanted.
    pub async fn until<K: Kind>(&self, name: &str, patience: Patience, wanted: impl Fn(&K) -> bool) -> K {
        watch_until(self.api(), name, patience, |object: Option<&K>| {
            object.filter(|object| wanted(object)).cloned()
        })
        .await
    }

    /// Watches until no object of this kind has this name.
    pub async fn until_gone<K: Kind>(&self, name: &str, patience: Patience) {
        watch_until(self.api(), name, patience, |object: Option<&K>| object.is_none().then_some(())).await;
    }

    /// A `DaskCluster` whose workers are all there.
    pub async fn ready_cluster(&self, object: Value) -> DaskCluster {
        let cluster: DaskCluster = self.create(object).await;
        let wait = within(180, format!("DaskCluster {} is ready", cluster.name_any()));
        self.until(&cluster.name_any(), wait, is_ready).await
    }

    /// Creates a run by hand; the answer is its name.
    pub async fn start_run(&self, flow: &str) -> String {
        self.create::<FlowRun>(super::run_now(flow, Value::Null)).await.name_any()
    }

    /// Watches a run until it stands in this phase. It fails at once when the run ends in another one.
    pub async fn until_phase(&self, run: &str, phase: Phase, limit_s: u64) -> FlowRun {
        let wait = within(limit_s, format!("FlowRun {run} is {}", phase.as_str()));
        let run = watch_until(self.api(), run, wait, |run: Option<&FlowRun>| {
            run.filter(|run| phase_of(run) == phase || phase_of(run).is_final()).cloned()
        });
        let run = run.await;
        assert_eq!(phase_of(&run), phase, "{}", describe(&run));
        run
    }

    /// Watches a run until it says that it is held, or goes on, for this reason.
    pub async fn until_reason(&self, run: &str, reason: Reason, limit_s: u64) -> FlowRunStatus {
        let wait = within(limit_s, format!("FlowRun {run} says {}", reason.as_str()));
        let says = |run: &FlowRun| {
            run.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some(reason.as_str()))
        };
        self.until(run, wait, says).await.status.unwrap()
    }

    /// Watches a run to its end; the answer is what it says of it.
    pub async fn until_ended(&self, run: &str, limit_s: u64) -> FlowRunStatus {
        let wait = within(limit_s, format!("FlowRun {run} has ended"));
        self.until(run, wait, |run: &FlowRun| phase_of(run).is_final()).await.status.unwrap()
    }

    /// The messages of the events with this reason about an object.
    pub async fn events(&self, name: &str, reason: &str) -> Vec<String> {
        let mut events: Vec<Event> = self.list("").await;
        events.retain(|event| {
            event.involved_object.name.as_deref() == Some(name) && event.reason.as_deref() == Some(reason)
        });
        events.into_iter().map(|event| event.message.unwrap_or_default()).collect()
    }

    /// The runs of a flow, by scheduled time and name.
    pub async fn runs_of(&self, flow: &str) -> Vec<FlowRun> {
        let mut runs: Vec<FlowRun> = self.list("").await;
        runs.retain(|run| run.spec.flow == flow);
        runs.sort_by_key(|run| (run.spec.scheduled_time.as_ref().map(|time| time.0), run.name_any()));
        runs
    }

    /// A flow whose status answers to its spec.
    pub async fn observed_flow(&self, object: Value) -> Flow {
        let flow: Flow = self.create(object).await;
        let (name, generation) = (flow.name_any(), flow.metadata.generation);
        self.until(&name, within(60, format!("Flow {name} is observed")), |flow: &Flow| {
            flow.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        })
        .await
    }
}

enum Method {
    Create,
    Replace,
}

fn cluster_wide<K: Resource<DynamicType = (), Scope = ClusterResourceScope>>(client: &Client) -> Api<K> {
    Api::all(client.clone())
}

/// Where a run stands.
pub fn phase_of(run: &FlowRun) -> Phase {
    run.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// Whether a cluster answers to its spec and is ready.
pub fn is_ready(cluster: &DaskCluster) -> bool {
    let status = cluster.status.clone().unwrap_or_default();
    status.observed_generation == cluster.metadata.generation
        && status.workers.ready == status.workers.desired
        && status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
