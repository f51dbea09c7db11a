use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::json;

use super::super::schemas::SCHEMAS;
use super::*;

fn told(schema: &Value, value: &Value) -> Vec<String> {
    let mut value = value.clone();
    prune_nulls(schema, &mut value, None);
    let line = |finding: Finding| format!("{}: {}", finding.path, finding.message);
    findings(schema, &value).into_iter().map(line).collect()
}

#[rstest]
#[case(json!({"type": "integer"}), json!(2.0), None)]
#[case(json!({"type": "integer"}), json!(2.5), Some("must be of type integer; 2.5 is a number"))]
#[case(json!({"type": "integer"}), json!("2"), Some("must be of type integer; \"2\" is a text"))]
#[case(json!({"type": "string"}), json!(true), Some("must be of type string; true is a boolean (write it in quotes to make it a text)"))]
#[case(json!({"type": "object"}), json!(3), Some("must be of type object; 3 is a number"))]
#[case(json!({"type": "array"}), json!(true), Some("must be of type array; true is a boolean"))]
#[case(json!({"type": "object"}), json!([]), Some("must be of type object; this is a list"))]
#[case(json!({"type": "integer", "format": "int32"}), json!(2_147_483_648_i64), Some("2147483648 does not fit into an integer of 32 bits"))]
#[case(json!({"type": "integer", "format": "int64"}), json!(-2_147_483_649_i64), None)]
#[case(json!({"type": "integer", "minimum": 0.0}), json!(-1), Some("should be greater than or equal to 0"))]
#[case(json!({"type": "string", "maxLength": 2}), json!("äöü"), Some("may not be more than 2 bytes"))]
#[case(json!({"type": "string", "maxLength": 3}), json!("äöü"), None)]
#[case(json!({"type": "array", "maxItems": 1}), json!([1, 2]), Some("must have at most 1 items; it has 2"))]
#[case(json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}), json!({"a": "", "b": ""}), Some("must have at most 1 entries; it has 2"))]
#[case(json!({"x-kubernetes-int-or-string": true}), json!("2"), None)]
#[case(json!({"x-kubernetes-int-or-string": true}), json!(2), None)]
#[case(json!({"x-kubernetes-int-or-string": true}), json!(true), Some("must be of type integer or string; true is a boolean (write it in quotes to make it a text)"))]
#[case(json!({"type": "string", "nullable": true}), json!(null), None)]
#[case(json!({"type": "string"}), json!(null), Some("must be of type string; null is none"))]
#[case(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), json!({"a": null}), None)]
#[case(json!({"type": "array", "x-kubernetes-list-type": "set"}), json!(["a", "b"]), None)]
fn one_value(#[case] schema: Value, #[case] value: Value, #[case] message: Option<&str>) {
    let expected: Vec<String> = message.into_iter().map(|message| format!(": {message}")).collect();
    assert_eq!(told(&schema, &value), expected);
}

#[test]
fn a_null_that_is_no_value_counts_as_not_given() {
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": text, "b": text}});
    assert_eq!(told(&schema, &json!({"a": null, "b": null})), ["a: Required value"]);
}

#[test]
fn unknown_fields_are_named_with_what_was_meant() {
    let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    assert_eq!(
        told(&schema, &json!({"replica": 1, "x": null})),
        [r#"replica: unknown field "replica"; did you mean replicas?"#, r#"x: unknown field "x""#]
    );
}

#[rstest]
#[case("2026-02-01T00:00:00Z", true)]
#[case("2026-02-01t00:00:00.25z", true)]
#[case("2026-02-01T00:00:00+02:00", true)]
#[case("2026-02-01", false)]
#[case("2026-02-01T00:00:00", false)]
#[case("2026-02-01 00:00:00Z", false)]
#[case("2026-02-30T00:00:00Z", false)]
#[case("2026-02-01T00:00:00Z[Europe/Paris]", false)]
fn instants(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(is_date_time(text), expected);
}

/// What stands in for a refused value makes the rest readable.
#[test]
fn a_refused_object_can_be_mended() {
    let schema = &SCHEMAS["Flow"].openapi;
    let mut object = json!({"metadata": {"name": "a"}, "spec": {
        "image": 1, "engine": "Airflow", "cluster": {"template": {}},
        "schedule": {"clocks": [{"name": "a", "startAt": "soon"}, {"name": "a"}, 7]},
    }});
    for finding in findings(schema, &object) {
        finding.path.put(&mut object, finding.repair.unwrap());
    }
    let left: Vec<String> = findings(schema, &object).into_iter().map(|finding| finding.message).collect();
    assert_eq!(left, ["should be at least 1 chars long"; 2], "an empty image and an empty name: {object}");
    assert!(serde_json::from_value::<crate::api::Flow>(object).is_ok());
}

/// A keyword that this file does not know would be overlooked in silence.
#[test]
fn every_keyword_of_the_schemas_is_known() {
    let known: BTreeSet<&str> = [
        "additionalProperties",
        // Beside `x-kubernetes-int-or-string` only, which says the same.
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "nullable",
        "properties",
        "required",
        "title",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ]
    .into();
    for (kind, schema) in SCHEMAS.iter() {
        let definition = crate::api::crds().into_iter().find(|crd| crd.spec.names.kind == *kind).unwrap();
        let version = definition.spec.versions.into_iter().next().unwrap();
        let openapi = serde_json::to_value(version.schema.unwrap().open_api_v3_schema).unwrap();
        let mut used = BTreeSet::new();
        keywords(&openapi, &mut used);
        let unknown: Vec<_> = used.iter().filter(|word| !known.contains(word.as_str())).collect();
        assert!(unknown.is_empty(), "{kind}: {unknown:?}");
        assert!(schema.openapi["properties"]["metadata"]["properties"]["labels"].is_object());
    }
}

fn keywords(schema: &Value, used: &mut BTreeSet<String>) {
    let Some(words) = schema.as_object() else { return };
    used.extend(words.keys().cloned());
    let properties = schema["properties"].as_object().into_iter().flatten().map(|(_, schema)| schema);
    for inner in properties.chain([&schema["items"], &schema["additionalProperties"]]) {
        keywords(inner, used);
    }
}
