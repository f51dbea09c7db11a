//! State is state, words are words: planners and the operator decide nothing by the reason, the message or a
//! condition's time of the status that they wrote last. What they go on from has fields of its own
//! (`docs/adr/0040-state-is-state-words-are-words.md`).
//!
//! The scan knows no types. It takes each read of a field with such a name for one of a status, unless the
//! name before the dot is listed: as a value that never was in a status, or for its file, with how often it
//! is read there and what for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::modules::modules;
use super::source::{Token, tokens};
use super::{none, read, root};

/// The layers that decide.
const DECIDING: [&str; 2] = ["src/plan", "src/operator"];

/// The fields that are for readers.
const WORDS: [&str; 3] = ["reason", "message", "last_transition_time"];

/// Types with such fields that are written into objects.
const STORED: [&str; 2] = ["Condition", "FlowRunStatus"];

/// Values of the present plan or of a request that has just failed, on their way into a status, an event or a
/// log.
const MADE: [&str; 9] =
    ["failure", "fault", "hold", "note", "outcome", "part", "remark", "verdict", "violation"];

/// Files that read the words of others: of the kubelet, of Kubernetes' controllers, of the API server, of the
/// runner.
const OTHERS: [&str; 5] = [
    "src/operator/failure.rs",
    "src/operator/leader/mod.rs",
    "src/plan/pods/ends.rs",
    "src/plan/pods/state.rs",
    "src/plan/run/outcome.rs",
];

/// Reads that only show, quote, or compare to see what is news: by file and name before the dot, with how
/// many there are.
const SHOWN: &[(&str, &str, usize, &str)] = &[
    ("src/operator/metrics/now.rs", "status", 1, "a gauge by reason"),
    ("src/plan/backfill/status.rs", "old", 2, "news"),
    ("src/plan/backfill/status.rs", "ready", 4, "news"),
    ("src/plan/cluster/silent.rs", "waits", 1, "the kubelet's"),
    ("src/plan/cluster/status.rs", "before", 2, "news"),
    ("src/plan/cluster/status.rs", "condition", 1, "news"),
    (
        "src/plan/cluster/status.rs",
        "ready",
        1,
        "news: whether the scheduler had served before its container ended",
    ),
    ("src/plan/cluster/status.rs", "scheduler", 1, "a part of the new status"),
    ("src/plan/cluster/status.rs", "told", 6, "news"),
    ("src/plan/conditions.rs", "condition", 4, "news"),
    ("src/plan/conditions.rs", "old", 1, "a condition that stays as it is keeps its time"),
    ("src/plan/conditions.rs", "self", 1, "a failure of now"),
    ("src/plan/flow/recent.rs", "status", 1, "the words for a run that has ended"),
    ("src/plan/flow/status.rs", "known", 2, "the words for the last run, which exists no more"),
    ("src/plan/flow/status.rs", "status", 2, "the words for the last run"),
    ("src/plan/violation.rs", "self", 2, "a violation of now"),
    ("src/plan/run/attempt.rs", "end", 2, "an end of now"),
    ("src/plan/run/attempt.rs", "foreseen", 2, "the words for the end; `countsAgainst` decides"),
    ("src/plan/run/ground.rs", "ready", 2, "the words of a cluster that is not ready, quoted"),
    ("src/plan/run/stop.rs", "stop", 5, "the words for the end; `phase` and `countsAgainst` decide"),
    ("src/plan/run/words.rs", "status", 3, "conditions, quotations, and news"),
];

/// The text without what is compiled for tests only, with as many lines.
fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (mut kept, mut at) = (String::new(), 0);
    while at < lines.len() {
        let is_attribute = |line: &&&str| line.trim_start().starts_with("#[");
        let attributes = lines[at..].iter().take_while(is_attribute).count();
        let item = at + attributes;
        let is_of_tests = lines[at..item].iter().any(|line| line.trim() == "#[cfg(test)]");
        let end = match lines.get(item) {
            Some(line) if is_of_tests && !line.ends_with([';', '}']) => {
                let indent = line.len() - line.trim_start().len();
                let closes = |line: &&str| line.trim_end() == format!("{}}}", " ".repeat(indent));
                lines[item..].iter().position(closes).map_or(lines.len(), |lines| item + lines + 1)
            }
            _ => (item + 1).min(lines.len()),
        };
        for line in &lines[at..end] {
            kept.push_str(if is_of_tests { "" } else { line });
            kept.push('\n');
        }
        at = end;
    }
    kept
}

/// The files that are compiled into the program, without their tests.
fn production() -> Vec<(PathBuf, String)> {
    let (mut waiting, mut found) = (vec![PathBuf::from("src/lib.rs")], Vec::new());
    while let Some(file) = waiting.pop() {
        let text = without_tests(&read(&file));
        waiting.extend(modules(&file, &text).into_iter().filter(|file| root().join(file).is_file()));
        found.push((file, text));
    }
    found
}

/// The reads of such fields: the name before the dot, with the lines.
fn reads<'a>(tokens: &[Token<'a>]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    for (at, token) in tokens.iter().enumerate() {
        let is_field = at > 1 && text(at - 1) == "." && WORDS.contains(&token.text) && text(at + 1) != "(";
        let is_written = text(at + 1) == "=" && text(at + 2) != "=";
        if is_field && !is_written {
            found.entry(tokens[at - 2].text).or_default().push(token.line);
        }
    }
    found
}

/// The lines in which a stored type is built or taken apart with such fields.
fn taken_apart(tokens: &[Token<'_>]) -> Vec<usize> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let is_entry =
        |before: &str, after: &str| ["{", ","].contains(&before) && [":", ",", "}"].contains(&after);
    let mut found = Vec::new();
    for at in 1..tokens.len() {
        let is_other = ["struct", "impl", "for", ">"].contains(&text(at - 1));
        if is_other || !STORED.contains(&text(at)) || text(at + 1) != "{" {
            continue;
        }
        let mut depth = 0_usize;
        for (inside, token) in tokens.iter().enumerate().skip(at + 1) {
            match token.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                word if depth == 1
                    && WORDS.contains(&word)
                    && is_entry(text(inside - 1), text(inside + 1)) =>
                {
                    found.push(token.line);
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// What is wrong with one file.
fn decided_by_words(file: &Path, text: &str) -> Vec<String> {
    let place = file.display().to_string();
    if OTHERS.contains(&place.as_str()) {
        return Vec::new();
    }
    let tokens = tokens(text);
    let listed = |before: &str| {
        let entry = SHOWN.iter().find(|(file, name, ..)| *file == place && *name == before);
        entry.map_or(0, |(_, _, count, _)| *count)
    };
    let mut found = Vec::new();
    for (before, lines) in reads(&tokens) {
        let count = listed(before);
        if lines.len() != count && !MADE.contains(&before) {
            found.push(format!(
                "{place}: lines {lines:?} read words of `{before}`, {count} such reads are listed: what is decided has a field of \
                 its own; what only shows or is news is listed in tests/files/architecture/words.rs"
            ));
        }
    }
    // Conditions are built in one place.
    if place != "src/plan/conditions.rs" {
        let lines = taken_apart(&tokens);
        found.extend(lines.iter().map(|line| format!("{place}:{line}: words of a status by a pattern")));
    }
    found
}

fn is_deciding(file: &Path) -> bool {
    DECIDING.iter().any(|layer| file.starts_with(layer))
}

#[test]
fn nothing_is_decided_by_words() {
    let sources = production();
    let deciding = || sources.iter().filter(|(file, _)| is_deciding(file));
    assert!(deciding().any(|(file, _)| file.ends_with("run/hold.rs")), "the scan misses the planners");
    assert!(!deciding().any(|(file, _)| file.ends_with("tests.rs")), "the scan takes tests for planners");
    none(&deciding().flat_map(|(file, text)| decided_by_words(file, text)).collect::<Vec<_>>());
}

#[test]
fn what_is_listed_is_there() {
    let sources = production();
    let missing = SHOWN.iter().filter(|(file, before, ..)| {
        let text = sources.iter().find(|(source, _)| source == Path::new(file));
        !text.is_some_and(|(_, text)| reads(&tokens(text)).contains_key(before))
    });
    none(&missing.map(|(file, before, ..)| format!("{file}: `{before}` is not read")).collect::<Vec<_>>());
}

// The rest shows that the rule can fail.

fn lines_of(file: &str, text: &str) -> usize {
    decided_by_words(Path::new(file), &without_tests(text)).len()
}

#[test]
fn scanner_finds_what_is_decided_by_words() {
    let cases = [
        "fn f(run: &FlowRun) -> bool { run.status.as_ref().is_some_and(|status| status.reason.is_some()) }",
        "fn f(status: &FlowRunStatus) -> bool { status.message.as_deref() == Some(\"x\") }",
        "fn f(ready: &Condition) -> Timestamp { ready.last_transition_time.0 }",
        "fn f(ready: &Condition) -> bool { ready\n    .reason == \"Ready\" }",
        "fn f(status: &FlowRunStatus) { let FlowRunStatus { reason, .. } = status; g(reason) }",
        "fn f(one: &Condition) -> bool { matches!(one, Condition { message, .. } if message.is_empty()) }",
        "fn f(all: &[Condition]) -> bool { all[0].reason == \"Ready\" }",
        "#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n\nfn f(it: &Condition) -> String { it.reason.clone() }",
    ];
    for text in cases {
        assert_eq!(lines_of("src/plan/cluster/admission.rs", text), 1, "{text}");
    }
    // Where one is listed, another one is found.
    let listed = "src/operator/metrics/now.rs";
    let read = "status.reason.as_deref();";
    assert_eq!(lines_of(listed, &format!("fn f() {{ {read} }}")), 0);
    assert_eq!(lines_of(listed, &format!("fn f() {{ {read} {read} }}")), 1);
}

#[test]
fn scanner_leaves_in_peace_what_only_writes() {
    let cases = [
        "fn f(status: &mut FlowRunStatus) { status.reason = Some(word()); status.message = None; }",
        "fn f(note: &Note) -> Reason { note.reason }",
        "fn f(run: &FlowRun) -> FlowRunStatus { FlowRunStatus { phase, ..old(reason, message) } }",
        "fn f() -> FlowRunStatus { g(|reason, message| 1) }",
        "fn f(it: &Held) { it.message() }",
        "// status.reason\nconst A: &str = \"status.reason\";",
        "#[cfg(test)]\nmod tests {\n    fn f(status: &S) { status.reason.clone() }\n}",
        "#[cfg(test)]\nfn f(status: &S) {\n    status.reason.clone()\n}",
    ];
    for text in cases {
        assert_eq!(lines_of("src/plan/cluster/admission.rs", text), 0, "{text}");
    }
}
