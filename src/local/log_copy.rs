//! Shows the log of a pod while the pod lives.

use std::fs::File;
use std::io::{self, Read, Write};
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
    let mut text = Vec::new();
    if let Some(file) = file
        && file.read_to_end(&mut text).is_ok()
    {
        let mut out = io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }
}
