//! The folder of one daskflow on this machine: logs, what its pods mount, and with `--state` its objects.
//!
//! It is locked for as long as its daskflow or one of its processes lives: each guard of a process has the
//! lock as well (`kubelet::process`). So whoever comes later knows a folder whose daskflow was killed, takes
//! the Secrets away that are left in it, and begins nothing while what the earlier one began still ends.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::cure;

/// How the names of all folders in the temporary directory begin.
pub(super) const PREFIX: &str = "daskflow-local-";
/// The file that is locked. In it is the number of the process that runs daskflow.
pub(super) const LOCK: &str = "lock";
/// What its pods mount, in it.
const PODS: &str = "pods";
/// Logs, in it.
const LOGS: &str = "logs";
/// The kubeconfig, in it.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// How long the logs of an earlier daskflow are left in the temporary directory.
const LEFT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the end of a daskflow's processes is waited for: a guard takes two seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// A folder that only this user may read.
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
    /// away, and its kubeconfig.
    ///
    /// # Errors
    ///
    /// It cannot be made or written, or another daskflow works in it, or is about to end there.
    pub fn kept(path: &Path) -> Result<Self, Error> {
        // Processes have working directories of their own.
        let path =
            std::path::absolute(path).map_err(|source| refused(path.to_owned(), source, cure::KEPT))?;
        let lock = match open(&path) {
            Ok(lock) => lock,
            Err(source) => return Err(refused(path, source, cure::KEPT)),
        };
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
    Ok(lock)
}

/// Opens the lock of a folder that stays. Nobody else may read what is in it, whoever made it.
fn open(path: &Path) -> io::Result<File> {
    private().recursive(true).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))
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

/// Takes away what daskflows left whose processes have all ended: what pods mounted and the kubeconfig at
/// once. Folders of other users cannot be read.
fn clean(below: &Path, now: SystemTime) {
    let all = fs::read_dir(below).into_iter().flatten().flatten();
    let ours = all.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for path in ours.map(|entry| entry.path()) {
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
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
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    /// An empty folder of a test.
    fn place(test: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("daskflow-folders-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        place
    }

    #[test]
    fn what_a_killed_daskflow_left_is_taken_away_and_no_living_one_is_touched() {
        let below = place("killed");
        let new = |number: u64| Folder::new(&below, number << 32, NOW);
        let (killed, living) = (new(1).unwrap(), new(2).unwrap());
        let (left, kept) = (killed.pods().join("key"), living.pods().join("key"));
        fs::write(&left, "secret").unwrap();
        fs::write(&kept, "secret").unwrap();
        let (log, config) = (killed.logs().join("log"), killed.kubeconfig());
        fs::write(&log, "text").unwrap();
        // A process of it that still ends has its lock.
        let guard = killed.lock().try_clone().unwrap();
        fs::write(&config, "token").unwrap();
        drop(killed);
        let third = new(3).unwrap();
        assert!(left.exists(), "it is in use");
        drop(guard);
        let fourth = new(4).unwrap();
        assert_eq!((left.exists(), log.exists(), kept.exists()), (false, true, true));
        assert!(!config.exists());
        third.clear();
        assert!(!third.pods().exists());
        assert!(new(4).is_err(), "it is there");
        drop(fourth);
        fs::remove_dir_all(&below).unwrap();
    }

    #[test]
    fn logs_are_left_for_a_week_and_for_as_long_as_their_daskflow_lives() {
        let below = place("week");
        let now = fs::metadata(&below).unwrap().modified().unwrap();
        let day = Duration::from_secs(24 * 3600);
        let (ended, living) = (Folder::new(&below, 1 << 32, now), Folder::new(&below, 2 << 32, now));
        let (ended, living) = (ended.unwrap(), living.unwrap());
        let folders = [ended.path().to_owned(), living.path().to_owned()];
        fs::create_dir(ended.logs().join("default")).unwrap();
        let log = File::create(ended.logs().join("default/a.log")).unwrap();
        log.set_modified(now + day).unwrap();
        drop(ended);
        let there = |number: u64, days: u32| {
            Folder::new(&below, number << 32, now + day * days).unwrap();
            folders.iter().map(|folder| folder.exists()).collect::<Vec<_>>()
        };
        assert_eq!(there(3, 7), [true, true], "its last line is six days old");
        assert_eq!(there(4, 9), [false, true]);
        fs::remove_dir_all(&below).unwrap();
    }

    #[test]
    fn a_folder_that_stays_is_of_one_daskflow_at_a_time_and_of_one_user() {
        let path = place("kept").join("a/state");
        let first = Folder::kept(&path).unwrap();
        fs::write(first.pods().join("key"), "secret").unwrap();
        fs::write(first.kubeconfig(), "token").unwrap();
        let error = Folder::kept(&path).unwrap_err().to_string();
        let process = std::process::id();
        assert!(error.starts_with(&format!("another daskflow, process {process}, works in ")), "{error}");
        let guard = first.lock().try_clone().unwrap();
        drop(first);
        let ending = thread::spawn(move || {
            thread::sleep(LOOK * 3);
            drop(guard);
        });
        let second = Folder::kept(&path).unwrap();
        ending.join().unwrap();
        assert!(!second.pods().join("key").exists() && !second.kubeconfig().exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(second.path()), mode(&path.join(LOCK))), (0o700, 0o600));
        let error = Folder::kept(&path.join(LOCK).join("below")).unwrap_err().to_string();
        assert!(error.ends_with("a file is in its place: name a folder with --state"), "{error}");
    }
}
