//! Shows the log of a pod while the pod lives.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Writes what a log is given to standard output, until `life` ends.
pub async fn show(log: &Path, life: impl Future<Output = ()>) {
    let mut file = None;
    let copy = async {
        loop {
            copy_on(log, &mut file);
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = life => {}
        () = copy => {}
    }
    copy_on(log, &mut file);
}

/// Writes what is new. A log that cannot be read, or that nobody reads, is not shown.
fn copy_on(log: &Path, file: &mut Option<File>) {
    if file.is_none() {
        *file = File::open(log).ok();
    }
    if let Some(file) = file {
        let mut out = io::stdout().lock();
        // In blocks: a log may be larger than memory.
        let _ = io::copy(file, &mut out).and_then(|_| out.flush());
    }
}
