//! Who asks a Flow where the cluster of its runs comes from: `plan::run::Ground` alone. Another source of
//! clusters would else be another branch in each file that asks.

use std::path::Path;

use super::source::{Token, tokens};
use super::{none, read, rust_sources};

/// The file that may ask.
const GROUND: &str = "src/plan/run/ground.rs";

/// What else `spec.cluster` says, which is not where the cluster comes from.
const OTHERS: &[&str] = &["keep_on_failure"];

/// Whether the file is of tests alone, which write what others read.
fn is_of_tests(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with("tests.rs") || file.iter().any(|part| part == "tests")
}

/// Where a text before its tests reads `spec.cluster`, but for the fields that say something else, or names
/// its type.
fn asked(file: &Path, text: &str) -> Vec<String> {
    let all = tokens(text);
    let is = |from: usize, words: &[&str]| {
        words.iter().enumerate().all(|(at, word)| all.get(from + at).is_some_and(|token| token.text == *word))
    };
    let end = (0..all.len()).find(|at| is(*at, &["cfg", "(", "test"])).unwrap_or(all.len());
    let place = |at: usize| all.get(at).map_or(0, |token: &Token<'_>| token.line);
    let asks = |at: &usize| {
        let reads = is(*at, &["spec", ".", "cluster"]);
        let other = OTHERS.iter().any(|field| is(at + 3, &[".", field]));
        (reads && !other) || is(*at, &["ClusterSource"])
    };
    (0..end).filter(asks).map(|at| format!("{}:{}: only {GROUND} asks", file.display(), place(at))).collect()
}

#[test]
fn one_file_asks_where_a_cluster_comes_from() {
    let may = |file: &Path| file == Path::new(GROUND) || file.starts_with("src/api") || is_of_tests(file);
    let sources = rust_sources();
    assert!(!asked(Path::new(GROUND), &read(Path::new(GROUND))).is_empty(), "the scan misses what is there");
    let found = sources.iter().filter(|file| !may(file)).flat_map(|file| asked(file, &read(file)));
    none(&found.collect::<Vec<_>>());
}

#[test]
fn scanner_finds_who_asks_where_a_cluster_comes_from() {
    let cases = [
        ("let own = flow.spec.cluster.template.is_some();", 1),
        ("let source = &flow\n    .spec\n    .cluster;", 1),
        ("use crate::api::flow::ClusterSource;", 1),
        ("let keep = flow.spec.cluster.keep_on_failure;", 0),
        ("let field = \"spec.cluster.ref\"; // spec.cluster.address", 0),
        ("let spec = &cluster.spec; let name = status.cluster;", 0),
        ("#[cfg(test)]\nmod tests { fn f() { flow.spec.cluster.template; } }", 0),
    ];
    for (text, expected) in cases {
        assert_eq!(asked(Path::new("src/plan/run/phase.rs"), text).len(), expected, "{text}");
    }
    let found = asked(Path::new("src/plan/x.rs"), "\n\nflow.spec.cluster.address");
    assert_eq!(found, ["src/plan/x.rs:3: only src/plan/run/ground.rs asks"]);
}
