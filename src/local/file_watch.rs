//! Watches the files that objects are from: what is saved is applied, as soon as it is saved as a whole.
//!
//! It looks at the files a few times a second (their length, number and times, not their content) rather than
//! being notified by the system: that sees editors that put another file in the place of one, links, and
//! folders of another machine or of a container alike, and few files cost nothing. A change counts when two
//! looks one after the other have found the same, and another one after the files were read: so nothing that
//! is half written is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::apply::Applied;
use super::kubelet::paths::Paths;
use super::machine::Machine;
use super::objects::{Object, Objects, made_of};
use crate::causes::chain;
use crate::manifest::Checked;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How much longer than a look the pause after it is at least, however many files there are.
const PAUSE_LOOKS: u32 = 50;

/// Manifests that can be read again.
pub trait Manifests: Debug + Send + Sync {
    /// The files as they are now.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads and checks them all: each with its name in messages.
    ///
    /// # Errors
    ///
    /// What is wrong, in lines with file, line and field.
    fn read(&self) -> Result<Vec<(String, Checked)>, Vec<String>>;
}

/// What tells a file from what it was before: length, number, and the times of its content and of all else,
/// with their nanoseconds. None: it is not there.
type Stamp = Option<(u64, u64, (i64, i64), (i64, i64))>;
/// Files, and what they were when they were looked at.
type Look = BTreeMap<PathBuf, Stamp>;

/// Files beside the manifests.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// What ConfigMaps are made of.
    made_of: BTreeSet<PathBuf>,
    /// Scripts that runs take from this machine: nothing is applied for them.
    scripts: BTreeSet<PathBuf>,
}

/// Watches files.
pub struct FileWatch<'a> {
    /// What is watched.
    pub manifests: Arc<dyn Manifests>,
    /// What is in the API.
    pub applied: Applied,
    /// What it is applied for.
    pub machine: &'a Machine,
}

impl FileWatch<'_> {
    /// Applies what is saved, for as long as it is polled.
    pub async fn follow(mut self) {
        let mut beside = Beside::default();
        // Nothing is known, so that what was saved since the start is found as well.
        let (mut known, mut good, mut before) = (Look::new(), Look::new(), Look::new());
        let mut said = Vec::new();
        let mut pause = LOOK;
        loop {
            sleep(pause).await;
            let begun = Instant::now();
            let look = self.look(&beside).await;
            pause = LOOK.max(begun.elapsed() * PAUSE_LOOKS);
            if look != std::mem::replace(&mut before, look.clone()) || look == known {
                continue;
            }
            let read = self.read().await;
            if self.look(&beside).await != look {
                continue;
            }
            let changed = changed(&known, &look);
            known = look;
            if changed.iter().all(|path| beside.scripts.contains(path)) {
                self.say_scripts(&changed);
                continue;
            }
            if let Ok(files) = &read {
                beside = self.beside(files);
                // As they are now they are no news.
                known.extend(beside.scripts.iter().map(|path| (path.clone(), stamp(path))));
            }
            let outcome = match emptied(&good, &known) {
                Some(wrong) => Err(vec![wrong]),
                None => self.apply(read).await,
            };
            match outcome {
                Ok(lines) => {
                    for line in &lines {
                        self.machine.news.say(line);
                    }
                    if lines.is_empty() && !said.is_empty() {
                        self.machine.news.say("applied: the files are as they were before");
                    }
                    (good, said) = (known.clone(), Vec::new());
                }
                Err(lines) if lines != said => {
                    for line in &lines {
                        self.machine.news.say(&format!("not applied: {line}"));
                    }
                    said = lines;
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self, beside: &Beside) -> Look {
        let (manifests, beside) = (self.manifests.clone(), beside.clone());
        let look = tokio::task::spawn_blocking(move || {
            let all = manifests.paths().into_iter().chain(beside.made_of).chain(beside.scripts);
            all.map(|path| (path.clone(), stamp(&path))).collect()
        });
        look.await.unwrap_or_default()
    }

    async fn read(&self) -> Result<Vec<(String, Checked)>, Vec<String>> {
        let manifests = self.manifests.clone();
        let read = tokio::task::spawn_blocking(move || manifests.read()).await;
        read.unwrap_or_else(|error| Err(vec![chain(&error)]))
    }

    /// Applies what was read, if it makes sense; gives what has come of it, or why nothing has.
    async fn apply(
        &mut self,
        read: Result<Vec<(String, Checked)>, Vec<String>>,
    ) -> Result<Vec<String>, Vec<String>> {
        let objects = Objects::of(&read?).map_err(|error| vec![chain(&error)])?;
        for line in &objects.left_out {
            self.machine.news.say_once(line);
        }
        if is_same(&objects, self.applied.objects()) {
            return Ok(Vec::new());
        }
        let applied = self.applied.change(objects).await;
        applied.map_err(|refused| refused.iter().map(|error| chain(error)).collect())
    }

    fn beside(&self, files: &[(String, Checked)]) -> Beside {
        let paths = Paths::new(self.machine.maps.iter().cloned());
        let flows = files.iter().flat_map(|(_, checked)| &checked.manifests);
        let scripts = flows.filter_map(|flow| flow.object.pointer("/spec/code/path")?.as_str());
        let scripts = scripts.map(|path| PathBuf::from(paths.put_into(path))).collect();
        Beside { made_of: made_of(files), scripts }
    }

    fn say_scripts(&self, changed: &[PathBuf]) {
        for path in changed {
            self.machine.news.say(&format!("{} is changed: the next run takes it", path.display()));
        }
    }
}

/// Whether files say the same as before, on whatever lines.
fn is_same(objects: &Objects, before: &Objects) -> bool {
    let plain = |object: &Object| (object.file.clone(), object.value.clone());
    objects.all.iter().map(plain).eq(before.all.iter().map(plain))
}

/// The files that are others than before.
fn changed(before: &Look, now: &Look) -> Vec<PathBuf> {
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    let all: BTreeSet<&PathBuf> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(differs).cloned().collect()
}

/// What is wrong with a file that has become empty: it may be about to be written, and what was in it should
/// not be deleted meanwhile.
fn emptied(good: &Look, now: &Look) -> Option<String> {
    let length = |look: &Look, path: &PathBuf| look.get(path)?.map(|(length, ..)| length);
    let is_emptied =
        |path: &&PathBuf| length(now, path) == Some(0) && length(good, path).is_some_and(|before| before > 0);
    let path = now.keys().find(is_emptied)?;
    Some(format!("{} is empty: write what it is to have, or delete it", path.display()))
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    let times = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.len(), found.ino(), times.0, times.1))
}

#[cfg(test)]
mod tests;
