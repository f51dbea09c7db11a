//! Which files are compiled: tests in a file that no `mod` names never run, and nobody is told.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{files_under, none, project_files, read, root};

/// The test programs. Each is linked with all that the operator uses, which costs more than most tests do: a
/// new file is a module of one of these.
const PROGRAMS: [&str; 6] = ["chart", "dask", "e2e", "files", "laws", "schedule"];

/// `a/b/../c` is `a/c`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

/// Where a file's module of this name may be.
fn places(file: &Path, name: &str) -> [PathBuf; 2] {
    let is_root = ["main.rs", "lib.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    let folder = file.with_extension("");
    let folder = if is_root { file.parent().unwrap_or(file) } else { &folder };
    [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
}

/// The files that a text names as its modules: those of `mod name;`, wherever `#[path]` says that they are.
pub(super) fn modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let (production, tests) = by_purpose(file, text);
    [production, tests].concat()
}

/// The same: those that are always compiled, and those for tests only.
fn by_purpose(file: &Path, text: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut production, mut tests) = (Vec::new(), Vec::new());
    let (mut path, mut is_test) = (None, false);
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[cfg(test)]";
        if let Some(named) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path = Some(plain(&file.with_file_name(named)));
        }
        if let Some((before, name)) = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "))
            && (before.is_empty() || before.starts_with("pub"))
        {
            let found = if is_test { &mut tests } else { &mut production };
            found.extend(path.take().map_or_else(|| places(file, name).to_vec(), |path| vec![path]));
        }
        is_test &= line.starts_with("#[");
    }
    (production, tests)
}

/// The files of the library that are no tests.
pub(super) fn production() -> BTreeSet<PathBuf> {
    closure(vec![PathBuf::from("src/lib.rs")], |file, text| by_purpose(file, text).0)
}

/// All that is compiled for these files.
fn compiled(roots: Vec<PathBuf>) -> BTreeSet<PathBuf> {
    closure(roots, modules)
}

/// These files, those that they have as modules by `named`, and so on.
fn closure(mut waiting: Vec<PathBuf>, named: fn(&Path, &str) -> Vec<PathBuf>) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        waiting.extend(named(&file, &read(&file)).into_iter().filter(|file| root().join(file).is_file()));
        all.insert(file);
    }
    all
}

#[test]
fn every_file_is_compiled() {
    let benches = files_under(Path::new("benches")).into_iter().filter(|file| file.components().count() == 2);
    let mut roots: Vec<PathBuf> =
        benches.filter(|file| file.extension().is_some_and(|kind| kind == "rs")).collect();
    roots.extend(["src/main.rs", "src/lib.rs"].map(PathBuf::from));
    roots.extend(PROGRAMS.map(|program| ["tests", program, "main.rs"].iter().collect()));
    let compiled = compiled(roots);
    let forgotten = project_files(&["rs"]).into_iter().filter(|file| !compiled.contains(file));
    none(
        &forgotten.map(|file| format!("{}: nothing has it as a module", file.display())).collect::<Vec<_>>(),
    );
}

#[test]
fn a_new_file_of_tests_is_a_module_of_a_program_that_is_there() {
    let root_of = |file: &PathBuf| {
        let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
        match parts.as_slice() {
            ["tests", file] => Some((*file).to_owned()),
            ["tests", program, "main.rs"] => Some((*program).to_owned()),
            _ => None,
        }
    };
    let roots: BTreeSet<String> = project_files(&["rs"]).iter().filter_map(root_of).collect();
    assert_eq!(
        roots,
        PROGRAMS.map(str::to_owned).into(),
        "a file of tests/files, say, costs less to compile"
    );
}

#[test]
fn modules_are_found_where_the_compiler_looks_for_them() {
    let text = "
        mod a;
        pub(in crate::plan) mod b;
        // mod c;
        mod d { }
        #[path = \"../e_tests.rs\"]
        #[cfg(test)]
        mod tests;";
    let found = |file: &str| {
        modules(Path::new(file), text).iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
    };
    let inside = ["src/x/a.rs", "src/x/a/mod.rs", "src/x/b.rs", "src/x/b/mod.rs"];
    assert_eq!(found("src/x/mod.rs"), [inside.as_slice(), &["src/e_tests.rs"]].concat());
    assert_eq!(found("src/x.rs"), [inside.as_slice(), &["e_tests.rs"]].concat());
}
