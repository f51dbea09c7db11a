//! The Python program that answers for croniter, cronsim and dateutil: started once for each kind, asked
//! everything.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The Python with the oracles. Without one the reason is printed past the test harness, and the test is left
/// out; `DASKFLOW_ORACLES_REQUIRED=1` makes it fail instead.
pub fn python() -> Option<PathBuf> {
    let reason = match env("DASKFLOW_ORACLES_PYTHON").map(PathBuf::from) {
        Some(python) if python.exists() => return Some(python),
        Some(python) => format!("{} does not exist", python.display()),
        None => "DASKFLOW_ORACLES_PYTHON is not set: see tests/schedule/venv.sh".to_owned(),
    };
    assert!(env("DASKFLOW_ORACLES_REQUIRED").as_deref() != Some("1"), "required: {reason}");
    say(&format!("LEFT OUT: schedules against croniter, cronsim and dateutil: {reason}"));
    None
}

/// Prints past the test harness, which keeps the output of tests that pass.
pub fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap_or_default();
}

/// A setting of this test.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Asks all questions at once; the answers are in their order.
pub fn ask<Q: Serialize, A: DeserializeOwned>(python: PathBuf, questions: &[Q]) -> Vec<A> {
    let mut child = Command::new(python)
        .args(["-IB", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schedule/oracle.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        questions.iter().map(|question| serde_json::to_string(question).unwrap()).collect();
    let mut stdin = child.stdin.take().unwrap();
    // From another thread: with both pipes full, each side would wait for the other.
    let writer = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle ends with {}", output.status);
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<A> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "one answer to each question");
    answers
}
