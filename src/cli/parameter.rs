//! `--parameter`: a name and a value.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::view::parameter::value_of;

/// A name and a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter(pub String, pub Value);

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, text) = pair.ok_or("write a name and a value, such as count=3 or region=north")?;
        let value = value_of(text)
            .map_err(|rounded| format!("{rounded}; as a text it is {name}='\"{}\"'", rounded.0))?;
        Ok(Self(name.to_owned(), value))
    }
}

/// All of them by their names.
///
/// # Errors
///
/// A name is there twice: only one of the values could count.
pub(super) fn by_name(parameters: &[Parameter]) -> Result<Map<String, Value>, String> {
    let mut all = Map::new();
    for Parameter(name, value) in parameters {
        if let Some(before) = all.insert(name.clone(), value.clone()) {
            return Err(format!("the parameter {name} has two values, {before} and {value}: write it once"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_json_or_a_text() {
        for (text, name, value) in [
            ("days=7", "days", json!(7)),
            ("region=north", "region", json!("north")),
            ("quoted=\"7\"", "quoted", json!("7")),
            ("list=[1, 2]", "list", json!([1, 2])),
            ("empty=", "empty", json!("")),
            ("url=http://a?b=c", "url", json!("http://a?b=c")),
            ("no=null", "no", json!(null)),
            ("large=9223372036854775807", "large", json!(i64::MAX)),
            ("float=0.50000000000000000000", "float", json!(0.5)),
            ("text=\"12345678901234567890123\"", "text", json!("12345678901234567890123")),
            ("id=a-12345678901234567890123", "id", json!("a-12345678901234567890123")),
        ] {
            assert_eq!(text.parse(), Ok(Parameter(name.to_owned(), value)), "{text}");
        }
        for text in ["days", "=7", ""] {
            assert!(text.parse::<Parameter>().unwrap_err().contains("such as count=3"), "{text}");
        }
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        for text in [
            "i=12345678901234567890123",
            "i=[1, -12345678901234567890123]",
            r#"i={"a\"": 12345678901234567890123}"#,
        ] {
            let said = text.parse::<Parameter>().unwrap_err();
            assert!(said.contains("12345678901234567890123 would not stay what it is"), "{text}: {said}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        let parameters: Vec<Parameter> = ["a=1", "b=2", "a=3"].map(|text| text.parse().unwrap()).into();
        assert_eq!(
            by_name(&parameters),
            Err("the parameter a has two values, 1 and 3: write it once".to_owned())
        );
        assert_eq!(by_name(&parameters[1..]).map(Value::Object), Ok(json!({"b": 2, "a": 3})));
    }
}
