//! `--parameter` and `--parameters`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::cli::parameter::{Parameter, by_name};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Parameters {
    /// A parameter over the Flow's. VALUE is JSON; what is none is a text. May be given several times.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE")]
    parameter: Vec<Parameter>,
    /// A file with parameters, as an object in JSON or YAML, or - for standard input; -p takes precedence.
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
}

impl Parameters {
    /// All of them.
    pub fn read(&self) -> Result<Map<String, Value>, Failure> {
        let mut all = match &self.parameters {
            Some(path) => of_file(path)?,
            None => Map::new(),
        };
        all.extend(by_name(&self.parameter).map_err(Failure::Senseless)?);
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
