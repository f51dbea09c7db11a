//! Which files know each other: those of a circle can only be read, changed and tested together.
//!
//! A file knows another one if it names something of it, by an import or by a path; what a `mod.rs` passes on
//! by `pub use` is of the file that has it. `mod name;` alone is no knowledge, nor is the way through a
//! module to one below it. A name behind a macro, in the text of an attribute, or called as a method can
//! hide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::modules::production;
use super::source::{self, Purpose, paths_of, tokens, without_tests};
use super::{module_of, none, read};

/// Two files may know each other, such as a type and the one place that makes it.
const CIRCLE_MAX: usize = 2;

/// The names of a module from the root; the root itself has none.
type Module = Vec<String>;

/// One file, and the paths in it.
struct File {
    at: PathBuf,
    module: Module,
    paths: Vec<source::Path>,
    /// What is imported, by what it is called here.
    imports: BTreeMap<String, Vec<String>>,
    /// The names that stand alone.
    alone: BTreeSet<String>,
    /// The names that longer paths begin with.
    heads: BTreeSet<String>,
}

impl File {
    fn new(file: &Path, text: &str) -> Self {
        let mut module = module_of(file);
        if module == ["lib"] {
            module.clear();
        }
        let names: Vec<&str> = module.iter().map(String::as_str).collect();
        let paths = paths_of(&without_tests(&tokens(text)), &names);
        let (used, imported): (Vec<&source::Path>, Vec<_>) =
            paths.iter().partition(|path| path.purpose == Purpose::Named);
        let imports = imported.into_iter().map(|path| (path.name.clone(), path.segments.clone())).collect();
        let names = |is_alone: bool| {
            let paths = used.iter().filter(move |path| (path.segments.len() == 1) == is_alone);
            paths.filter_map(|path| path.segments.first().cloned()).collect()
        };
        let (alone, heads) = (names(true), names(false));
        Self { at: file.to_owned(), module, imports, alone, heads, paths }
    }
}

/// Where something is.
enum Place<'a> {
    /// It is this file as a whole.
    Module(&'a Module),
    /// It is something in this file.
    Item(&'a Module),
}

/// All files, by their modules.
struct Tree(BTreeMap<Module, File>);

/// Who knows whom, and by which line: `src/a.rs:3: crate::b::C`.
type Graph<'a> = BTreeMap<&'a Module, BTreeMap<&'a Module, String>>;

impl Tree {
    fn new<'a>(files: impl IntoIterator<Item = (&'a Path, String)>) -> Self {
        let files = files.into_iter().map(|(file, text)| File::new(file, &text));
        Self(files.map(|file| (file.module.clone(), file)).collect())
    }

    /// The names of a path of `file` from the root of the crate on, if it leads into it.
    fn absolute(&self, file: &File, segments: &[String], seen: usize) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        if first == "crate" {
            return Some(rest.to_vec());
        }
        let below = [file.module.as_slice(), std::slice::from_ref(first)].concat();
        if self.0.contains_key(&below) {
            return Some([&below, rest].concat());
        }
        let import = file.imports.get(first).filter(|import| *import != segments)?;
        let seen = seen.checked_sub(1)?;
        Some([self.absolute(file, import, seen)?.as_slice(), rest].concat())
    }

    /// Where this is, be it passed on by other modules. `seen`: so many of them are asked at most.
    fn locate(&self, names: &[String], seen: usize) -> Option<Place<'_>> {
        let known = |length: &usize| self.0.get_key_value(names.get(..*length).unwrap_or_default());
        let length = (0..=names.len()).rev().find(|length| known(length).is_some())?;
        let (module, file) = known(&length)?;
        let Some([item, more @ ..]) = names.get(length..) else { return Some(Place::Module(module)) };
        let passed_on = file.imports.get(item).and_then(|import| {
            let names = [self.absolute(file, import, 8)?.as_slice(), more].concat();
            self.locate(&names, seen.checked_sub(1)?)
        });
        Some(passed_on.unwrap_or(Place::Item(module)))
    }

    fn graph(&self) -> Graph<'_> {
        self.0.values().map(|file| (&file.module, self.known_by(file))).collect()
    }

    /// The files that this one knows.
    fn known_by(&self, file: &File) -> BTreeMap<&Module, String> {
        let mut known = BTreeMap::new();
        for path in &file.paths {
            let counts = match path.purpose {
                Purpose::Named => path.segments.len() > 1,
                Purpose::Import => true,
                // What is passed on is known if it is used here too.
                Purpose::Export => file.alone.contains(&path.name),
            };
            let place = self.absolute(file, &path.segments, 8).filter(|_| counts);
            let module = match place.and_then(|names| self.locate(&names, 8)) {
                // A module that is imported stands for what is named through it.
                Some(Place::Module(module))
                    if path.purpose != Purpose::Named && !file.heads.contains(&path.name) =>
                {
                    module
                }
                Some(Place::Item(module)) => module,
                _ => continue,
            };
            if *module != file.module {
                let line = || format!("{}:{}: {}", file.at.display(), path.line, path.segments.join("::"));
                known.entry(module).or_insert_with(line);
            }
        }
        known
    }

    /// What is wrong: one text for each circle of more files than there may be.
    fn circles(&self) -> Vec<String> {
        let graph = self.graph();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            graph.keys().map(|module| (*module, reached(&graph, module))).collect();
        let mut told: BTreeSet<&Module> = BTreeSet::new();
        let mut found = Vec::new();
        for (module, others) in &reached {
            let circle: BTreeSet<&Module> =
                others.iter().copied().filter(|other| reached[other].contains(module)).collect();
            if circle.len() > CIRCLE_MAX && told.insert(*module) {
                told.extend(&circle);
                found.push(self.describe(&graph, &circle));
            }
        }
        found
    }

    /// The files of a circle, and a way round.
    fn describe(&self, graph: &Graph<'_>, circle: &BTreeSet<&Module>) -> String {
        let names: Vec<String> =
            circle.iter().map(|module| self.0[*module].at.display().to_string()).collect();
        let rounds = circle.iter().rev().filter_map(|module| way_round(graph, circle, module));
        let round = rounds.max_by_key(Vec::len).unwrap_or_default();
        format!(
            "{} files know each other, {CIRCLE_MAX} may: {}; one way round:\n  {}",
            names.len(),
            names.join(", "),
            round.join("\n  ")
        )
    }
}

/// What a file knows, what that knows, and so on.
fn reached<'a>(graph: &Graph<'a>, from: &'a Module) -> BTreeSet<&'a Module> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(module) = waiting.pop() {
        waiting.extend(graph[module].keys().copied().filter(|next| reached.insert(*next)));
    }
    reached
}

/// The shortest way from a file within a circle back to it, line by line.
fn way_round(graph: &Graph<'_>, circle: &BTreeSet<&Module>, from: &Module) -> Option<Vec<String>> {
    let mut waiting = VecDeque::from([(from, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((module, way)) = waiting.pop_front() {
        for (next, line) in graph[module].iter().filter(|(next, _)| circle.contains(*next)) {
            let way = [way.as_slice(), std::slice::from_ref(line)].concat();
            if *next == from {
                return Some(way);
            }
            if seen.insert(*next) {
                waiting.push_back((next, way));
            }
        }
    }
    None
}

#[test]
fn no_more_than_two_files_know_each_other() {
    let files: Vec<PathBuf> = production().into_iter().collect();
    let tree = Tree::new(files.iter().map(|file| (file.as_path(), read(file))));
    let known = tree.graph().values().map(BTreeMap::len).sum::<usize>();
    assert!(known > files.len(), "the scan misses the imports: {known} of {} files", files.len());
    none(&tree.circles());
}

// The rest shows that the rule can fail, and when it does not.

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    Tree::new(files.iter().map(|(file, text)| (Path::new(*file), (*text).to_owned()))).circles()
}

#[test]
fn three_files_that_know_each_other_are_told_with_their_lines() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "\nfn b() -> super::c::C {}"),
        ("src/c.rs", "use super::a;\nfn c() { a::a() }"),
    ];
    let expected = "3 files know each other, 2 may: src/a.rs, src/b.rs, src/c.rs; one way round:\n  \
                    src/a.rs:1: crate::b::B\n  src/b.rs:2: crate::c::C\n  src/c.rs:2: a::a";
    assert_eq!(circles(&files), [expected]);
}

#[test]
fn what_is_passed_on_is_of_the_file_that_has_it() {
    let circle = |passed_on: &str, of: &str| {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a/mod.rs", passed_on),
            ("src/a/one.rs", "use super::two::Two as Other;"),
            ("src/a/two.rs", "use crate::b::B;"),
            ("src/b.rs", of),
        ];
        circles(&files).len()
    };
    assert_eq!(circle("mod one; mod two; pub use one::One;", "use crate::a::One;"), 1);
    assert_eq!(
        circle("mod one; mod two; pub use one::{One as First};", "use crate::a; fn b(_: a::First) {}"),
        1
    );
    assert_eq!(circle("mod one; mod two; pub use one::One;", "use crate::a::Other;"), 0, "of mod.rs itself");
    assert_eq!(circle("mod one; mod two; use two::Two; pub struct Other(Two);", "use crate::a::Other;"), 1);
    assert_eq!(circle("mod one; mod two; pub use two::Two; fn a(_: Two) {}", "use crate::a::Other;"), 1);
}

#[test]
fn what_is_no_circle_is_left_in_peace() {
    let circle = |b: &str| {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::B;"),
            ("src/b.rs", b),
            ("src/c.rs", "use crate::a::A;"),
        ];
        circles(&files).len()
    };
    assert_eq!(circle("use crate::c::C;"), 1);
    assert_eq!(circle("use crate::a::A;"), 0, "two files may");
    assert_eq!(circle("// crate::c::C\nconst C: &str = \"crate::c::C\"; use c::C;"), 0);
    assert_eq!(
        circle("#[cfg(test)]\nmod tests { use crate::c::C; }\n#[cfg(test)]\nuse crate::c::{C, D};"),
        0
    );
    assert_eq!(circle("#[cfg(test)]\nfn b() { crate::c::c() }\nuse crate::c::C;"), 1, "what follows counts");
    assert_eq!(circle("use crate::c;"), 1, "a module that is imported, for whatever");
}
