//! `--parameter` and `--parameters`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Map, Value};

use super::failure::Failure;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Parameters {
    /// A parameter over the Flow's. VALUE is JSON; what is none is a text. May be given several times.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE")]
    parameter: Vec<Parameter>,
    /// A file with parameters, as an object in JSON or YAML, or - for standard input; -p takes precedence.
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
struct Parameter(String, Value);

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or("write a name and a value, such as region=north or days=7")?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self(name.to_owned(), value))
    }
}

impl Parameters {
    /// All of them.
    pub fn read(&self) -> Result<Map<String, Value>, Failure> {
        let mut all = match &self.parameters {
            Some(path) => of_file(path)?,
            None => Map::new(),
        };
        all.extend(self.parameter.iter().map(|Parameter(name, value)| (name.clone(), value.clone())));
        Ok(all)
    }
}

fn of_file(path: &std::path::Path) -> Result<Map<String, Value>, Failure> {
    let shown = path.display();
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::Senseless(format!("{shown} cannot be read: {error}")))?;
    // YAML has JSON in it.
    let parsed: Value = serde_yaml::from_str(&text)
        .map_err(|error| Failure::Senseless(format!("{shown} is neither JSON nor YAML: {error}")))?;
    match parsed {
        Value::Object(all) => Ok(all),
        other => Err(Failure::Senseless(format!(
            "{shown} has no names of parameters: write an object such as {{\"days\": 7}}, not {other}"
        ))),
    }
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
            ("list=[1,2]", "list", json!([1, 2])),
            ("empty=", "empty", json!("")),
            ("a=b=c", "a", json!("b=c")),
            ("no=null", "no", json!(null)),
        ] {
            assert_eq!(text.parse::<Parameter>().unwrap(), Parameter(name.to_owned(), value), "{text}");
        }
        for text in ["days", "=7", ""] {
            assert!(text.parse::<Parameter>().unwrap_err().contains("such as"), "{text}");
        }
    }

    #[test]
    fn a_file_has_an_object_and_single_ones_take_precedence() {
        let path = std::env::temp_dir().join(format!("daskflow-parameters-{}", std::process::id()));
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let single = Parameter("days".to_owned(), json!(2));
            Parameters { parameter: vec![single], parameters: Some(path.clone()) }.read()
        };
        let all = of("days: 1\nregion: north\n").unwrap();
        assert_eq!(Value::Object(all), json!({"days": 2, "region": "north"}));
        assert!(of("[1]").unwrap_err().to_string().contains("has no names of parameters"));
        assert!(of("{").unwrap_err().to_string().contains("neither JSON nor YAML"));
        std::fs::remove_file(&path).unwrap();
        assert!(of_file(&path).unwrap_err().to_string().contains("cannot be read"));
    }
}
