//! A program in a group of processes of its own, which ends with daskflow at the latest.
//!
//! Out of the group of the terminal, Ctrl-C reaches daskflow alone. That nothing is left when daskflow is
//! killed is a guard's work, a shell that leads the group: it waits at a pipe from daskflow, which ends when
//! daskflow does, and then ends the group. It takes no notice of the signals that it sends, and ends with its
//! group, as that is killed when the program has ended. Until then nobody else's group has its number. The
//! program is beside the guard, not started by it: a shell loses variables whose names are not its own. POSIX
//! has all of it; so it is the same on Linux and macOS.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// The shell. It is at the same place on each POSIX system that people use.
const SHELL: &str = "/bin/sh";
/// Guards the group that it leads.
const GUARD: &str = r#"trap '' TERM INT HUP
read -r line
kill -s TERM -- "-$$"
sleep 2
kill -s KILL -- "-$$""#;
/// Says why a program cannot be started, and ends with a code.
const NOT_STARTED: &str = r#"printf '%s\n' "$0" >&2
exit "$1""#;
/// Sends a signal to a group. It may have ended.
const SIGNAL: &str = r#"kill -s "$0" -- "-$1" 2>/dev/null"#;

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The command and its arguments.
    pub words: Vec<String>,
    /// Variables beside those that daskflow has itself.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub folder: PathBuf,
    /// Where its output is added.
    pub log: PathBuf,
}

/// A program that was started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: u32,
    /// It waits at its input, which ends with this.
    _guard: Child,
}

impl Process {
    /// Starts a program. Its guard has this lock too.
    ///
    /// # Errors
    ///
    /// Its log or working directory cannot be opened, or there is no room for another process. A program that
    /// is not there ends with 127, and its log says so.
    pub fn start(program: &Program, lock: &File) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
        let guard = Command::new(SHELL)
            .args(["-c", GUARD])
            .stdin(Stdio::piped())
            // It says nothing: this is how it has the lock.
            .stdout(lock.try_clone()?)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let group = guard.id().ok_or_else(|| io::Error::other("its guard has ended already"))?;
        let child = match spawn(program, &program.words, &log, group) {
            Err(error) if program.folder.is_dir() && exit_code(&error).is_some() => {
                let words = not_started(program, &error);
                spawn(program, &words, &log, group)?
            }
            started => started?,
        };
        Ok(Self { child, group, _guard: guard })
    }

    /// Waits for the program's end and gives its exit code, as containers have it: 128 and the signal that
    /// ended it.
    pub async fn ended(&mut self) -> i32 {
        let Ok(status) = self.child.wait().await else { return 255 };
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Sends a signal, such as `TERM`, to the whole group.
    pub async fn signal(&self, name: &str) {
        let mut shell = Command::new(SHELL);
        shell.args(["-c", SIGNAL, name, &self.group.to_string()]).stdin(Stdio::null());
        // A group that has ended is what is wanted.
        let _ = shell.status().await;
    }
}

/// Starts these words as the program, in this group.
fn spawn(program: &Program, words: &[String], log: &File, group: u32) -> io::Result<Child> {
    let (first, rest) = words.split_first().ok_or_else(|| io::Error::other("there is no command"))?;
    Command::new(first)
        .args(rest)
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(i32::try_from(group).map_err(io::Error::other)?)
        .kill_on_drop(true)
        .spawn()
}

/// The code of a shell that cannot start a program, where it is the program's fault.
fn exit_code(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => Some("127"),
        ErrorKind::PermissionDenied => Some("126"),
        _ => None,
    }
}

/// The words that say in the log why a program cannot be started.
fn not_started(program: &Program, error: &io::Error) -> [String; 5] {
    let name = program.words.first().map_or("", String::as_str);
    let why = format!("{name} cannot be started: {error}");
    [SHELL, "-c", NOT_STARTED, &why, exit_code(error).unwrap_or("127")].map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    fn program(test: &str, words: &[&str], env: &[(&str, &str)]) -> Program {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("daskflow-{test}-{}.log", std::process::id()));
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Program { words, env, folder, log }
    }

    /// A file that could be locked.
    fn lock() -> File {
        File::open(std::env::current_exe().unwrap()).unwrap()
    }

    /// The exit code of a program with these variables, and its log.
    async fn run(test: &str, words: &[&str], env: &[(&str, &str)]) -> (i32, String) {
        let program = program(test, words, env);
        let mut process = Process::start(&program, &lock()).unwrap();
        let code = process.ended().await;
        process.signal("KILL").await;
        let said = std::fs::read_to_string(&program.log).unwrap();
        std::fs::remove_file(&program.log).unwrap();
        (code, said)
    }

    #[tokio::test]
    async fn variables_of_all_names_reach_the_program() {
        let variables = [("spring.url", "http://a"), ("a-b", "c d"), ("PLAIN", "e")];
        let (code, said) = run("variables", &["env"], &variables).await;
        assert_eq!(code, 0, "{said}");
        for (name, value) in variables {
            assert!(said.lines().any(|line| line == format!("{name}={value}")), "{name}: {said}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_says_so_in_its_log() {
        let (code, said) = run("missing", &["/nowhere/dask", "worker"], &[]).await;
        assert_eq!(code, 127);
        assert!(said.starts_with("/nowhere/dask cannot be started: "), "{said}");
        let (code, said) = run("folder", &["/"], &[]).await;
        assert_eq!(code, 126, "{said}");
    }

    /// Whether there is a process with this number. One that nobody waits for is not.
    async fn is_there(process: &str) -> bool {
        let asked = Command::new(SHELL).args(["-c", r#"kill -0 "$0" 2>/dev/null"#, process]).status().await;
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        asked.unwrap().success() && !stat.contains(") Z")
    }

    #[tokio::test]
    async fn what_a_program_started_ends_once_nobody_holds_it() {
        let program = program("left", &[SHELL, "-c", "sleep 600 & echo $!; wait"], &[]);
        let path = program.log.with_extension("lock");
        let lock = File::create(&path).unwrap();
        lock.lock().unwrap();
        let process = Process::start(&program, &lock).unwrap();
        drop(lock);
        let is_free = || File::open(&path).unwrap().try_lock().is_ok();
        let ends = async {
            let child = loop {
                let said = std::fs::read_to_string(&program.log).unwrap();
                if said.ends_with('\n') {
                    break said.trim().to_owned();
                }
                sleep(Duration::from_millis(20)).await;
            };
            assert!(is_there(&child).await && !is_free());
            drop(process);
            while is_there(&child).await {
                sleep(Duration::from_millis(20)).await;
            }
            while !is_free() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), ends).await.unwrap();
        std::fs::remove_file(&program.log).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
