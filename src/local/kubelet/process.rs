//! A program in a group of processes of its own, which ends with daskflow at the latest.
//!
//! Out of the group of the terminal, Ctrl-C reaches daskflow alone. That nothing is left when daskflow is
//! killed is a shell's work: it waits at a pipe from daskflow, which ends when daskflow does, and then ends
//! the group. It has no parent of its own (it would be a child that the program does not know), takes no
//! notice of the signals that it sends, and ends with its group, as that is killed when the program has
//! ended. POSIX has all of it; so it is the same on Linux and macOS.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, ChildStdin, Command};

/// The shell. It is at the same place on each POSIX system that people use.
const SHELL: &str = "/bin/sh";
/// Sets the guard beside the program, and becomes the program.
const GUARDED: &str = r#"exec 3<&0 </dev/null
( ( trap '' TERM INT HUP; read -r line <&3; kill -s TERM -- "-$$"; sleep 2; kill -s KILL -- "-$$" ) >/dev/null 2>&1 & )
exec 3<&-
exec "$@""#;
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
    /// What the guard waits at.
    _open: Option<ChildStdin>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// Its log or working directory cannot be opened, or there is no room for another process. A program that
    /// is not there ends with 127, and its log says so.
    pub fn start(program: &Program) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
        let mut child = Command::new(SHELL)
            .args(["-c", GUARDED, "sh"])
            .args(&program.words)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&program.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().ok_or_else(|| io::Error::other("it has ended already"))?;
        // `Child::wait` would close it.
        let open = child.stdin.take();
        Ok(Self { child, group, _open: open })
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
