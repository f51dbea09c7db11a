//! Words and addresses that several pages have.

use jiff::Timestamp;
use serde::Serialize;

use super::seen::{name_of, namespace_of};
use crate::api::{DaskCluster, Flow, FlowRun, Phase};
use crate::view::{age, phase};

/// The longest message in a list, in characters. The page of its object has all of it.
const MESSAGE_MAX: usize = 200;

/// The address of a Flow's page. Names of objects need no escape in an address.
pub fn flow_link(flow: &Flow) -> String {
    link("flows", namespace_of(flow), name_of(flow))
}

/// The address of a run's page.
pub fn run_link(run: &FlowRun) -> String {
    link("runs", namespace_of(run), name_of(run))
}

/// The address of a cluster's page.
pub fn cluster_link(cluster: &DaskCluster) -> String {
    link("clusters", namespace_of(cluster), name_of(cluster))
}

/// The address of an object's page.
pub fn link(kind: &str, namespace: &str, name: &str) -> String {
    format!("/{kind}/{namespace}/{name}")
}

/// A phase as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub struct Shown {
    /// Its word.
    pub word: &'static str,
    /// Its sign, for whoever does not see colours.
    pub sign: char,
    /// What style it has.
    pub class: &'static str,
}

impl From<Shown> for &'static str {
    fn from(shown: Shown) -> Self {
        shown.word
    }
}

/// A phase as a page shows it.
pub fn shown(of: Phase) -> Shown {
    Shown { word: of.as_str(), sign: phase::mark(of).sign, class: class(of) }
}

/// The style of a phase, one letter, as a page may have hundreds of them.
pub fn class(of: Phase) -> &'static str {
    match of {
        Phase::Succeeded => "s",
        Phase::Failed => "f",
        Phase::TimedOut => "t",
        Phase::Cancelled => "c",
        Phase::Skipped => "k",
        Phase::Running => "r",
        Phase::Queued | Phase::Provisioning | Phase::Retrying => "q",
    }
}

/// A reason and a message in one line, cut to what a list has room for.
pub fn why(reason: Option<&str>, message: Option<&str>) -> String {
    let parts = [reason, message].into_iter().flatten().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(": ");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, MESSAGE_MAX)
}

/// The beginning of a text, with a sign where it was longer.
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An instant, and how long ago it was.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", second(at), age::ago(at, now))
}

/// An instant in whole seconds.
pub fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "é".repeat(300);
        let said = why(Some("FlowFailed"), Some(&long));
        assert_eq!(said.chars().count(), MESSAGE_MAX + 1);
        assert!(said.starts_with("FlowFailed: é") && said.ends_with('…'));
        assert_eq!(why(None, Some("a\n b")), "a b");
    }
}
