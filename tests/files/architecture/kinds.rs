//! A kind is its word and its group: a `DaskCluster` is dask-kubernetes' too. Whoever compares words alone
//! takes one for the other.

use std::path::Path;

use super::source::{Token, tokens, without_tests};
use super::{none, read, rust_sources};

/// The file that compares the kinds of two owners, with their groups.
const OWNERS: &str = "src/plan/objects.rs";

/// Where a text compares the word of an owner's kind with another one's, a type's, or a string.
fn compared(file: &Path, text: &str) -> Vec<String> {
    let all = without_tests(&tokens(text));
    let word = |at: usize| all.get(at).map_or("", |token: &Token<'_>| token.text);
    let compares = |at: &usize| {
        let is_compared =
            [".", "kind", "=", "="].iter().zip(at + 1..).all(|(wanted, at)| word(at) == *wanted);
        let with_word = matches!(word(at + 6), "." | "::") && word(at + 7) == "kind";
        is_compared && (with_word || word(*at) == "owner")
    };
    let place = |at: usize| all.get(at).map_or(0, |token| token.line);
    let found = (0..all.len()).filter(compares);
    found.map(|at| format!("{}:{}: ask Kind::of_owner", file.display(), place(at))).collect()
}

#[test]
fn no_kind_is_known_by_its_word_alone() {
    assert!(
        !compared(Path::new(OWNERS), &read(Path::new(OWNERS))).is_empty(),
        "the scan misses what is there"
    );
    let sources = rust_sources();
    let others = sources.iter().filter(|file| *file != Path::new(OWNERS));
    none(&others.flat_map(|file| compared(file, &read(file))).collect::<Vec<_>>());
}

#[test]
fn scanner_finds_who_compares_words_of_kinds() {
    let cases = [
        ("owners.filter(|owner| owner.kind == DaskCluster::kind(&()))", 1),
        ("theirs.any(|other| other.kind == owner.kind)", 1),
        ("owner.kind == \"DaskCluster\" && owner.name == cluster", 1),
        ("Kind::of_owner(owner) == Some(Kind::DaskCluster)", 0),
        ("victim.kind == VictimKind::Pod", 0),
        ("all.find(|kind| kind.kind == word && kind.api_version() == version)", 0),
        ("#[cfg(test)]\nmod tests { fn f() { owner.kind == other.kind; } }", 0),
    ];
    for (text, expected) in cases {
        assert_eq!(compared(Path::new("src/operator/x.rs"), text).len(), expected, "{text}");
    }
}
