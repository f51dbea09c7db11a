//! Nothing of an operator is global, so that several can live in one process: neither a `static`, nor a
//! source of chance that was not given to it. Clippy refuses other clocks than the one that is given
//! (`disallowed-methods`).

use std::path::Path;

use super::source::{paths, tokens};
use super::{none, read, rust_sources};

/// The `static`s of `src/operator` and `src/dask`, each with its file.
const STATICS: &[(&str, &str)] = &[
    // Of a task, and so of one look of one operator.
    ("src/operator/requests/asker.rs", "LOOK"),
    ("src/operator/requests/asker.rs", "COMMIT"),
    ("src/operator/requests/asker.rs", "WAITS"),
    // Of tests.
    ("src/operator/caches/tests/fuzz.rs", "GOOD"),
    ("src/operator/caches/index.rs", "VISITS"),
    ("src/operator/requests/tests.rs", "REFUSED"),
];

/// The file that may draw random numbers.
const CHANCE: &str = "src/daemon/clock.rs";

/// The names of the `static`s of a text, each with its line. A lifetime is no item: no name and colon come
/// after it.
fn statics(text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let items = tokens.windows(3).filter_map(|three| match three {
        [item, name, colon] if item.text == "static" && colon.text == ":" => {
            Some((name.line, name.text.to_owned()))
        }
        _ => None,
    });
    items.collect()
}

/// The lines of a text that draw random numbers by themselves.
fn draws(text: &str) -> Vec<usize> {
    let all = paths(text, &[]);
    all.iter().filter(|path| path.contains("fastrand")).map(|path| path.line).collect()
}

#[test]
fn nothing_of_an_operator_is_global() {
    let mut found = Vec::new();
    for file in rust_sources() {
        if !["src/operator", "src/daemon", "src/dask"].iter().any(|layer| file.starts_with(layer)) {
            continue;
        }
        let text = read(&file);
        for (line, name) in statics(&text) {
            if !STATICS.iter().any(|(known, of)| file == Path::new(known) && *of == name) {
                found.push(format!("{}:{line}: static {name} is shared by all operators", file.display()));
            }
        }
        for line in draws(&text).into_iter().filter(|_| file != Path::new(CHANCE)) {
            found.push(format!("{}:{line}: chance comes in as an argument: daemon::clock", file.display()));
        }
    }
    none(&found);
}

#[test]
fn what_is_global_is_found() {
    let text = "
        static ROOM: Semaphore = Semaphore::const_new(1);
        pub(super) static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(Arc::default);
        thread_local! { static VISITS: Cell<usize> = const { Cell::new(0) }; }
        // static OF_COMMENT: u8 = 0;
        fn name(of: &'static str, to: impl Fn() + 'static) -> &'static [usize] { TEXT }
        struct Permit { of: SemaphorePermit<'static>, more: u8 }";
    let names: Vec<String> = statics(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["ROOM", "PLACES", "VISITS"]);
    assert_eq!(draws("use fastrand::Rng;\nfn f() -> u64 { fastrand::u64(..) }"), [1, 2]);
    assert_eq!(draws("fn f(chance: &Chance) -> f64 { chance.jitter() }"), Vec::<usize>::new());
}
