//! What processes on this machine are started with, whatever pod they are of.

use std::path::PathBuf;

use super::folder::Folder;
use super::news::News;
use super::python::Python;

/// What processes are started with.
#[derive(Debug)]
pub struct Machine {
    /// The interpreter, in the place of an image.
    pub python: Python,
    /// Where logs are, and what pods mount.
    pub folder: Folder,
    /// Paths of an image, and the folders of this machine that take their place.
    pub maps: Vec<(String, PathBuf)>,
    /// Variables that all processes have, unless their containers say something else.
    pub env: Vec<(String, String)>,
    /// Whether the logs of runners are written to standard output too.
    pub shows_runs: bool,
    /// Where a person is told.
    pub news: News,
}

impl Machine {
    /// The log of a pod, over all starts of its container.
    pub fn log(&self, namespace: &str, pod: &str) -> PathBuf {
        self.folder.logs().join(namespace).join(format!("{pod}.log"))
    }

    /// The folder of a pod, by its uid.
    pub fn pod_folder(&self, uid: &str) -> PathBuf {
        self.folder.pods().join(uid)
    }
}
