//! The logs of pods, as `kubectl logs` asks for them: which part of a pod's file is of which start of its
//! container, and about when each line was written.
//!
//! Programs write into the file themselves, so that nothing of it is lost whatever becomes of daskflow. That
//! a line has no time of its own is the price: the time is that of the look at the file's length that first
//! saw the line, a second late at most. The log of a pod that an earlier daskflow started is one part, with
//! one time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use tokio::time::sleep;

use crate::cluster_api::{Log, LogLine, LogRequest, LogSource};
use crate::daemon::clock::Clock;

/// How often the lengths of logs are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often one that is followed is.
const FOLLOW: Duration = Duration::from_millis(100);
/// How much of one start's log is shown at most: what a kubelet keeps of one (`containerLogMaxSize`).
const BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How many lengths are remembered of a log. Where there are more, every second one is forgotten.
const LENGTHS_MAX: usize = 4096;
/// How much is read at once.
const BLOCK: u64 = 64 * 1024;

/// What is known of all logs. Clones know the same.
#[derive(Clone)]
pub struct Logs {
    clock: Clock,
    /// By the uid of the pod.
    all: Arc<Mutex<HashMap<String, Known>>>,
}

/// What is known of one log.
struct Known {
    container: String,
    file: PathBuf,
    /// How often the container was started.
    starts: usize,
    /// Where the present start's log begins in the file, and when; and the same of the one before.
    present: (u64, Timestamp),
    before: Option<(u64, Timestamp)>,
    stage: Stage,
    /// How long the file was at which time.
    lengths: Vec<(u64, Timestamp)>,
}

/// How far the present start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Runs,
    Ended,
    /// It has ended, and another one is to come.
    Waits,
}

impl Logs {
    /// None is known yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, all: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is about to be started, which adds to this file.
    pub fn begin(&self, uid: &str, container: &str, file: &Path) {
        let present = (length(file), self.clock.now());
        let mut all = self.lock();
        if let Some(known) = all.get_mut(uid) {
            known.before = Some(std::mem::replace(&mut known.present, present));
            (known.starts, known.stage) = (known.starts + 1, Stage::Runs);
            return;
        }
        let known = Known {
            container: container.to_owned(),
            file: file.to_owned(),
            starts: 1,
            present,
            before: None,
            stage: Stage::Runs,
            lengths: Vec::new(),
        };
        all.insert(uid.to_owned(), known);
    }

    /// A pod is over that an earlier daskflow has started: of its log, where there is one, only the end is
    /// known.
    pub fn take_over(&self, uid: &str, container: &str, file: &Path) {
        let Ok(metadata) = file.metadata() else { return };
        let written =
            metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_default();
        let known = Known {
            container: container.to_owned(),
            file: file.to_owned(),
            starts: 1,
            present: (0, written),
            before: None,
            stage: Stage::Ended,
            lengths: vec![(metadata.len(), written)],
        };
        self.lock().entry(uid.to_owned()).or_insert(known);
    }

    /// The container has ended.
    pub fn end(&self, uid: &str) {
        self.set(uid, Stage::Ended);
    }

    /// It has ended, and is started again later.
    pub fn wait(&self, uid: &str) {
        self.set(uid, Stage::Waits);
    }

    fn set(&self, uid: &str, stage: Stage) {
        if let Some(known) = self.lock().get_mut(uid) {
            known.look(self.clock.now());
            known.stage = stage;
        }
    }

    /// The pod is deleted: its log is asked for no more.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Looks at the lengths of logs for as long as it is polled.
    pub async fn look_always(&self) {
        loop {
            sleep(LOOK).await;
            let now = self.clock.now();
            for known in self.lock().values_mut().filter(|known| known.stage == Stage::Runs) {
                known.look(now);
            }
        }
    }

    /// Whether a start goes on.
    fn runs(&self, uid: &str, start: usize) -> bool {
        self.lock().get(uid).is_some_and(|known| known.starts == start && known.stage == Stage::Runs)
    }
}

impl Known {
    fn look(&mut self, now: Timestamp) {
        let length = length(&self.file);
        if self.lengths.last().is_some_and(|(before, _)| *before >= length) {
            return;
        }
        if self.lengths.len() >= LENGTHS_MAX {
            let mut stays = false;
            self.lengths.retain(|_| {
                stays = !stays;
                stays
            });
        }
        self.lengths.push((length, now));
    }

    /// The part of the file that is asked for: where it begins, when, and where it ends, if it has an end.
    fn part(&self, previous: bool) -> Option<(u64, Timestamp, Option<u64>)> {
        let (from, begun) = self.present;
        match (previous, self.stage, self.before) {
            // As with a kubelet, the last one is the previous one as soon as another is to come.
            (false, ..) | (true, Stage::Waits, _) => Some((from, begun, None)),
            (true, _, Some((before, begun))) => Some((before, begun, Some(from))),
            (true, _, None) => None,
        }
    }

    /// About when what ends at this place of the file was written.
    fn time(&self, end: u64, begun: Timestamp, now: Timestamp) -> Timestamp {
        let at = self.lengths.partition_point(|(length, _)| *length < end);
        self.lengths.get(at).map_or(now, |(_, time)| *time).max(begun)
    }
}

impl LogSource for Logs {
    fn log(&self, request: &LogRequest) -> Option<Log> {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.get_mut(&request.uid).filter(|known| known.container == request.container)?;
        known.look(now);
        let (from, begun, until) = known.part(request.previous)?;
        let goes_on = request.follow && until.is_none() && known.stage == Stage::Runs;
        let (start, bytes) = read(&known.file, from, until).ok()?;
        let mut place = start;
        let mut there = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // What is still being written comes later.
            if goes_on && !line.ends_with(b"\n") {
                break;
            }
            place += line.len() as u64;
            let text = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
            there.push(LogLine { at: known.time(place, begun, now), text });
        }
        let follower = goes_on.then(|| Follower {
            logs: self.clone(),
            uid: request.uid.clone(),
            start: known.starts,
            file: known.file.clone(),
            place,
            read: Vec::new(),
        });
        Some(Log { there, then: follower.map_or_else(|| stream::empty().boxed(), Follower::lines) })
    }
}

/// Reads on in a log until its container has ended.
struct Follower {
    logs: Logs,
    uid: String,
    start: usize,
    file: PathBuf,
    /// How far the file was read.
    place: u64,
    /// What was read and not given yet.
    read: Vec<u8>,
}

impl Follower {
    fn lines(self) -> BoxStream<'static, LogLine> {
        stream::unfold(self, |mut follower| async move {
            let text = follower.next().await?;
            Some((LogLine { at: follower.logs.clock.now(), text }, follower))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                line.pop();
                return Some(line);
            }
            // Asked before it is read: what was written until the end is read then.
            let goes_on = self.logs.runs(&self.uid, self.start);
            match self.read_on() {
                Ok(0) if goes_on => sleep(FOLLOW).await,
                // The last line may have no end.
                Ok(0) | Err(_) => {
                    let last = std::mem::take(&mut self.read);
                    return Some(last).filter(|last| !last.is_empty());
                }
                Ok(_) => {}
            }
        }
    }

    fn read_on(&mut self) -> io::Result<usize> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.place))?;
        let count = file.take(BLOCK).read_to_end(&mut self.read)?;
        self.place += count as u64;
        Ok(count)
    }
}

/// A file that is not there has no length.
fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// A part of a log, and where in the file it begins: if it is too long, with a line of its last bytes.
fn read(file: &Path, from: u64, until: Option<u64>) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(file)?;
    let end = until.unwrap_or(file.metadata()?.len()).max(from);
    let begin = from.max(end.saturating_sub(BYTES_MAX));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(end - begin).read_to_end(&mut bytes)?;
    if begin == from {
        return Ok((begin, bytes));
    }
    let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    Ok((begin + cut as u64, bytes.split_off(cut)))
}

#[cfg(test)]
mod tests;
