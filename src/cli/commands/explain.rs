//! `daskflow explain`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::api::Reason;
use crate::cli::out::print;
use crate::cli::output::fail;
use crate::manifest::similar::similar;
use crate::view::cure::{Explanation, explain};

/// Exit code 0: it is explained. 1: there is no such reason. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A reason as conditions, events and runs have it, such as `ClusterTimeout`.
    reason: String,
}

/// From how many letters on a word counts as a part of a reason.
const PART_MIN: usize = 4;

#[derive(Debug, thiserror::Error)]
#[error("{word} is no reason of daskflow: {hint}")]
struct Unknown {
    word: String,
    hint: String,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match text(&arguments.reason) {
        Ok(text) => print(text.as_bytes()),
        Err(error) => fail(&error),
    }
}

/// What is known of a reason, in any case of its letters.
fn text(word: &str) -> Result<String, Unknown> {
    let all = || Reason::ALL.iter().map(|reason| reason.as_str());
    let Some(reason) = all().find(|known| known.eq_ignore_ascii_case(word)) else {
        return Err(Unknown { word: word.to_owned(), hint: hint(word) });
    };
    let mut text = format!("{reason}\n");
    for Explanation { section, means, cure } in explain(reason) {
        let _ = write!(text, "\n{section}\n  {means}\n");
        if let Some(cure) = cure {
            let _ = writeln!(text, "  → {cure}");
        }
    }
    Ok(text)
}

/// What to try in the place of a word that is no reason: those that it is a part of, the nearest one, or
/// where the sentence is.
fn hint(word: &str) -> String {
    let all = || Reason::ALL.iter().map(|reason| reason.as_str());
    let part = word.to_lowercase();
    let longer: Vec<&str> = all().filter(|known| known.to_lowercase().contains(&part)).collect();
    if part.len() >= PART_MIN && !longer.is_empty() {
        return format!("did you mean {}?", longer.join(", "));
    }
    match similar(word, all()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if word.parse::<i32>().is_ok() => {
            "as an exit code it stands beside a reason, which `daskflow status RUN` shows".to_owned()
        }
        None => "it may be one of Kubernetes; `daskflow status NAME` shows the sentence behind it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_explained_in_any_case_and_a_mistyped_one_is_recognised() {
        let of = |word: &str| text(word).map_err(|error| error.to_string());
        assert!(of("clustertimeout").unwrap().starts_with("ClusterTimeout\n\nA FlowRun is Failed\n"));
        assert!(of("Suspended").unwrap().contains("\nA DaskCluster is not READY\n"));
        assert_eq!(
            of("ClusterTimeuot").unwrap_err(),
            "ClusterTimeuot is no reason of daskflow: did you mean ClusterTimeout?"
        );
        let part = of("timeout").unwrap_err();
        assert!(part.contains("did you mean ") && part.contains("ClusterTimeout"), "{part}");
        assert!(of("137").unwrap_err().contains("an exit code"));
        assert!(of("Nonsense").unwrap_err().contains("may be one of Kubernetes"));
    }
}
