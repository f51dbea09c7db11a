//! However daskflow ends, and whatever it does at that moment: soon afterwards no process of it is there, and
//! nothing listens on a port of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::{Local, PATIENCE, manifest, marked, program, python_with, until};

/// What daskflow is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The first scheduler is on its way.
    Starting,
    /// The cluster is ready, and nothing is due.
    Idle,
    /// A script and its child, which take no notice of SIGTERM, wait for a task of ten minutes.
    InTask,
    /// A run waits for its next attempt.
    Retrying,
    /// As in a task, after the first SIGTERM.
    Stopping,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By one Ctrl-C.
    Once,
    /// By two.
    Twice,
    /// By SIGKILL.
    Killed,
    /// By the end of its terminal.
    Terminal,
}

const MOMENTS: [Moment; 5] =
    [Moment::Starting, Moment::Idle, Moment::InTask, Moment::Retrying, Moment::Stopping];
const WAYS: [Way; 4] = [Way::Once, Way::Twice, Way::Killed, Way::Terminal];

/// How many cases go on side by side: most of their time they wait.
const AT_A_TIME: usize = 5;
/// How long processes may be there after daskflow itself has ended, on a machine that does much else.
const LEFT_FOR: Duration = Duration::from_secs(20);

/// Runs a command in a terminal of its own, and ends the terminal as it ends itself.
const TERMINAL: &str = "\
import os, pty, signal, sys
child, terminal = pty.fork()
if child == 0:
    # As in a new terminal, whatever is ignored here, as by nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        text = os.read(terminal, 4096)
    except OSError:
        break
    if not text:
        break
    os.write(1, text)
";

/// A script that does not end when it is asked to, nor does its child.
const STUBBORN: &str = "\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'
subprocess.Popen([sys.executable, '-S', '-c', child])
from distributed import Client
future = Client().submit(time.sleep, 600)
open(os.environ['TMPDIR'] + '/begun', 'w').close()
while True:
    time.sleep(1)
";

/// A run that is due at once, and only once.
const RUN: &str =
    "---\napiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: now}\nspec: {flow: etl}\n";

impl Moment {
    fn manifest(self) -> String {
        let (script, further, run) = match self {
            Self::Starting | Self::Idle => ("print(1)\n", "", ""),
            Self::InTask | Self::Stopping => (STUBBORN, "", RUN),
            Self::Retrying => {
                ("raise ValueError('again')\n", "  retries: {limit: 3, delay: 1h, maxDelay: 1h}\n", RUN)
            }
        };
        manifest(script, &format!("{further}{run}")).replace("replicas: 2", "replicas: 1")
    }

    /// Waits until it has come.
    fn wait(self, local: &mut Local, folder: &Path) {
        match self {
            Self::Starting => {
                let begins =
                    || marked(&local.mark).iter().any(|words| words.contains("scheduler")).then_some(());
                until(PATIENCE, begins).unwrap_or_else(|| panic!("no scheduler:\n{}", local.text()));
            }
            Self::Idle => local.says("cluster small: ready, 1 of 1 workers", 1),
            Self::InTask => {
                let begun = || folder.join("tmp/begun").exists().then_some(());
                until(PATIENCE, begun).unwrap_or_else(|| panic!("no task:\n{}", local.text()));
            }
            Self::Retrying => local.says(": Retrying: ", 1),
            Self::Stopping => {
                Self::InTask.wait(local, folder);
                send("TERM", daskflow_of(local).unwrap());
                local.says("stopping: ", 1);
            }
        }
    }
}

/// The number of a process and its words.
fn processes(mark: &str) -> Vec<(u32, String)> {
    let mark = format!("DASKFLOW_TEST_MARK={mark}");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let read = |process: u32, file: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default())
            .into_owned()
    };
    let ours = all.filter(|process| read(*process, "environ").split('\0').any(|variable| variable == mark));
    ours.map(|process| (process, read(process, "cmdline").replace('\0', " "))).collect()
}

/// The process of daskflow itself, be it below a terminal.
fn daskflow_of(local: &Local) -> Option<u32> {
    let is_it = |words: &str| words.starts_with(concat!(env!("CARGO_BIN_EXE_daskflow"), " local"));
    processes(&local.mark).into_iter().find(|(_, words)| is_it(words)).map(|(process, _)| process)
}

fn send(signal: &str, process: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap();
}

/// The sockets of this machine that are listened on, and their ports.
fn listened_on() -> BTreeMap<String, u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.split_once(':')?.1, 16).ok()?;
        (*fields.get(3)? == "0A").then_some(((*fields.get(9)?).to_owned(), port))
    });
    rows.collect()
}

/// The sockets of these processes.
fn sockets(mark: &str) -> BTreeSet<String> {
    let folders = processes(mark).into_iter().map(|(process, _)| format!("/proc/{process}/fd"));
    let links = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    let names = targets
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()));
    names.collect()
}

/// Starts daskflow, ends it at this moment in this way, and gives how long anything of it was there
/// afterwards.
fn left_for(moment: Moment, way: Way, python: &Path) -> Duration {
    let test = format!("local_ends_{moment:?}_{way:?}").to_lowercase();
    let folder = program::folder(&test, &[("flow.yaml", &moment.manifest()), ("tmp/.keep", "")]);
    let words = [env!("CARGO_BIN_EXE_daskflow"), "local", "-f", "flow.yaml", "--python"];
    let mut command = if way == Way::Terminal {
        let mut command = Command::new(python);
        command.args(["-S", "-c", TERMINAL]);
        command
    } else {
        Command::new(words[0])
    };
    command.args(if way == Way::Terminal { &words[..] } else { &words[1..] }).arg(python);
    // A table has no lines to wait for.
    if matches!(moment, Moment::Idle | Moment::Retrying) {
        command.arg("--plain");
    }
    let mut local = Local::spawn(&test, &folder, command);
    moment.wait(&mut local, &folder);
    let ours = sockets(&local.mark);
    let daskflow = daskflow_of(&local).unwrap();
    let code = match way {
        Way::Once => {
            send("INT", daskflow);
            Some(0)
        }
        Way::Twice => {
            send("INT", daskflow);
            // Two that are not there at once are one.
            thread::sleep(Duration::from_millis(100));
            send("INT", daskflow);
            Some(0)
        }
        Way::Killed => {
            send("KILL", daskflow);
            None
        }
        Way::Terminal => {
            local.child.kill().unwrap();
            None
        }
    };
    assert_eq!(local.code(PATIENCE), code, "{moment:?}, {way:?}:\n{}", local.text());
    let ends = || daskflow_of(&local).is_none().then_some(());
    until(PATIENCE, ends).unwrap_or_else(|| panic!("{moment:?}, {way:?}: it goes on:\n{}", local.text()));
    let ended = Instant::now();
    let nothing = || {
        let listens = listened_on().into_iter().any(|(socket, _)| ours.contains(&socket));
        (!listens && processes(&local.mark).is_empty()).then(|| ended.elapsed())
    };
    until(LEFT_FOR, nothing).unwrap_or_else(|| {
        let ports: Vec<_> = listened_on().into_iter().filter(|(socket, _)| ours.contains(socket)).collect();
        panic!("{moment:?}, {way:?}: left: {:?}, ports {ports:?}", processes(&local.mark))
    })
}

/// The cases that nobody has taken, and how long the others have left something.
struct Cases {
    open: Vec<(Moment, Way)>,
    done: Vec<(Duration, Moment, Way)>,
}

#[test]
fn nothing_is_left_however_and_whenever_it_ends() {
    let Some(python) = python_with("2026.8.0") else { return };
    let open = MOMENTS.iter().flat_map(|moment| WAYS.map(|way| (*moment, way))).collect();
    let cases = Mutex::new(Cases { open, done: Vec::new() });
    let begun = Instant::now();
    let work = || {
        loop {
            let Some((moment, way)) = cases.lock().unwrap().open.pop() else { return };
            let left = left_for(moment, way, &python);
            cases.lock().unwrap().done.push((left, moment, way));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    let mut done = cases.into_inner().unwrap().done;
    assert_eq!(done.len(), MOMENTS.len() * WAYS.len());
    done.sort_by_key(|(left, ..)| *left);
    let (worst, moment, way) = done.last().unwrap();
    // Past the test harness: it is a figure that the documentation has.
    let line = format!(
        "local: nothing is left after {:.1} s at most ({moment:?}, {way:?}); {} cases took {:.0} s\n",
        worst.as_secs_f64(),
        done.len(),
        begun.elapsed().as_secs_f64(),
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Started so that it goes on after the end of its terminal, it does, and ends by SIGTERM as by Ctrl-C.
#[test]
fn under_nohup_the_end_of_the_terminal_is_no_end() {
    let Some(python) = python_with("2026.8.0") else { return };
    let folder =
        program::folder("local_nohup", &[("flow.yaml", &Moment::Idle.manifest()), ("tmp/.keep", "")]);
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' HUP; exec "$0" local -f flow.yaml --python "$1""#]);
    command.arg(PathBuf::from(env!("CARGO_BIN_EXE_daskflow"))).arg(&python);
    let mut local = Local::spawn("local_nohup", &folder, command);
    local.says("logs are in ", 1);
    let daskflow = local.child.id();
    send("HUP", daskflow);
    local.says("cluster small: ready, 1 of 1 workers", 1);
    send("HUP", daskflow);
    send("TERM", daskflow);
    assert_eq!(local.code(Duration::from_secs(30)), Some(0), "{}", local.text());
    assert!(local.text().contains("stopping: runners, workers"), "{}", local.text());
    local.leaves_nothing(LEFT_FOR);
}
