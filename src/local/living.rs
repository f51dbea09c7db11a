//! The daskflows that live on this machine.

use std::ffi::OsString;
use std::fs::{self, TryLockError};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::folder::{KUBECONFIG, STARTED_IN, lock_of, own};

/// A daskflow of this user that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    /// Its folder.
    pub folder: PathBuf,
    /// The kubeconfig of its API; none where it has just begun.
    pub kubeconfig: Option<PathBuf>,
    /// The working directory that it was started in, if that is known.
    pub started_in: Option<PathBuf>,
}

/// The daskflows of this user that live and have their folders below this one, by the names of the folders.
///
/// A kubeconfig may name programs that its reader starts. So a folder counts only if it is closed to all
/// other users, and is the user's own.
pub fn living(below: &Path) -> Vec<Living> {
    // Locks that are shared do not take each other for a daskflow that lives.
    let lives = |folder: &PathBuf| {
        let asked = lock_of(folder).map(|lock| lock.try_lock_shared());
        matches!(asked, Some(Err(TryLockError::WouldBlock)))
    };
    let mut found = own(below);
    found.retain(lives);
    found.sort();
    let living = |folder: PathBuf| {
        let kubeconfig = Some(folder.join(KUBECONFIG)).filter(|file| file.is_file());
        let started_in = fs::read(folder.join(STARTED_IN)).ok().map(|path| OsString::from_vec(path).into());
        Living { folder, kubeconfig, started_in }
    };
    found.into_iter().map(living).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_those_that_live_and_are_closed_to_others_are_found() {
        let below = std::env::temp_dir().join(format!("daskflow-living-{}", std::process::id()));
        let make = |name: &str, mode| {
            let folder = below.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let lock = File::create(folder.join("lock")).unwrap();
            lock.lock().unwrap();
            (folder, lock)
        };
        assert_eq!(living(&below), []);
        let (second, _second) = make("daskflow-local-2", 0o700);
        let (first, first_lock) = make("daskflow-local-1", 0o700);
        let _others = [make("daskflow-local-3", 0o755), make("daskflow-other", 0o700)];
        fs::write(first.join(KUBECONFIG), "").unwrap();
        fs::write(first.join(STARTED_IN), "/flows").unwrap();
        let of_first = Living {
            folder: first.clone(),
            kubeconfig: Some(first.join(KUBECONFIG)),
            started_in: Some("/flows".into()),
        };
        let of_second = Living { folder: second, kubeconfig: None, started_in: None };
        assert_eq!(living(&below), [of_first, of_second.clone()]);
        drop(first_lock);
        // Another command asks at the same time.
        let asks = lock_of(&first).unwrap();
        asks.try_lock_shared().unwrap();
        assert_eq!(living(&below), [of_second]);
        fs::remove_dir_all(&below).unwrap();
    }
}
