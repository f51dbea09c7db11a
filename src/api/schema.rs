//! Schemas that the derive macros cannot write: opaque objects and lists merged by key.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object whose fields the CRD does not describe: a pod template, parameters.
///
/// A typed pod template would make the CRD 338 KB, over the 256 KB that client-side `kubectl apply` can
/// store; as an opaque object it costs under 100 bytes.
pub fn opaque_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true})
}

/// A point in time in RFC 3339 form, as `metav1.Time` has it in built-in kinds.
pub fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// The same, of a field that must be written.
pub fn required_timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// Points in time, at least one and at most a leap year of days.
pub fn dates(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "nullable": true, "minItems": 1, "maxItems": 366,
        "items": {
            "type": "string", "format": "date-time",
            // The API server takes more than can be reckoned with, and an object that holds it would be read
            // by nobody.
            "x-kubernetes-validations": [{
                "rule": "self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')",
                "message": "write an instant between the years 1 and 9999, before 9999-12-30",
            }],
        },
    })
}

/// A map from resource name to quantity. As in built-in kinds, a quantity may be a number (`cpu: 1`) or a
/// text.
pub fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true
        }
    })
}

/// One quantity: a number or a text.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true
    })
}

/// Dask's worker resources: amounts by name. A name must not hold what separates them on a worker's command
/// line.
pub fn dask_resources(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "number", "minimum": 0},
        "x-kubernetes-validations": [{
            "rule": "self.all(name, name.matches('^[A-Za-z0-9_.-]{1,63}$'))",
            "message": "the name of a Dask resource has up to 63 letters, digits, '_', '.' and '-', such as GPU",
        }],
    })
}
