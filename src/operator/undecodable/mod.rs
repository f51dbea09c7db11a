//! Objects that do not decode: they are logged, counted, told of it and left out, and must not stop the watch
//! for all.
//!
//! One that did decode before stays known as it was, until it is deleted: what was made for it must not fall.
//! Nothing is planned for it meanwhile, and what needs it waits: an operator that has started since does not
//! know it at all.

mod register;
mod tell;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use kube::api::ApiResource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

use crate::api::Kind;
use crate::api::kind::title;
use crate::plan::conditions::cut;
pub(super) use register::Register;
use register::{Id, Problem};
pub(super) use tell::tell_all;

/// So much is said of what is wrong: a text of the wrong type would stand there whole.
const ERROR_BYTES_MAX: usize = 200;

/// Those of one watch.
pub(super) struct Undecodable {
    /// All of the kind: other watches may share it.
    gauge: Gauge,
    /// Those of all watches.
    register: Arc<Register>,
    /// Those of this one that were counted and registered.
    counted: BTreeMap<Id, Problem>,
    known: BTreeMap<Id, Problem>,
    /// The watch is listing, so that not all are known.
    listing: bool,
}

impl Undecodable {
    /// None is known yet.
    pub(super) fn new(gauge: Gauge, register: Arc<Register>) -> Self {
        Self { gauge, register, counted: BTreeMap::new(), known: BTreeMap::new(), listing: false }
    }

    /// Takes the guard off, and most of the managed fields too, which are half of an object's memory.
    pub(super) fn open<K>(&mut self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>>
    where
        K: Resource<DynamicType = ()> + Debug,
    {
        match event {
            Event::Apply(guard) => self.object(guard).map(Event::Apply),
            Event::InitApply(guard) => self.object(guard).map(Event::InitApply),
            Event::Delete(guard) => {
                self.is_no_more(&key(&guard));
                guard.0.ok().map(Event::Delete)
            }
            Event::Init => {
                self.known.clear();
                self.listing = true;
                Some(Event::Init)
            }
            Event::InitDone => {
                self.listing = false;
                self.count();
                Some(Event::InitDone)
            }
        }
    }

    fn object<K>(&mut self, guard: DeserializeGuard<K>) -> Option<K>
    where
        K: Resource<DynamicType = ()> + Debug,
    {
        let id = key(&guard);
        match guard.0 {
            Ok(mut object) => {
                condense(&mut object);
                self.is_no_more(&id);
                Some(object)
            }
            Err(invalid) => {
                let (kind, namespace, name) = &id;
                let error = cut(&invalid.error, ERROR_BYTES_MAX);
                let problem =
                    Problem { resource: ApiResource::erase::<K>(&()), uid: invalid.metadata.uid, error };
                if self.counted.get(&id) != Some(&problem) {
                    let error = &problem.error;
                    tracing::warn!(
                        kind,
                        namespace,
                        name,
                        error,
                        "an object is ignored because it does not decode"
                    );
                }
                self.is_one(id, problem);
                None
            }
        }
    }

    /// This one does not decode; while all are listed, they are counted at the end.
    fn is_one(&mut self, id: Id, problem: Problem) {
        if !self.listing {
            if self.counted.insert(id.clone(), problem.clone()).is_none() {
                self.gauge.inc();
            }
            self.register.put(id.clone(), problem.clone());
        }
        self.known.insert(id, problem);
    }

    /// This one decodes, or is gone.
    fn is_no_more(&mut self, id: &Id) {
        self.known.remove(id);
        if !self.listing && self.counted.remove(id).is_some() {
            self.gauge.dec();
            self.register.remove(id);
        }
    }

    /// Those that a list has shown, and no others.
    fn count(&mut self) {
        let number = |objects: &BTreeMap<Id, Problem>| i64::try_from(objects.len()).unwrap_or(i64::MAX);
        self.gauge.inc_by(number(&self.known).saturating_sub(number(&self.counted)));
        for id in self.counted.keys().filter(|id| !self.known.contains_key(*id)) {
            self.register.remove(id);
        }
        for (id, problem) in &self.known {
            self.register.put(id.clone(), problem.clone());
        }
        self.counted.clone_from(&self.known);
    }
}

/// Of a Flow and a FlowRun the planner wants to know who wrote the spec, and when. Nobody wants to know which
/// fields.
pub(super) fn condense<K: Resource<DynamicType = ()>>(object: &mut K) {
    let metadata = object.meta_mut();
    let mut writers = metadata.managed_fields.take().unwrap_or_default();
    writers.retain(|writer| {
        let fields = writer.fields_v1.as_ref();
        writer.subresource.is_none() && fields.is_none_or(|fields| fields.0.get("f:spec").is_some())
    });
    for writer in &mut writers {
        writer.fields_v1 = None;
    }
    if matches!(Kind::of::<K>(), Some(Kind::Flow | Kind::FlowRun)) && !writers.is_empty() {
        metadata.managed_fields = Some(writers);
    }
}

fn key<K: Resource<DynamicType = ()>>(guard: &DeserializeGuard<K>) -> Id {
    let metadata = match &guard.0 {
        Ok(object) => object.meta(),
        Err(invalid) => &invalid.metadata,
    };
    let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
    (title::<K>(), namespace.unwrap_or_default(), name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::testing::foreign;
    use crate::api::{DaskCluster, FlowRun};

    fn run(name: &str, flow: &serde_json::Value) -> DeserializeGuard<FlowRun> {
        let metadata = json!({"name": name, "namespace": "team"});
        let run = json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata,
            "spec": {"flow": flow}});
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn of_managed_fields_what_the_planner_asks_for_is_left() {
        let mut undecodable = Undecodable::new(Gauge::default(), Arc::default());
        let mut seen = run("a", &json!("etl"));
        let writer = |subresource: Option<&str>, fields: serde_json::Value| {
            serde_json::from_value(
                json!({"manager": "kubectl", "operation": "Apply", "subresource": subresource,
                "time": "2026-12-01T09:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}),
            )
            .unwrap()
        };
        seen.0.as_mut().unwrap().metadata.managed_fields = Some(vec![
            writer(None, json!({"f:spec": {"f:flow": {}}})),
            writer(None, json!({"f:metadata": {"f:labels": {}}})),
            writer(Some("status"), json!({"f:status": {}})),
        ]);
        let Some(Event::Apply(kept)) = undecodable.open(Event::Apply(seen)) else { panic!("it decodes") };
        let writers = kept.metadata.managed_fields.unwrap();
        assert_eq!(writers.len(), 1);
        assert!(writers[0].time.is_some() && writers[0].fields_v1.is_none());
    }

    #[test]
    fn what_does_not_decode_is_known_by_its_name() {
        let register = Arc::new(Register::default());
        let mut watch = Undecodable::new(Gauge::default(), register.clone());
        let has = |name: &str| register.has::<FlowRun>("team", name);
        watch.open(Event::Apply(run("a", &json!(["etl"]))));
        assert!(has("a") && !has("b") && !register.has::<crate::api::Flow>("team", "a"));
        watch.open::<FlowRun>(Event::Init);
        watch.open(Event::InitApply(run("b", &json!(["etl"]))));
        assert!(has("a") && !has("b"), "a list counts when it is whole");
        watch.open::<FlowRun>(Event::InitDone);
        assert!(!has("a") && has("b"));
        watch.open(Event::Apply(run("b", &json!("etl"))));
        assert!(!has("b"));
    }

    #[test]
    fn one_of_another_group_is_not_taken_for_ours() {
        let register = Arc::new(Register::default());
        let mut watch = Undecodable::new(Gauge::default(), register.clone());
        let object = json!({"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster",
            "metadata": {"name": "demo", "namespace": "team"}, "spec": 1});
        let guard: DeserializeGuard<foreign::DaskCluster> = serde_json::from_value(object).unwrap();
        assert!(watch.open(Event::Apply(guard)).is_none());
        assert!(register.has::<foreign::DaskCluster>("team", "demo"));
        assert!(!register.has::<DaskCluster>("team", "demo"));
        assert_eq!(register.names(), "DaskCluster.kubernetes.dask.org team/demo");
        let (id, problem) = register.untold().remove(0);
        let about = register::reference(&id, &problem);
        assert_eq!(about.api_version.as_deref(), Some("kubernetes.dask.org/v1"));
        assert_eq!(about.kind.as_deref(), Some("DaskCluster"));
    }

    #[test]
    fn objects_count_while_they_are_there_and_do_not_decode() {
        let gauge = Gauge::default();
        let watch = || Undecodable::new(gauge.clone(), Arc::default());
        let (mut one, mut other) = (watch(), watch());
        let (good, bad) = (json!("etl"), json!(["etl"]));
        assert!(one.open(Event::Apply(run("a", &good))).is_some());
        assert!(one.open(Event::Apply(run("b", &bad))).is_none());
        assert!(one.open(Event::Apply(run("b", &bad))).is_none());
        assert!(other.open(Event::Apply(run("c", &bad))).is_none());
        assert_eq!(gauge.get(), 2, "b and c");
        one.open(Event::Apply(run("b", &good)));
        assert_eq!(gauge.get(), 1, "b was mended");
        one.open(Event::Apply(run("d", &bad)));
        // The watch starts anew; d went away meanwhile, and e is there.
        one.open::<FlowRun>(Event::Init);
        assert_eq!(gauge.get(), 2, "nothing is known to have changed");
        one.open(Event::InitApply(run("e", &bad)));
        one.open::<FlowRun>(Event::InitDone);
        assert_eq!(gauge.get(), 2, "c and e");
        one.open(Event::Delete(run("e", &bad)));
        assert_eq!(gauge.get(), 1);
    }
}
