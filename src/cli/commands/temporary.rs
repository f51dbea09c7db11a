//! Folders that do not stay.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder of this process alone, which only the user may read. It is deleted in the end, unless it was
/// kept.
pub(super) struct Temporary(Option<PathBuf>);

impl Temporary {
    /// A new one there.
    pub fn new(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(Some(path)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it this name, under which it stays. Fails where there is something of the name.
    pub fn keep(mut self, name: &Path) -> io::Result<()> {
        // An empty folder would be replaced.
        if name.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.path(), name)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What is not there was not written.
            let _ = fs::remove_dir_all(path);
        }
    }
}
