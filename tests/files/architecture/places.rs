//! Where files are: one way for unit tests, and one for modules that have parts.
//!
//! Short tests of `a.rs` are at its end, longer ones are `a/tests.rs`, in parts where they are many
//! (`a/tests/b.rs`); doubles that several modules test with are in a module `testing`. A module that has
//! parts other than tests is `a/mod.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::modules::production;
use super::{none, read, rust_sources};

/// Where a file is of tests: in a module `tests` or `testing`.
fn is_among_tests(file: &Path) -> bool {
    file.with_extension("").iter().any(|part| part == "tests" || part == "testing")
}

/// What is wrong with the places of these files, of which some are `production`, and with one's text.
fn misplaced(
    files: &[PathBuf],
    production: &BTreeSet<PathBuf>,
    text: impl Fn(&Path) -> String,
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let shown = file.display();
        // What is shared with the programs under tests/ lies there.
        let is_elsewhere = |line: &str| line.contains("/tests/");
        if text(file).lines().any(|line| line.trim().starts_with("#[path") && !is_elsewhere(line)) {
            found.push(format!("{shown}: a module is where the compiler looks for it, without #[path]"));
        }
        if production.contains(file) == is_among_tests(file) {
            found.push(format!("{shown}: tests, and tests alone, are in `tests.rs`, `tests/` or `testing/`"));
        }
        let parts = file.with_extension("");
        if production.iter().any(|part| part.starts_with(&parts)) {
            found.push(format!("{shown}: a module with parts is {}/mod.rs", parts.display()));
        }
    }
    found
}

#[test]
fn files_are_where_one_looks_for_them() {
    let mut production = production();
    production.insert(PathBuf::from("src/main.rs"));
    none(&misplaced(&rust_sources(), &production, read));
}

#[test]
fn a_file_in_another_place_is_found() {
    let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    let found = |tests: &[&str], others: &[&str], text: &str| {
        let production = files(others).into_iter().collect();
        misplaced(&files(&[others, tests].concat()), &production, |_| text.to_owned()).len()
    };
    assert_eq!(found(&["src/a/tests.rs", "src/a/tests/b.rs"], &["src/a.rs"], ""), 0);
    assert_eq!(found(&["src/a/testing/mod.rs"], &["src/a/mod.rs", "src/a/b.rs"], ""), 0);
    assert_eq!(found(&["src/a_tests.rs"], &["src/a.rs"], ""), 1);
    assert_eq!(found(&[], &["src/a/tests.rs"], ""), 1);
    assert_eq!(found(&[], &["src/a.rs", "src/a/b.rs"], ""), 1);
    assert_eq!(found(&[], &["src/a.rs"], "    #[path = \"b.rs\"]\nmod b;"), 1);
}
