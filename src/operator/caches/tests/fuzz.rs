//! What an API server may hand out as ours: the good objects of `tests/api`, with values of any kind and
//! depth in any place of the spec, as an API server does that serves other definitions than this program
//! knows. Whatever is in one object, the others of its list are read, and nothing panics over the one.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use kube::core::ObjectList;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun};
use crate::operator::caches::bounded::Bounded;
use crate::plan;

/// The good objects.
static GOOD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/good");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let texts: Vec<String> = files.collect();
    let documents = texts.iter().flat_map(|text| serde_yaml::Deserializer::from_str(text));
    let objects = documents.map(|document| Value::deserialize(document).unwrap());
    objects.filter(|object| object.get("kind").is_some()).collect()
});

/// A text in place of a value.
fn odd() -> impl Strategy<Value = String> {
    let nested = |levels: usize| [r#"{"a":["#.repeat(levels), "1".to_owned(), "]}".repeat(levels)].concat();
    let plain = [
        "null",
        "true",
        "-1",
        "0",
        "1e300",
        "-0.5",
        "18446744073709551616",
        r#""""#,
        "[]",
        "{}",
        r#""\u0000""#,
        "[null]",
        r#"{"":null}"#,
        r#""9999999999h""#,
        r#""P1000000Y""#,
        r#""* * * * *""#,
        r#""0001-01-01T00:00:00Z""#,
    ];
    prop_oneof![
        4 => select(plain.map(str::to_owned).to_vec()),
        2 => (1_usize..60).prop_map(nested),
        1 => (60_usize..5_000).prop_map(nested),
        1 => (1_usize..4_000).prop_map(|length| format!("\"{}\"", "é".repeat(length))),
    ]
}

/// How many values there are, the object itself too.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(fields) => fields.values().map(places).sum::<usize>(),
        _ => 0,
    }
}

/// Puts a mark in place of the value of this number, but for the metadata's and the kind's.
fn mark(value: &mut Value, at: &mut usize, mark_text: &str) {
    if *at == 0 {
        *value = json!(mark_text);
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, at, mark_text)),
        Value::Object(fields) => fields.values_mut().for_each(|item| mark(item, at, mark_text)),
        _ => {}
    }
}

/// The object as text, with these texts in places of its spec.
fn changed(object: &Value, changes: &[(Index, String)]) -> String {
    let mut object = object.clone();
    let marks: Vec<String> = (0..changes.len()).map(|number| format!("<{number}>")).collect();
    for ((place, _), mark_text) in changes.iter().zip(&marks) {
        let Some(spec) = object.get_mut("spec") else { continue };
        let mut at = place.index(places(spec));
        mark(spec, &mut at, mark_text);
    }
    let mut text = object.to_string();
    for ((_, odd), mark_text) in changes.iter().zip(&marks) {
        text = text.replace(&format!("\"{mark_text}\""), odd);
    }
    text
}

/// Reads a list of the two; judges what was read as the planners do.
fn read<K>(changed: &str, good: &Value, judge: impl Fn(&K))
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let text = format!(r#"{{"metadata":{{"resourceVersion":"1"}},"items":[{changed},{good}]}}"#);
    let list: ObjectList<Bounded<K>> = serde_json::from_str(&text).unwrap();
    let store = kube::runtime::reflector::store::Writer::default().as_reader();
    let mut objects = list.items.into_iter().map(|object| object.known(&store));
    if let Some(object) = objects.next().unwrap() {
        judge(&object);
    }
    judge(&objects.next().unwrap().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_in_one_object_the_others_are_read(
        at in any::<Index>(),
        changes in vec((any::<Index>(), odd()), 1..4),
    ) {
        let good = at.get(&GOOD);
        let changed = changed(good, &changes);
        match good["kind"].as_str() {
            Some("Flow") => read::<Flow>(&changed, good, |flow| drop(plan::flow::violations(flow))),
            Some("DaskCluster") => read::<DaskCluster>(&changed, good, |cluster| drop(plan::cluster::violations(cluster))),
            Some("FlowRun") => read::<FlowRun>(&changed, good, |run| {
                plan::flow::parameters::violation_of_own(run.spec.parameters.as_ref());
            }),
            Some("FlowBackfill") => read::<FlowBackfill>(&changed, good, |backfill| {
                plan::flow::parameters::violation_of_own(backfill.spec.parameters.as_ref());
            }),
            other => panic!("{other:?}"),
        }
    }
}
