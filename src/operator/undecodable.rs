//! Objects that do not decode: they are logged, counted and left out, and must not stop the watch for all.
//!
//! One that did decode before stays known as it was, until it is deleted: what was made for it must not fall. Nothing is
//! written for it meanwhile, since it is read anew before that.

use std::collections::HashSet;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use prometheus_client::metrics::gauge::Gauge;

/// Those of one watch.
pub(super) struct Undecodable {
    /// All of the kind: other watches may share it.
    gauge: Gauge,
    /// How many of them are ours.
    told: i64,
    /// Namespace and name.
    known: HashSet<(String, String)>,
    /// The watch is listing, so that not all are known.
    listing: bool,
}

impl Undecodable {
    /// None is known yet.
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { gauge, told: 0, known: HashSet::new(), listing: false }
    }

    /// Takes the guard off, and most of the managed fields too, which are half of an object's memory.
    pub(super) fn open<K>(&mut self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>>
    where
        K: Resource<DynamicType = ()> + Debug,
    {
        let opened = match event {
            Event::Apply(guard) => self.object(guard).map(Event::Apply),
            Event::InitApply(guard) => self.object(guard).map(Event::InitApply),
            Event::Delete(guard) => {
                self.known.remove(&key(&guard));
                guard.0.ok().map(Event::Delete)
            }
            Event::Init => {
                self.known.clear();
                self.listing = true;
                Some(Event::Init)
            }
            Event::InitDone => {
                self.listing = false;
                Some(Event::InitDone)
            }
        };
        if !self.listing {
            self.tell();
        }
        opened
    }

    fn object<K>(&mut self, guard: DeserializeGuard<K>) -> Option<K>
    where
        K: Resource<DynamicType = ()> + Debug,
    {
        let (namespace, name) = key(&guard);
        match guard.0 {
            Ok(mut object) => {
                condense(object.meta_mut(), &K::kind(&()));
                self.known.remove(&(namespace, name));
                Some(object)
            }
            Err(invalid) => {
                let (kind, error) = (K::kind(&()), invalid.error);
                tracing::warn!(%kind, namespace, name, error, "an object is ignored because it does not decode");
                self.known.insert((namespace, name));
                None
            }
        }
    }

    fn tell(&mut self) {
        let known = i64::try_from(self.known.len()).unwrap_or(i64::MAX);
        self.gauge.inc_by(known.saturating_sub(self.told));
        self.told = known;
    }
}

/// Of a Flow and a FlowRun the planner wants to know who wrote the spec, and when. Nobody wants to know which fields.
fn condense(metadata: &mut ObjectMeta, kind: &str) {
    let mut writers = metadata.managed_fields.take().unwrap_or_default();
    writers.retain(|writer| {
        let fields = writer.fields_v1.as_ref();
        writer.subresource.is_none() && fields.is_none_or(|fields| fields.0.get("f:spec").is_some())
    });
    for writer in &mut writers {
        writer.fields_v1 = None;
    }
    if matches!(kind, "Flow" | "FlowRun") && !writers.is_empty() {
        metadata.managed_fields = Some(writers);
    }
}

fn key<K: Resource<DynamicType = ()>>(guard: &DeserializeGuard<K>) -> (String, String) {
    let metadata = match &guard.0 {
        Ok(object) => object.meta(),
        Err(invalid) => &invalid.metadata,
    };
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::FlowRun;

    fn run(name: &str, flow: &serde_json::Value) -> DeserializeGuard<FlowRun> {
        let metadata = json!({"name": name, "namespace": "team"});
        let run = json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata,
            "spec": {"flow": flow}});
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn of_managed_fields_what_the_planner_asks_for_is_left() {
        let mut undecodable = Undecodable::new(Gauge::default());
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
    fn objects_count_while_they_are_there_and_do_not_decode() {
        let gauge = Gauge::default();
        let (mut one, mut other) = (Undecodable::new(gauge.clone()), Undecodable::new(gauge.clone()));
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
