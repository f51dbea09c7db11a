//! The folder of one daskflow on this machine: logs, and what its pods mount.
//!
//! It is locked for as long as its daskflow lives. So whoever comes later knows a folder whose daskflow was
//! killed, and takes the Secrets away that are left in it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How the names of all these folders begin.
pub(super) const PREFIX: &str = "daskflow-local-";
/// The file that is locked.
pub(super) const LOCK: &str = "lock";
/// What its pods mount, in it.
const PODS: &str = "pods";

/// The kubeconfig, in it.
pub(super) const KUBECONFIG: &str = "kubeconfig";

/// A folder that only this user may read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// A new one below another folder, with a name that ends in this number, and without what earlier ones
    /// left there.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is there already: it might be another user's. With its path.
    pub fn new(below: &Path, number: u64) -> Result<Self, (PathBuf, io::Error)> {
        clean(below);
        let path = below.join(format!("{PREFIX}{}-{:08x}", std::process::id(), number >> 32));
        match make(&path) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(source) => Err((path, source)),
        }
    }

    /// Where the logs of pods are.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
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

fn make(path: &Path) -> io::Result<File> {
    let folder = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    folder(path)?;
    let lock = File::create_new(path.join(LOCK))?;
    lock.lock()?;
    folder(&path.join("logs"))?;
    folder(&path.join(PODS))?;
    Ok(lock)
}

/// Takes away what the pods of a daskflow mounted that was killed, and its kubeconfig. Folders of other users
/// cannot be read.
fn clean(below: &Path) {
    let all = fs::read_dir(below).into_iter().flatten().flatten();
    let ours = all.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for path in ours.map(|entry| entry.path()) {
        if File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(path.join(PODS));
            let _ = fs::remove_file(path.join(KUBECONFIG));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_daskflow_left_is_taken_away_and_no_living_one_is_touched() {
        let below = std::env::temp_dir().join(format!("daskflow-folders-{}", std::process::id()));
        fs::create_dir_all(&below).unwrap();
        let (killed, living) = (Folder::new(&below, 1 << 32).unwrap(), Folder::new(&below, 2 << 32).unwrap());
        let (left, kept) = (killed.pods().join("key"), living.pods().join("key"));
        fs::write(&left, "secret").unwrap();
        fs::write(&kept, "secret").unwrap();
        let (log, config) = (killed.logs().join("log"), killed.kubeconfig());
        fs::write(&log, "text").unwrap();
        fs::write(&config, "token").unwrap();
        drop(killed);
        let third = Folder::new(&below, 3 << 32).unwrap();
        assert_eq!((left.exists(), log.exists(), kept.exists()), (false, true, true));
        assert!(!config.exists());
        third.clear();
        assert!(!third.pods().exists());
        assert!(Folder::new(&below, 3 << 32).is_err(), "it is there");
        fs::remove_dir_all(&below).unwrap();
    }
}
