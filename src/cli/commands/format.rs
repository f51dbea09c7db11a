//! The forms in which objects are printed.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::failure::Failure;
use crate::view::tree::Tone;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For people, with all that there is.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// The names of the objects, one a line.
    Name,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Output {
    /// The output format.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

impl Format {
    /// Whether it is sentences, rather than objects.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Objects in this form; nothing in those for people. One object stands for itself, several are a list.
    pub fn of(self, objects: Vec<Value>) -> Result<String, Failure> {
        if self == Self::Name {
            return Ok(objects.iter().map(name).collect());
        }
        let object = match <[Value; 1]>::try_from(objects) {
            Ok([only]) => only,
            Err(several) => json!({"apiVersion": "v1", "kind": "List", "items": several}),
        };
        Ok(match self {
            Self::Json => serde_json::to_string_pretty(&object)? + "\n",
            Self::Yaml => serde_yaml::to_string(&object)?,
            Self::Table | Self::Wide | Self::Name => String::new(),
        })
    }
}

/// `flowrun.daskflow.dev/nightly`, as kubectl has it.
fn name(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map(|(group, _)| format!(".{group}"));
    format!("{}{}/{}\n", text("/kind").to_lowercase(), group.unwrap_or_default(), text("/metadata/name"))
}

/// Whether signs have colours: on a terminal, unless `NO_COLOR` is set to anything (<https://no-color.org>).
pub(super) fn has_colour() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_refused
}

/// A sign in its colour.
pub(super) fn painted(tone: Tone, sign: &str) -> String {
    let colour = match tone {
        Tone::Plain => return sign.to_owned(),
        Tone::Good => 32,
        Tone::Working => 36,
        Tone::Waiting => 33,
        Tone::Bad => 31,
    };
    format!("\u{1b}[{colour}m{sign}\u{1b}[0m")
}
