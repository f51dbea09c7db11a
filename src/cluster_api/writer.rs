//! What writes changes to the disk: one thread, so that nobody's request waits for the disk but those whose
//! answers do, and what comes while it writes is written together.
//!
//! Watches are woken after a change is on the disk. A crash loses the last changes of all, and nothing else:
//! whoever has had an answer knows that all before it is there.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::watch as channel;

use super::disk::{Disk, DiskError};
use super::state::{News, State};

/// How far the disk is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// All changes up to this version are on it.
    version: u64,
    /// It cannot be written any more.
    fault: Option<Arc<DiskError>>,
}

/// The thread that writes. It writes what is left and ends when this is dropped.
pub(super) struct Writer {
    wake: Option<mpsc::Sender<()>>,
    progress: channel::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it. Without room for a thread, nothing is ever written, and all who wait hear of it.
    pub fn start(disk: Disk, state: Arc<Mutex<State>>, news: Arc<News>) -> Self {
        let (wake, woken) = mpsc::channel();
        let (tell, progress) = channel::channel(Progress::default());
        let thread = thread::Builder::new().name("disk".to_owned()).spawn(move || {
            while write(&disk, &state, &news, &tell) && woken.recv().is_ok() {
                // One writing is enough for all who asked.
                while woken.try_recv().is_ok() {}
            }
            // What came after the last time.
            if tell.borrow().fault.is_none() {
                write(&disk, &state, &news, &tell);
            }
        });
        Self { wake: Some(wake), progress, thread: thread.ok() }
    }

    /// Something has changed.
    pub fn wake(&self) {
        // Where it has ended, whoever waits hears of it.
        let _ = self.wake.as_ref().map(|wake| wake.send(()));
    }

    /// Waits until all changes up to a version are on the disk.
    ///
    /// # Errors
    ///
    /// They never will be.
    pub async fn written(&self, version: u64) -> Result<(), Arc<DiskError>> {
        let mut progress = self.progress.clone();
        let is_there = |progress: &Progress| progress.fault.is_some() || progress.version >= version;
        match progress.wait_for(is_there).await {
            Ok(progress) => progress.fault.clone().map_or(Ok(()), Err),
            Err(_) => Err(Arc::new(DiskError::Ended)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // That it broke off, whoever waited has heard.
            let _ = thread.join();
        }
    }
}

/// Writes what is not written yet; false if that cannot be done.
fn write(disk: &Disk, state: &Mutex<State>, news: &News, tell: &channel::Sender<Progress>) -> bool {
    let (unsaved, changed, version) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.store.take_unsaved(), state.store.take_changed(), state.store.version())
    };
    let saved = if unsaved.is_empty() { Ok(()) } else { disk.save(&unsaved, version) };
    let fault = saved.err().map(Arc::new);
    let is_well = fault.is_none();
    if is_well {
        news.tell(&changed, version);
        tell.send_replace(Progress { version, fault });
    } else {
        tell.send_modify(|progress| progress.fault = fault);
    }
    is_well
}
