//! The folder of one daskflow on this machine: logs, what its pods mount, and with `--state` its objects.
//!
//! It is locked for as long as its daskflow or one of its processes lives: each guard of a process has the
//! lock as well (`kubelet::process`). So whoever comes later knows a folder whose daskflow was killed, takes
//! the Secrets away that are left in it, and begins nothing while what the earlier one began still ends.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::cure;

/// How the names of all folders in the temporary directory begin.
const PREFIX: &str = "daskflow-local-";
/// The file that is locked. In it is the number of the process that runs daskflow.
const LOCK: &str = "lock";
/// What its pods mount, in it.
const PODS: &str = "pods";
/// Logs, in it.
const LOGS: &str = "logs";
/// The working directory of its daskflow, in one in the temporary directory.
pub(super) const STARTED_IN: &str = "started-in";
/// The kubeconfig, in it.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// The file of objects, in one that stays.
pub(super) const OBJECTS: &str = "objects.redb";
/// What a folder that stays is known by. It is the first that is written into it.
const MARK: &str = "daskflow-state";
/// What the mark says to whoever finds it.
const MARK_TEXT: &str =
    "Objects and logs of `daskflow local --state`, which deletes pods and kubeconfig here as it starts.\n";
/// The modes of a folder in which others may write.
const OPEN_TO_OTHERS: u32 = 0o022;
/// How long logs are left: those of an earlier daskflow in the temporary directory, and those of pods that
/// are there no more.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the end of a daskflow's processes is waited for: a guard takes two seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// A folder of which others can read nothing.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
    option: &'static str,
}

/// There is no folder to work in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made, or not be written.
    #[error("the folder {path} cannot be made: {cure}")]
    Make {
        /// The folder.
        path: PathBuf,
        /// What can be done about it.
        cure: String,
        /// Why not.
        source: io::Error,
    },
    /// Another daskflow works in it.
    #[error(
        "another daskflow{owner} works in {path}: end that one first, or name another folder with --state"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process, in words.
        owner: String,
    },
    /// It has other files, some of which might be deleted.
    #[error("{path} has files that daskflow has not written: name a new or an empty folder with --state")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// Others could put something in the place of what is in it.
    #[error(
        "others may write in {path}: take that from them (chmod go-w), or name a new folder with --state"
    )]
    Open {
        /// The folder.
        path: PathBuf,
    },
}

impl Folder {
    /// A new one below another folder, with a name that ends in this number. What earlier ones left there is
    /// taken away: what was mounted at once, logs after a week.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is there already: it might be another user's.
    pub fn new(below: &Path, number: u64, now: SystemTime) -> Result<Self, Error> {
        clean(below, now);
        let path = below.join(format!("{PREFIX}{}-{:08x}", std::process::id(), number >> 32));
        match make(&path) {
            Ok(lock) => Ok(Self { path, lock, option: cure::TEMPORARY }),
            Err(source) => Err(refused(path, source, cure::TEMPORARY)),
        }
    }

    /// One that stays, and is made if it is not there. What pods mounted that a killed daskflow left is taken
    /// away, and its kubeconfig; so it has to be daskflow's own already, or empty.
    ///
    /// # Errors
    ///
    /// It cannot be made or written, or has other files, or another daskflow works in it, or is about to end
    /// there.
    pub fn kept(path: &Path) -> Result<Self, Error> {
        // Processes have working directories of their own.
        let path =
            std::path::absolute(path).map_err(|source| refused(path.to_owned(), source, cure::KEPT))?;
        let lock = open(&path)?;
        if !wait(&lock) {
            let owner = fs::read_to_string(path.join(LOCK)).unwrap_or_default();
            let owner = owner.trim();
            let owner = if owner.is_empty() { String::new() } else { format!(", process {owner},") };
            return Err(Error::InUse { path, owner });
        }
        match begin(&path, &lock) {
            Ok(()) => Ok(Self { path, lock, option: cure::KEPT }),
            Err(source) => Err(refused(path, source, cure::KEPT)),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is locked for as long as it, or a copy of it, is open.
    pub fn lock(&self) -> &File {
        &self.lock
    }

    /// Whether it is for the next daskflow as well.
    pub fn is_kept(&self) -> bool {
        self.option == cure::KEPT
    }

    /// The option that names another folder.
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// Where the logs of pods are.
    pub fn logs(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// Where the folders of pods are.
    pub fn pods(&self) -> PathBuf {
        self.path.join(PODS)
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join(KUBECONFIG)
    }

    /// Takes away what pods mounted. Logs are left, for whoever wants to know what happened.
    pub fn clear(&self) {
        // There may have been no pod.
        let _ = fs::remove_dir_all(self.pods());
    }
}

/// What one with a folder that stays is found by all the same: a folder in the temporary directory with
/// nothing but a lock and a kubeconfig. It ends with this.
#[derive(Debug)]
pub struct Sign(Folder);

impl Sign {
    /// A new one below another folder, as [`Folder::new`] makes it.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(below: &Path, number: u64, now: SystemTime) -> Result<Self, Error> {
        Folder::new(below, number, now).map(Self)
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.kubeconfig()
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // What is left is taken away by the next that begins.
        let _ = fs::remove_dir_all(&self.0.path);
    }
}

fn refused(path: PathBuf, source: io::Error, option: &str) -> Error {
    Error::Make { path, cure: cure::of(&source, option), source }
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn make(path: &Path) -> io::Result<File> {
    private().create(path)?;
    let mut lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(LOCK))?;
    lock.lock()?;
    writeln!(lock, "{}", std::process::id())?;
    private().create(path.join(LOGS))?;
    private().create(path.join(PODS))?;
    // Where that is unknown, it is found as those of other folders are.
    if let Ok(started_in) = env::current_dir() {
        fs::write(path.join(STARTED_IN), started_in.as_os_str().as_bytes())?;
    }
    Ok(lock)
}

/// Opens the lock of a folder that stays. Its mode is left as it is: all that is made in it is closed itself.
fn open(path: &Path) -> Result<File, Error> {
    let cannot = |source| refused(path.to_owned(), source, cure::KEPT);
    let was_there = path.is_dir();
    private().recursive(true).create(path).map_err(cannot)?;
    if was_there {
        // In this order: of two that start at once, one may find the mark of the other and nothing else.
        let is_empty = fs::read_dir(path).map_err(cannot)?.next().is_none();
        let is_known = is_known(path);
        if !is_known && !is_empty {
            return Err(Error::Foreign { path: path.to_owned() });
        }
        if !is_known && fs::metadata(path).map_err(cannot)?.mode() & OPEN_TO_OTHERS != 0 {
            return Err(Error::Open { path: path.to_owned() });
        }
    }
    mark(path).map_err(cannot)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK));
    lock.map_err(cannot)
}

/// Whether a folder that stays is one of daskflow's.
fn is_known(path: &Path) -> bool {
    [MARK, OBJECTS].iter().any(|name| path.join(name).is_file())
}

/// Makes a folder known as one of daskflow's.
fn mark(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(MARK)) {
        Ok(mut file) => file.write_all(MARK_TEXT.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The folders in the temporary directory that are this user's own, and closed to all others, who could have
/// put something else there.
pub(super) fn own(below: &Path) -> Vec<PathBuf> {
    // What can be read although it is closed is the user's own, unless root reads it. macOS has no /proc, but
    // a folder for temporary files for each user.
    let user = fs::metadata("/proc/self").map(|own| own.uid()).ok();
    let is_own = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| {
            found.is_dir()
                && found.mode().trailing_zeros() >= 6
                && user.is_none_or(|user| user == found.uid())
        })
    };
    let all = fs::read_dir(below).into_iter().flatten().flatten();
    let ours = all.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path()).filter(|path| is_own(path)).collect()
}

/// The lock of such a folder, open for a question to it. Of what is no file nothing is asked: to open a pipe
/// would wait.
pub(super) fn lock_of(folder: &Path) -> Option<File> {
    let path = folder.join(LOCK);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    if is_file { File::open(path).ok() } else { None }
}

/// Waits a while for a lock; false if another has it.
fn wait(lock: &File) -> bool {
    let looks = ENDS_WITHIN.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        match lock.try_lock() {
            // Of a disk that knows no locks nothing is asked.
            Ok(()) | Err(TryLockError::Error(_)) => return true,
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
        }
    }
    false
}

/// Makes a folder that stays ready for this daskflow.
fn begin(path: &Path, mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    let _ = fs::remove_dir_all(path.join(PODS));
    let _ = fs::remove_file(path.join(KUBECONFIG));
    for folder in [LOGS, PODS] {
        private().recursive(true).create(path.join(folder))?;
    }
    Ok(())
}

/// Takes away what daskflows of this user left whose processes have all ended: what pods mounted and the
/// kubeconfig at once.
fn clean(below: &Path, now: SystemTime) {
    for path in own(below) {
        let Some(lock) = lock_of(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        let _ = fs::remove_dir_all(path.join(PODS));
        let _ = fs::remove_file(path.join(KUBECONFIG));
        let age = newest(&path).and_then(|newest| now.duration_since(newest).ok());
        if age.is_some_and(|age| age > LEFT_FOR) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// When a file below a folder was last written: the lock when its daskflow began, a log as its pod wrote.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        if about.is_dir() { newest(&entry.path()) } else { about.modified().ok() }
    });
    times.max()
}

#[cfg(test)]
mod tests;
