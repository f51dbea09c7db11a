//! The comparison itself: each thing that takes something away is found, and what adds is let through.

use rstest::rstest;
use serde_json::{Value, json};

use super::compare::violations;

/// A definition with one of everything.
fn definition() -> Value {
    json!({
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "shortNames": ["th"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": [{"name": "Ready", "type": "string", "jsonPath": ".status.ready"}],
                "selectableFields": [{"jsonPath": ".spec.word"}],
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.number"}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": {"spec": {
                        "type": "object",
                        "properties": {
                            "word": {"type": "string", "enum": ["A", "B"], "default": "A"},
                            "text": {"type": "string", "minLength": 2, "maxLength": 9, "nullable": true},
                            "name": {"type": "string", "pattern": "^a"},
                            "number": {"type": "integer", "minimum": 1, "maximum": 9},
                            "list": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                            "map": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string"}},
                            "opaque": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                            "amount": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
                            "ruled": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'x'", "message": "no x"}]},
                        },
                    }},
                }},
            }],
        },
    })
}

const VERSION: &str = "/spec/versions/0";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// Sets a value, or takes it away where it is null. `~` stands for the version, `@` for the properties of the
/// spec.
fn changed(pointer: &str, value: Value) -> Value {
    let mut definition = definition();
    let pointer = pointer.replace('~', VERSION).replace('@', &format!("{SPEC}/properties"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = definition.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}"));
    match parent {
        Value::Array(list) => {
            let index: usize = key.parse().unwrap();
            assert!(value.is_null());
            list.remove(index);
        }
        Value::Object(map) if value.is_null() => assert!(map.remove(key).is_some(), "{key}"),
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        other => panic!("{other}"),
    }
    definition
}

#[rstest]
#[case::another_scope("/spec/scope", json!("Cluster"), "/spec/scope is another one")]
#[case::another_group("/spec/group", json!("example.com"), "/spec/group is another one")]
#[case::another_kind("/spec/names/kind", json!("Think"), "/spec/names/kind is another one")]
#[case::another_plural("/spec/names/plural", json!("thingies"), "/spec/names/plural is another one")]
#[case::no_short_name("/spec/names/shortNames/0", Value::Null, "th is gone")]
#[case::no_category("/spec/names/categories/0", Value::Null, "all is gone")]
#[case::no_version("/spec/versions/0", Value::Null, "the version v1 is gone")]
#[case::unserved("~/served", json!(false), "no longer served")]
#[case::no_status("~/subresources/status", Value::Null, "the subresource status")]
#[case::another_scale("~/subresources/scale/specReplicasPath", json!(".spec.n"), "the subresource scale")]
#[case::no_column("~/additionalPrinterColumns/0", Value::Null, "the printer column \"Ready\"")]
#[case::another_column("~/additionalPrinterColumns/0/type", json!("date"), "the printer column \"Ready\"")]
#[case::not_selectable("~/selectableFields/0", Value::Null, "the selectable field \".spec.word\"")]
#[case::no_field("@/text", Value::Null, ".spec.text: is gone")]
#[case::another_type("@/number/type", json!("string"), ".spec.number: type was \"integer\" and is \"string\"")]
#[case::no_word("@/word/enum/1", Value::Null, ".spec.word: enum lost B")]
#[case::a_set_of_words("@/text/enum", json!(["ab"]), ".spec.text: enum came")]
#[case::another_default("@/word/default", json!("B"), ".spec.word: default was \"A\" and is \"B\"")]
#[case::no_default("@/word/default", Value::Null, ".spec.word: default was \"A\" and is null")]
#[case::a_default("@/number/default", json!(3), ".spec.number: default was null and is 3")]
#[case::required(&format!("{SPEC}/required"), json!(["text"]), ".spec: text is required now")]
#[case::larger_minimum("@/number/minimum", json!(2), ".spec.number: minimum was 1 and is 2")]
#[case::smaller_maximum("@/number/maximum", json!(8), ".spec.number: maximum was 9 and is 8")]
#[case::larger_min_length("@/text/minLength", json!(3), ".spec.text: minLength was 2 and is 3")]
#[case::smaller_max_length("@/text/maxLength", json!(8), ".spec.text: maxLength was 9 and is 8")]
#[case::a_max_length("@/name/maxLength", json!(8), ".spec.name: maxLength was null and is 8")]
#[case::larger_min_items("@/list/minItems", json!(2), ".spec.list: minItems")]
#[case::smaller_max_items("@/list/maxItems", json!(2), ".spec.list: maxItems was 3 and is 2")]
#[case::smaller_max_properties("@/map/maxProperties", json!(2), ".spec.map: maxProperties was 3 and is 2")]
#[case::another_pattern("@/name/pattern", json!("^ab"), ".spec.name: pattern")]
#[case::a_pattern("@/text/pattern", json!("^a"), ".spec.text: pattern was null")]
#[case::a_format("@/text/format", json!("date-time"), ".spec.text: format was null")]
#[case::not_nullable("@/text/nullable", Value::Null, ".spec.text: nullable is gone")]
#[case::another_list_type("@/list/x-kubernetes-list-type", json!("atomic"), ".spec.list: x-kubernetes-list-type")]
#[case::pruned(
    "@/opaque/x-kubernetes-preserve-unknown-fields",
    Value::Null,
    ".spec.opaque: x-kubernetes-preserve-unknown-fields is gone"
)]
#[case::not_pruned("@/map/x-kubernetes-preserve-unknown-fields", json!(true), ".spec.map: x-kubernetes-preserve-unknown-fields came")]
#[case::no_int_or_string(
    "@/amount/x-kubernetes-int-or-string",
    Value::Null,
    ".spec.amount: x-kubernetes-int-or-string is gone"
)]
#[case::no_choice("@/amount/anyOf", Value::Null, ".spec.amount: anyOf")]
#[case::another_item("@/list/items/type", json!("integer"), ".spec.list[]: type")]
#[case::another_value("@/map/additionalProperties/type", json!("integer"), ".spec.map{}: type")]
#[case::no_values("@/map/additionalProperties", Value::Null, ".spec.map{}: is gone")]
#[case::a_rule("@/text/x-kubernetes-validations", json!([{"rule": "self != 'ab'"}]), ".spec.text: new rule self != 'ab'")]
#[case::another_rule("@/ruled/x-kubernetes-validations/0/rule", json!("self != 'y'"), ".spec.ruled: new rule self != 'y'")]
fn what_takes_something_away_is_found(#[case] pointer: &str, #[case] value: Value, #[case] told: &str) {
    let found = violations(&definition(), &changed(pointer, value), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(told), "{found:?} does not say {told}");
}

#[rstest]
#[case::nothing("/metadata/name", json!("things.example.org"))]
#[case::a_field("@/colour", json!({"type": "string", "default": "red", "enum": ["red"]}))]
#[case::a_word("@/word/enum", json!(["A", "B", "C"]))]
#[case::a_smaller_minimum("@/number/minimum", json!(0))]
#[case::a_larger_maximum("@/number/maximum", json!(10))]
#[case::no_maximum("@/number/maximum", Value::Null)]
#[case::no_pattern("@/name/pattern", Value::Null)]
#[case::no_rule("@/ruled/x-kubernetes-validations/0", Value::Null)]
#[case::another_message("@/ruled/x-kubernetes-validations/0/message", json!("not x"))]
#[case::a_description("@/text/description", json!("A text."))]
#[case::nullable("@/name/nullable", json!(true))]
#[case::nothing_required(&format!("{SPEC}/../../required"), json!([]))]
#[case::a_short_name("/spec/names/shortNames", json!(["th", "tg"]))]
#[case::a_column("~/additionalPrinterColumns", json!([{"name": "Age", "type": "date"}, {"name": "Ready", "type": "string"}]))]
fn what_adds_is_let_through(#[case] pointer: &str, #[case] value: Value) {
    let pointer = pointer.replace("/properties/spec/../../", "/");
    assert_eq!(violations(&definition(), &changed(&pointer, value), &[]), Vec::<String>::new());
}

#[test]
fn a_rule_that_is_known_to_shut_nothing_out_is_let_through() {
    let new = changed("@/text/x-kubernetes-validations", json!([{"rule": "self != 'ab'"}]));
    assert_eq!(violations(&definition(), &new, &[(".spec.text", "self != 'ab'")]), Vec::<String>::new());
    assert_eq!(violations(&definition(), &new, &[(".spec.name", "self != 'ab'")]).len(), 1);
}
