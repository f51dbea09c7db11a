//! One cache and several namespaces.

mod fuzz;

use futures::FutureExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::cache::Cache;
use super::*;

fn map(namespace: &str, name: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, ..ConfigMap::default() }
}

fn cache() -> (Cache<ConfigMap>, Store<ConfigMap>) {
    let writer = Writer::default();
    let store = writer.as_reader();
    (Cache::new(writer, Vec::new()), store)
}

/// Lists these objects anew. Gives what is told of the list.
fn list(cache: &mut Cache<ConfigMap>, namespace: Option<&str>, objects: &[ConfigMap]) -> Vec<String> {
    let mut told = cache.take(namespace, Event::Init);
    for object in objects {
        told.extend(cache.take(namespace, Event::InitApply(object.clone())));
    }
    told.extend(cache.take(namespace, Event::InitDone));
    names(told.iter())
}

fn names<'a>(objects: impl Iterator<Item = &'a ConfigMap>) -> Vec<String> {
    let name = |object: &ConfigMap| format!("{}/{}", object.namespace().unwrap(), object.name_any());
    let mut names: Vec<_> = objects.map(name).collect();
    names.sort();
    names
}

fn all(store: &Store<ConfigMap>) -> Vec<String> {
    names(store.state().iter().map(AsRef::as_ref))
}

#[test]
fn a_list_of_one_namespace_drops_nothing_of_the_others() {
    let (mut cache, store) = cache();
    list(&mut cache, Some("a"), &[map("a", "one"), map("a", "two")]);
    list(&mut cache, Some("b"), &[map("b", "one")]);
    assert_eq!(all(&store), ["a/one", "a/two", "b/one"]);

    assert_eq!(list(&mut cache, Some("a"), &[map("a", "two"), map("a", "three")]), ["a/one"]);
    assert_eq!(all(&store), ["a/three", "a/two", "b/one"]);
    assert_eq!(list(&mut cache, Some("a"), &[]), ["a/three", "a/two"]);
    assert_eq!(all(&store), ["b/one"]);
}

#[test]
fn two_lists_at_once_do_not_count_for_each_other() {
    let (mut cache, store) = cache();
    list(&mut cache, Some("b"), &[map("b", "one")]);
    cache.take(Some("a"), Event::Init);
    cache.take(Some("b"), Event::Init);
    cache.take(Some("a"), Event::InitApply(map("a", "one")));
    assert_eq!(all(&store), ["a/one", "b/one"], "what is not listed yet is still there");
    cache.take(Some("b"), Event::InitApply(map("b", "two")));
    assert_eq!(names(cache.take(Some("b"), Event::InitDone).iter()), ["b/one"]);
    assert_eq!(names(cache.take(Some("a"), Event::InitDone).iter()), Vec::<String>::new());
    assert_eq!(all(&store), ["a/one", "b/two"]);
}

#[test]
fn a_list_that_broke_off_counts_for_nothing() {
    let (mut cache, store) = cache();
    cache.take(None, Event::Init);
    cache.take(None, Event::InitApply(map("a", "gone since")));
    assert_eq!(list(&mut cache, None, &[map("b", "one")]), ["a/gone since"]);
    assert_eq!(all(&store), ["b/one"]);
}

#[test]
fn changes_are_told_and_kept() {
    let (mut cache, store) = cache();
    assert_eq!(names(cache.take(Some("a"), Event::Apply(map("a", "one"))).iter()), ["a/one"]);
    assert_eq!(all(&store), ["a/one"]);
    assert_eq!(names(cache.take(Some("a"), Event::Delete(map("a", "one"))).iter()), ["a/one"]);
    assert!(store.is_empty());
}

fn watched(namespaces: &[&str]) -> Watched {
    let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    Watched::new(&namespaces, 2)
}

fn is_ready(watched: &Watched) -> bool {
    watched.wait_until_ready().now_or_never().is_some()
}

#[test]
fn a_namespace_is_known_when_all_kinds_are() {
    let watched = watched(&["a", "b"]);
    assert!(!watched.listed(0, "Pod"));
    assert!(!watched.is_known("a"));
    assert!(watched.listed(0, "Job"), "that is news");
    assert!(watched.is_known("a") && !watched.is_known("b") && !watched.is_known("elsewhere"));
    assert!(!watched.listed(0, "Job"), "a second list is no news");
}

#[test]
fn ready_is_who_has_an_answer_about_each_namespace() {
    let watched = watched(&["a", "b", "c"]);
    for place in [0, 1] {
        watched.listed(place, "Pod");
        watched.listed(place, "Job");
    }
    assert!(!is_ready(&watched), "nothing is known of c");
    assert!(watched.refused(2, "Job"));
    assert!(!watched.refused(2, "Job"), "told once");
    assert!(watched.refused(2, "Service"), "each kind is told");
    assert!(is_ready(&watched));
    assert!(!watched.is_known("c"));
    watched.listed(2, "Pod");
    assert!(!watched.refused(2, "Job"), "half of the rights are not enough");
    watched.listed(2, "Pod");
    assert!(watched.listed(2, "Job"));
    assert!(watched.is_known("c"));
    assert!(watched.refused(2, "Job"), "rights that were taken away are news");
}

#[test]
fn an_operator_without_any_rights_is_not_ready() {
    for namespaces in [&["a", "b"][..], &[]] {
        let watched = watched(namespaces);
        (0..watched.places()).for_each(|place| assert!(watched.refused(place, "Pod")));
        assert!(!is_ready(&watched), "{namespaces:?}");
    }
}

#[test]
fn all_namespaces_are_one_place() {
    let watched = watched(&[]);
    assert_eq!((watched.places(), watched.namespace(0)), (1, None));
    watched.listed(0, "Pod");
    assert!(!is_ready(&watched));
    watched.listed(0, "Job");
    assert!(is_ready(&watched) && watched.is_known("any"));
}

fn broken(namespace: &str, name: &str) -> DeserializeGuard<ConfigMap> {
    let metadata = map(namespace, name).metadata;
    DeserializeGuard(Err(InvalidObject { error: "no such field".to_owned(), metadata }))
}

#[test]
fn what_does_not_decode_any_more_is_known_until_it_is_gone() {
    let (mut cache, store) = cache();
    list(&mut cache, None, &[map("a", "one"), map("a", "two"), map("b", "one")]);

    cache.take(None, Event::Init);
    assert_eq!(names(cache.take_undecodable(None, &Event::InitApply(broken("a", "one"))).iter()), [""; 0]);
    assert_eq!(
        names(cache.take(None, Event::InitDone).iter()),
        ["a/two", "b/one"],
        "only they are not listed"
    );
    assert_eq!(all(&store), ["a/one"]);

    assert_eq!(names(cache.take_undecodable(None, &Event::Apply(broken("a", "one"))).iter()), [""; 0]);
    assert_eq!(names(cache.take_undecodable(None, &Event::Delete(broken("b", "one"))).iter()), [""; 0]);
    assert_eq!(names(cache.take_undecodable(None, &Event::Delete(broken("a", "one"))).iter()), ["a/one"]);
    assert_eq!(all(&store), [""; 0]);
}

fn versioned(name: &str, uid: &str, version: u32) -> ConfigMap {
    let mut map = map("a", name);
    (map.metadata.uid, map.metadata.resource_version) = (Some(uid.to_owned()), Some(version.to_string()));
    map
}

fn version_of(store: &Store<ConfigMap>, name: &str) -> Option<String> {
    let known = store.get(&kube::runtime::reflector::ObjectRef::new(name).within("a"))?;
    known.metadata.resource_version.clone()
}

#[test]
fn what_is_written_here_is_known_at_once_and_no_news_later() {
    let (mut cache, store) = cache();
    list(&mut cache, None, &[versioned("one", "u", 3)]);
    let ticket = cache.ticket();
    assert!(cache.take_written(ticket, versioned("one", "u", 7)));
    assert_eq!(version_of(&store, "one").as_deref(), Some("7"));
    assert_eq!(cache.take(None, Event::Apply(versioned("one", "u", 5))), [], "overtaken");
    assert_eq!(cache.take(None, Event::Apply(versioned("one", "u", 7))), [], "known");
    assert_eq!(version_of(&store, "one").as_deref(), Some("7"));
    assert_eq!(cache.take(None, Event::Apply(versioned("one", "u", 9))).len(), 1);
    assert!(!cache.take_written(ticket, versioned("one", "u", 8)), "the watch is past it");
}

#[test]
fn an_answer_that_is_late_brings_nothing_back() {
    let (mut cache, store) = cache();
    list(&mut cache, None, &[versioned("one", "u", 3)]);
    let ticket = cache.ticket();
    // It was created with version 5, and has gone since.
    cache.take(None, Event::Delete(versioned("two", "v", 6)));
    assert!(!cache.take_written(ticket, versioned("two", "v", 5)));
    // The same, but a list has come in between.
    list(&mut cache, None, &[versioned("one", "u", 3)]);
    assert!(!cache.take_written(ticket, versioned("two", "v", 8)));
    cache.take(None, Event::Init);
    let during = cache.ticket();
    assert!(!cache.take_written(during, versioned("two", "v", 8)), "nobody knows how old the list is");
    assert_eq!(version_of(&store, "two"), None);
}

#[test]
fn the_end_of_one_of_the_same_name_before_it_leaves_what_was_written() {
    let (mut cache, store) = cache();
    list(&mut cache, None, &[versioned("one", "old", 3)]);
    let ticket = cache.ticket();
    assert!(cache.take_written(ticket, versioned("one", "new", 7)));
    assert_eq!(
        cache.take(None, Event::Delete(versioned("one", "old", 6))).len(),
        1,
        "somebody may wait for it"
    );
    assert_eq!(version_of(&store, "one").as_deref(), Some("7"));
}
