//! What is known of the objects of dask-kubernetes: watches of their kinds, and what they have told.
//!
//! They are read as objects of any kind: what does not make sense in one is for the planner to say, and stops
//! no watch. Nothing is planned in a namespace before all their kinds are known in it, as workers of a group
//! that is not known yet would be removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, stream};
use kube::api::{Api, DynamicObject};
use kube::core::TypeMeta;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::operator::caches::Watched;
use crate::operator::watch::{WATCH_TIMEOUT_S, paused, retries};
use crate::plan::compat::adapter::TheirKind;

/// What a watch of theirs tells: of which kind and of which place, and what.
pub(super) type Told = (TheirKind, usize, Result<Event<DynamicObject>, watcher::Error>);

/// What is looked at: a cluster or a job, by kind, namespace and name.
pub(super) type Subject = (TheirKind, String, String);

/// The watches of their kinds.
pub(super) fn watches(client: &Client, watched: &Watched) -> SelectAll<BoxStream<'static, Told>> {
    let places = (0..watched.places()).flat_map(|place| TheirKind::ALL.map(|kind| (place, kind)));
    let streams = places.map(|(place, kind)| {
        let (client, resource) = (client.clone(), kind.resource());
        let api: Api<DynamicObject> = match watched.namespace(place) {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT_S);
        let events = watcher(api, config).backoff(retries());
        paused(events).map(move |event| (kind, place, event)).boxed()
    });
    stream::select_all(streams)
}

/// The objects of one namespace and kind, by name.
type Named = BTreeMap<String, Arc<DynamicObject>>;

/// All that is known.
#[derive(Default)]
pub(super) struct Theirs {
    objects: HashMap<(TheirKind, String), Named>,
    /// What the lists that are under way have told until now.
    listing: HashMap<(TheirKind, usize), Vec<DynamicObject>>,
    /// The kinds and places that have been listed once.
    listed: BTreeSet<(TheirKind, usize)>,
}

impl Theirs {
    /// Takes in what a watch tells; gives what is to be looked at.
    pub(super) fn take(
        &mut self,
        watched: &Watched,
        (kind, place): (TheirKind, usize),
        event: Event<DynamicObject>,
    ) -> BTreeSet<Subject> {
        match event {
            Event::Init => {
                self.listing.insert((kind, place), Vec::new());
                BTreeSet::new()
            }
            Event::InitApply(object) => {
                self.listing.entry((kind, place)).or_default().push(object);
                BTreeSet::new()
            }
            Event::InitDone => self.replace(watched.namespace(place), kind, place),
            Event::Apply(object) => self.put(kind, object),
            Event::Delete(object) => self.remove(kind, &object),
        }
    }

    /// A list is whole: what is not in it is not there any more.
    fn replace(&mut self, namespace: Option<&str>, kind: TheirKind, place: usize) -> BTreeSet<Subject> {
        let listed = self.listing.remove(&(kind, place)).unwrap_or_default();
        let is_new = self.listed.insert((kind, place));
        let names: BTreeSet<(String, String)> =
            listed.iter().map(|object| (object.namespace().unwrap_or_default(), object.name_any())).collect();
        let of_place = |known: &(TheirKind, String)| {
            known.0 == kind && namespace.is_none_or(|namespace| namespace == known.1)
        };
        let known = self.objects.iter().filter(|(key, _)| of_place(key));
        let lost: Vec<Arc<DynamicObject>> = known
            .flat_map(|((_, namespace), named)| {
                named.iter().map(move |(name, object)| (namespace, name, object))
            })
            .filter(|(namespace, name, _)| !names.contains(&((*namespace).clone(), (*name).clone())))
            .map(|(_, _, object)| object.clone())
            .collect();
        let mut woken: BTreeSet<Subject> = lost.iter().flat_map(|object| self.remove(kind, object)).collect();
        for object in listed {
            woken.extend(self.put(kind, object));
        }
        // The others of the place may have waited for this kind.
        if is_new { self.all() } else { woken }
    }

    fn put(&mut self, kind: TheirKind, mut object: DynamicObject) -> BTreeSet<Subject> {
        // Half of its memory, and in lists the types may be left out.
        object.metadata.managed_fields = None;
        object.types =
            Some(TypeMeta { api_version: TheirKind::api_version(), kind: kind.as_str().to_owned() });
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let mut woken = subjects(kind, &object);
        let named = self.objects.entry((kind, namespace)).or_default();
        if let Some(was) = named.insert(name, Arc::new(object)) {
            woken.extend(subjects(kind, &was));
        }
        woken
    }

    fn remove(&mut self, kind: TheirKind, object: &DynamicObject) -> BTreeSet<Subject> {
        let key = (kind, object.namespace().unwrap_or_default());
        if let Some(named) = self.objects.get_mut(&key) {
            named.remove(&object.name_any());
            if named.is_empty() {
                self.objects.remove(&key);
            }
        }
        subjects(kind, object)
    }

    /// Whether all their kinds are known in a namespace.
    pub(super) fn is_known(&self, watched: &Watched, namespace: &str) -> bool {
        let place = (0..watched.places())
            .find(|place| watched.namespace(*place).is_none_or(|watched| watched == namespace));
        place.is_some_and(|place| TheirKind::ALL.iter().all(|kind| self.listed.contains(&(*kind, place))))
    }

    /// The object of this name.
    pub(super) fn get(&self, (kind, namespace, name): &Subject) -> Option<Arc<DynamicObject>> {
        self.objects.get(&(*kind, namespace.clone()))?.get(name).cloned()
    }

    /// The objects of this kind that name this cluster.
    pub(super) fn of_cluster(
        &self,
        kind: TheirKind,
        namespace: &str,
        cluster: &str,
    ) -> Vec<Arc<DynamicObject>> {
        let named = self.objects.get(&(kind, namespace.to_owned()));
        let all = named.into_iter().flat_map(BTreeMap::values);
        all.filter(|object| cluster_of(object) == cluster).cloned().collect()
    }

    /// Everything that is looked at.
    pub(super) fn all(&self) -> BTreeSet<Subject> {
        let looked_at = |kind: TheirKind| matches!(kind, TheirKind::Cluster | TheirKind::Job);
        let all = self.objects.iter().filter(|((kind, _), _)| looked_at(*kind));
        all.flat_map(|((kind, namespace), named)| {
            named.keys().map(move |name| (*kind, namespace.clone(), name.clone()))
        })
        .collect()
    }
}

/// The cluster that a group or an autoscaler names.
fn cluster_of(object: &DynamicObject) -> &str {
    object.data.pointer("/spec/cluster").and_then(Value::as_str).unwrap_or_default()
}

/// What an object concerns.
fn subjects(kind: TheirKind, object: &DynamicObject) -> BTreeSet<Subject> {
    let namespace = object.namespace().unwrap_or_default();
    match kind {
        TheirKind::Group | TheirKind::Autoscaler => {
            [(TheirKind::Cluster, namespace, cluster_of(object).to_owned())].into()
        }
        TheirKind::Job => [(kind, namespace, object.name_any())].into(),
        TheirKind::Cluster => {
            let owners = object.owner_references().iter();
            let jobs = owners.filter(|owner| TheirKind::of_owner(owner) == Some(TheirKind::Job));
            let jobs = jobs.map(|owner| (TheirKind::Job, namespace.clone(), owner.name.clone()));
            // One that a job wants is missing even if it has not been of the job.
            let of_name = (TheirKind::Job, namespace.clone(), object.name_any());
            jobs.chain([of_name, (kind, namespace.clone(), object.name_any())]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, rest: &Value) -> DynamicObject {
        let mut object = json!({"metadata": {"name": name, "namespace": "team"}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn list(theirs: &mut Theirs, kind: TheirKind, objects: &[DynamicObject]) -> BTreeSet<Subject> {
        let watched = Watched::new(&[], 0);
        let mut take = |event| theirs.take(&watched, (kind, 0), event);
        take(Event::Init);
        for object in objects {
            take(Event::InitApply(object.clone()));
        }
        take(Event::InitDone)
    }

    fn subject(kind: TheirKind, name: &str) -> Subject {
        (kind, "team".to_owned(), name.to_owned())
    }

    #[test]
    fn nothing_is_known_of_a_namespace_before_all_kinds_are() {
        let (mut theirs, watched) = (Theirs::default(), Watched::new(&[], 0));
        let cluster = subject(TheirKind::Cluster, "a");
        for (at, kind) in TheirKind::ALL.into_iter().enumerate() {
            assert!(!theirs.is_known(&watched, "team"), "{at}");
            let named = if kind == TheirKind::Cluster { vec![object("a", &json!({}))] } else { Vec::new() };
            let woken = list(&mut theirs, kind, &named);
            assert!(woken.contains(&cluster), "what may have waited for {kind:?} is looked at");
        }
        assert!(theirs.is_known(&watched, "team"));
    }

    #[test]
    fn what_a_list_lacks_is_looked_at_and_not_known_any_more() {
        let mut theirs = Theirs::default();
        let of = |cluster: &str| json!({"spec": {"cluster": cluster}});
        list(&mut theirs, TheirKind::Group, &[object("x", &of("a")), object("y", &of("b"))]);
        let woken = list(&mut theirs, TheirKind::Group, &[object("y", &of("b"))]);
        assert_eq!(woken, ["a", "b"].map(|name| subject(TheirKind::Cluster, name)).into());
        assert_eq!(theirs.get(&subject(TheirKind::Group, "x")), None);
        assert_eq!(theirs.of_cluster(TheirKind::Group, "team", "a"), Vec::new());
        assert_eq!(theirs.of_cluster(TheirKind::Group, "team", "b").len(), 1);
    }

    #[test]
    fn a_group_that_names_another_cluster_concerns_both() {
        let (mut theirs, watched) = (Theirs::default(), Watched::new(&[], 0));
        let mut apply = |cluster: &str| {
            let group = object("x", &json!({"spec": {"cluster": cluster}}));
            theirs.take(&watched, (TheirKind::Group, 0), Event::Apply(group))
        };
        apply("a");
        assert_eq!(apply("b"), ["a", "b"].map(|name| subject(TheirKind::Cluster, name)).into());
    }
}
