//! The live table, in a terminal of its own that a Python holds: what it shows, what its keys do, and what it
//! leaves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, manifest, marked, program, python_with, until};

/// What opens a page here: it writes down which.
const BROWSER: &str = "#!/bin/sh\necho \"$1\" > opened\n";
/// Says where it runs, and that it does.
const SCRIPT: &str = "\
from distributed import Client
client = Client()
assert client.submit(sum, [1, 2, 3]).result() == 6
print('all three are six')
";
/// A Flow that never runs, and needs no cluster.
const NEVER_RUN: &str = "
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: etl}
spec:
  cluster: {ref: {name: none}}
  command: [\"true\"]
";

/// A program in a terminal.
struct Terminal {
    host: Child,
    written: Arc<Mutex<Vec<u8>>>,
    report: Arc<Mutex<Vec<u8>>>,
    size: (usize, usize),
    folder: PathBuf,
    mark: String,
}

/// What a terminal shows.
#[derive(Default)]
struct Shown {
    /// The lines of the screen beside the one with the lines of a shell.
    screen: Vec<String>,
    is_beside: bool,
    /// All that was written to that of the shell.
    plain: String,
    has_colours: bool,
}

impl Terminal {
    fn start(test: &str, python: &Path, manifest: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let folder =
            program::folder(test, &[("flow.yaml", manifest), ("tmp/.keep", ""), ("browser", BROWSER)]);
        let mark = format!("{test}-{}", std::process::id());
        let host = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local/terminal.py");
        let mut host = Command::new(python)
            .args([host, "24", "80", env!("CARGO_BIN_EXE_daskflow"), "local", "-f", "flow.yaml", "--python"])
            .arg(python)
            .args(arguments)
            .current_dir(&folder)
            .env("TERM", "xterm-256color")
            .env("TMPDIR", folder.join("tmp"))
            .env("BROWSER", "sh ./browser")
            .env("DASKFLOW_TEST_MARK", &mark)
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (written, report) = (collect(host.stdout.take().unwrap()), collect(host.stderr.take().unwrap()));
        Self { host, written, report, size: (24, 80), folder, mark }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.host.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn press(&mut self, keys: &str) {
        let bytes: Vec<String> = keys.bytes().map(|byte| format!("{byte:02x}")).collect();
        let bytes = bytes.concat();
        self.order(&format!("keys {bytes}"));
    }

    fn resize(&mut self, rows: usize, columns: usize) {
        self.size = (rows, columns);
        self.order(&format!("size {rows} {columns}"));
    }

    fn shown(&self) -> Shown {
        shown(&String::from_utf8_lossy(&self.written.lock().unwrap()), self.size)
    }

    /// All that there is to see, for messages.
    fn all(&self) -> String {
        let (shown, report) = (self.shown(), self.report.lock().unwrap().clone());
        let report = String::from_utf8_lossy(&report).into_owned();
        format!("{}\n-- lines:\n{}\n-- report: {report}", shown.screen.join("\n"), shown.plain)
    }

    /// Waits until a line of the table begins and goes on so.
    fn shows(&mut self, begin: &str, word: &str) {
        until(PATIENCE, || {
            assert!(self.host.try_wait().unwrap().is_none(), "it has ended:\n{}", self.all());
            let shown = self.shown();
            let is_it = |line: &String| line.starts_with(begin) && line.contains(word);
            (shown.is_beside && shown.screen.iter().any(is_it)).then_some(())
        })
        .unwrap_or_else(|| panic!("no line begins with {begin:?} and has {word:?}:\n{}", self.all()));
    }

    /// Waits for the end of the program, and gives its exit code and what it says of the terminal's modes.
    fn ends(&mut self, limit: Duration) -> String {
        until(limit, || self.host.try_wait().unwrap())
            .unwrap_or_else(|| panic!("it goes on:\n{}", self.all()));
        let whole = || {
            let report = String::from_utf8_lossy(&self.report.lock().unwrap()).trim().to_owned();
            report.contains("modes").then_some(report)
        };
        until(Duration::from_secs(5), whole).unwrap_or_else(|| panic!("no report:\n{}", self.all()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal is closed, and so the program ends.
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn collect(mut stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let shared = all.clone();
    thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            shared.lock().unwrap().extend_from_slice(&bytes[..count]);
        }
    });
    all
}

/// What a terminal of this size shows after a text: as much of a terminal as the program asks for.
fn shown(text: &str, (rows, columns): (usize, usize)) -> Shown {
    let mut shown = Shown::default();
    let mut screen = vec![vec![' '; columns]; rows];
    let (mut row, mut column) = (0, 0);
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        if char == '\u{1b}' {
            if rest.next_if_eq(&'[').is_none() {
                continue;
            }
            let mut parameters = String::new();
            while let Some(char) = rest.next_if(|char| !char.is_ascii_alphabetic()) {
                parameters.push(char);
            }
            let numbers: Vec<usize> =
                parameters.split(';').filter_map(|number| number.parse().ok()).collect();
            match (rest.next(), parameters.as_str()) {
                (Some(end @ ('h' | 'l')), "?1049") => shown.is_beside = end == 'h',
                (Some('H'), _) => {
                    let at = |index: usize| numbers.get(index).copied().unwrap_or(1).saturating_sub(1);
                    (row, column) = (at(0), at(1));
                }
                (Some('J'), _) => screen = vec![vec![' '; columns]; rows],
                (Some('m'), _) => {
                    let is_colour = |number: &usize| matches!(number, 30..=38 | 40..=48 | 90..=107);
                    shown.has_colours |= numbers.iter().any(is_colour);
                }
                _ => {}
            }
        } else if !shown.is_beside {
            shown.plain.push(char);
        } else if let Some(cell) = screen.get_mut(row).and_then(|line: &mut Vec<char>| line.get_mut(column)) {
            *cell = char;
            column += 1;
        }
    }
    shown.screen = screen.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect();
    shown
}

#[test]
fn the_table_shows_what_happens_and_its_keys_make_it_happen() {
    let Some(python) = python_with("2026.8.0") else { return };
    let mut terminal = Terminal::start("local_table", &python, &manifest(SCRIPT, ""), &[], &[]);
    terminal.shows("small ", "2/2      http://127.0.0.1:");
    terminal.shows("etl ", "-");
    terminal.press("r");
    terminal.shows("etl-", "Succeeded");
    terminal.shows("etl ", "Succeeded");
    assert!(terminal.shown().has_colours);
    // To the run, and to its log.
    terminal.press("\u{1b}[C");
    terminal.press("l");
    terminal.shows("log of etl-", "any key: back");
    terminal.shows("all three are six", "");
    terminal.press(" ");
    terminal.shows("FLOW", "NEXT");
    terminal.press("d");
    let opened = terminal.folder.join("opened");
    let address =
        until(PATIENCE, || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n')));
    let address = address.unwrap_or_else(|| panic!("no page was opened:\n{}", terminal.all()));
    assert!(address.starts_with("http://127.0.0.1:") && address.ends_with("/status\n"), "{address}");
    terminal.resize(10, 40);
    terminal.shows("r run  l log  d dashboard  q quit", "");
    terminal.shows("RUN", "PHASE");
    terminal.press("q");
    assert_eq!(terminal.ends(Duration::from_secs(15)), "code 0 modes same", "{}", terminal.all());
    let shown = terminal.shown();
    assert!(!shown.is_beside, "{}", terminal.all());
    // What was news in the table is there as lines, and after them how it ended.
    let lines = ["Python ", ": created by hand", ": Succeeded after", "stopping: "];
    let places =
        lines.map(|line| shown.plain.find(line).unwrap_or_else(|| panic!("{line}: {}", shown.plain)));
    assert!(places.is_sorted(), "{}", shown.plain);
    until(Duration::from_secs(1), || marked(&terminal.mark).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("left: {:?}", marked(&terminal.mark)));
}

#[test]
fn the_terminal_is_as_it_was_however_the_table_ends() {
    let Some(python) = python_with("2026.8.0") else { return };
    let start = |name: &str, env| Terminal::start(name, &python, NEVER_RUN, &[], env);
    let mut interrupted = start("local_table_interrupted", &[("NO_COLOR", "1")]);
    let mut terminated = start("local_table_terminated", &[]);
    for terminal in [&mut interrupted, &mut terminated] {
        terminal.shows("etl ", "");
    }
    interrupted.press("\u{3}");
    terminated.order("signal 15");
    for terminal in [&mut interrupted, &mut terminated] {
        assert_eq!(terminal.ends(Duration::from_secs(15)), "code 0 modes same", "{}", terminal.all());
        assert!(!terminal.shown().is_beside, "{}", terminal.all());
    }
    assert!(!interrupted.shown().has_colours);
}

#[test]
fn lines_are_written_where_they_are_wanted() {
    let Some(python) = python_with("2026.8.0") else { return };
    let mut plain = Terminal::start("local_plain", &python, NEVER_RUN, &["--plain", "--until-idle"], &[]);
    let mut dumb = Terminal::start("local_dumb", &python, NEVER_RUN, &["--until-idle"], &[("TERM", "dumb")]);
    for terminal in [&mut plain, &mut dumb] {
        // Its cluster is in no file: the Flow is Stalled, whenever it is looked at.
        assert_eq!(terminal.ends(PATIENCE), "code 1 modes same", "{}", terminal.all());
        let written = String::from_utf8_lossy(&terminal.written.lock().unwrap()).into_owned();
        assert!(!written.contains('\u{1b}'), "{written:?}");
        assert!(
            written.contains("logs are in ") && written.contains("idle: no run is under way"),
            "{written}"
        );
    }
}

#[test]
fn what_a_terminal_shows_is_read_rightly() {
    let text = "a\r\n\u{1b}[?1049h\u{1b}[2;3Hxy\u{1b}[38;5;2mz\u{1b}[1;1Hw\u{1b}[0m";
    let seen = shown(text, (2, 6));
    assert_eq!((seen.screen, seen.plain.as_str()), (vec!["w".to_owned(), "  xyz".to_owned()], "a\r\n"));
    assert!(seen.is_beside && seen.has_colours);
    let seen = shown("\u{1b}[?1049h\u{1b}[1mab\u{1b}[2J\u{1b}[?1049lc", (2, 6));
    assert_eq!((seen.screen, seen.plain.as_str()), (vec![String::new(), String::new()], "c"));
    assert!(!seen.is_beside && !seen.has_colours);
}
