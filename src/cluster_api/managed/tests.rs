use std::collections::BTreeSet;

use super::*;
use crate::cluster_api::fields::Way;
use crate::cluster_api::kinds;
use crate::cluster_api::places::{at, shown, take_away};

fn shape() -> Shape<'static> {
    Shape::of(kinds::find("", "v1", "pods").unwrap())
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "labels": {"x": "1"}, "finalizers": ["f"], "uid": "u"},
        "spec": {"containers": [{"name": "main", "image": "i", "command": ["a", "b"]}], "nodeSelector": {"a": "b"}},
        "status": {"phase": "Pending"},
    })
}

fn by(manager: &str, door: Door) -> Entry {
    writer(manager, false, "v1", door, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_set_has_the_form_of_fields_v1() {
    let fields = Fields::of(&pod(), shape(), Door::Main);
    let expected = json!({
        "f:metadata": {"f:labels": {"f:x": {}}, "f:finalizers": {"v:\"f\"": {}}},
        "f:spec": {
            "f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:name": {}, "f:image": {}, "f:command": {}}},
            "f:nodeSelector": {},
        },
    });
    assert_eq!(fields.clone().write(), expected);
    assert_eq!(Fields::read(&expected), fields);
    assert_eq!(Fields::of(&pod(), shape(), Door::Status).write(), json!({"f:status": {"f:phase": {}}}));
}

#[test]
fn paths_are_shown_as_the_api_server_shows_them() {
    let fields = Fields::of(&pod(), shape(), Door::Main);
    let shown: Vec<String> = fields.ways().iter().map(|way| shown(way)).collect();
    assert!(shown.contains(&".spec.containers[name=\"main\"].image".to_owned()), "{shown:?}");
    assert!(shown.contains(&".metadata.finalizers[=\"f\"]".to_owned()), "{shown:?}");
    assert!(shown.contains(&".spec.containers[name=\"main\"]".to_owned()), "{shown:?}");
}

#[test]
fn every_place_of_a_set_is_found_and_can_be_taken_away() {
    let fields = Fields::of(&pod(), shape(), Door::Main);
    let mut object = pod();
    for way in fields.ways() {
        assert!(at(&pod(), &way).is_some(), "{way:?}");
        take_away(&mut object, &way, &|_| false);
    }
    let left = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u"}, "status": {"phase": "Pending"}});
    assert_eq!(object, left);
}

#[test]
fn what_a_write_changes_is_its_managers() {
    let mut first = pod();
    after_update(None, &mut first, shape(), Door::Main, by("one", Door::Main));
    let mut second = first.clone();
    second["spec"]["containers"][0]["image"] = json!("j");
    second["metadata"]["labels"] = json!({"y": "2"});
    after_update(Some(&first), &mut second, shape(), Door::Main, by("two", Door::Main));
    let all = entries(&second);
    assert_eq!(all.iter().map(|entry| entry.manager.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(
        all[1].fields.clone().write(),
        json!({
            "f:metadata": {"f:labels": {"f:y": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {"f:image": {}}}},
        })
    );
    let image = ["f:spec", "f:containers", "k:{\"name\":\"main\"}", "f:image"].map(str::to_owned);
    assert!(!all[0].fields.has(&image));
    let mut third = second.clone();
    third["status"]["phase"] = json!("Running");
    after_update(Some(&second), &mut third, shape(), Door::Status, by("two", Door::Status));
    let all = entries(&third);
    assert_eq!((all.len(), all[2].subresource.as_str()), (3, "status"));
    assert_eq!(all[2].shown(), "\"two\" with subresource \"status\" using v1 at 1970-01-01T00:00:00Z");
}

#[test]
fn a_write_that_changes_nothing_changes_no_entry() {
    let mut first = pod();
    after_update(None, &mut first, shape(), Door::Main, by("one", Door::Main));
    let mut second = first.clone();
    after_update(Some(&first), &mut second, shape(), Door::Main, by("two", Door::Main));
    assert_eq!(first, second);
}

/// What differs between two objects is what their sets and values say, place by place.
#[test]
fn changes_are_those_of_the_places() {
    let parts = [
        json!(null),
        json!({}),
        json!([]),
        json!("x"),
        json!({"a": 1}),
        json!({"a": {"b": 1}, "c": {}}),
        json!({"a": {}, "c": {"d": 1}}),
        json!([{"name": "one", "image": "i"}]),
        json!([{"name": "one", "image": "j"}, {"name": "two"}]),
        json!([{"name": "one", "env": [{"name": "E", "value": "1"}]}]),
        json!([{"name": "one", "env": []}]),
        json!(["f", "g"]),
        json!(["g"]),
    ];
    let with = |field: &str, part: &Value| {
        let mut object = json!({"metadata": {"name": "a"}, "spec": {"x": 1}});
        match field {
            "finalizers" => object["metadata"][field] = part.clone(),
            _ => object["spec"][field] = part.clone(),
        }
        object
    };
    for field in ["containers", "free", "nodeSelector", "finalizers"] {
        for (old, new) in parts.iter().flat_map(|old| parts.iter().map(move |new| (old, new))) {
            let (old, new) = (with(field, old), with(field, new));
            let (before, after) =
                (Fields::of(&old, shape(), Door::Main), Fields::of(&new, shape(), Door::Main));
            let gone: BTreeSet<Way> = before.ways().into_iter().filter(|way| !after.has(way)).collect();
            let changed = after.ways().into_iter().filter(|way| {
                let is_item = way.last().is_some_and(|element| !element.starts_with("f:"));
                !before.has(way) || (!is_item && at(&old, way) != at(&new, way))
            });
            let found = Changes::between(&old, &new, shape(), Door::Main);
            assert_eq!(found.gone.into_iter().collect::<BTreeSet<_>>(), gone, "{old} {new}");
            assert_eq!(found.changed.into_iter().collect::<BTreeSet<_>>(), changed.collect(), "{old} {new}");
        }
    }
}

#[test]
fn places_come_into_a_set_and_go() {
    let way = |text: &str| -> Way { text.split('/').map(str::to_owned).collect() };
    let mut fields = Fields::default();
    for (text, expected) in [
        ("f:a/f:b", json!({"f:a": {"f:b": {}}})),
        ("f:a/f:b/f:c", json!({"f:a": {"f:b": {".": {}, "f:c": {}}}})),
        ("f:a", json!({"f:a": {".": {}, "f:b": {".": {}, "f:c": {}}}})),
    ] {
        fields.add(&way(text));
        assert_eq!(fields.clone().write(), expected);
        assert!(fields.has(&way(text)));
    }
    for (text, expected) in [
        ("f:a/f:b/f:c", json!({"f:a": {".": {}, "f:b": {}}})),
        ("f:a/f:x", json!({"f:a": {".": {}, "f:b": {}}})),
        ("f:a/f:b/f:c", json!({"f:a": {".": {}, "f:b": {}}})),
        ("f:a/f:b", json!({"f:a": {}})),
        ("f:a", json!({})),
    ] {
        fields.remove(&way(text));
        assert_eq!(fields.clone().write(), expected);
        assert!(!fields.has(&way(text)));
    }
    assert!(fields.is_empty());
}
