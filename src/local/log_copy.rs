//! Shows the log of a pod while the pod lives.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::news::News;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Writes what a log is given to standard output, until `life` ends.
pub async fn show(log: &Path, life: impl Future<Output = ()>, news: &News) {
    let mut file = None;
    let copy = async {
        loop {
            copy_on(log, &mut file, news);
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = life => {}
        () = copy => {}
    }
    copy_on(log, &mut file, news);
}

/// Writes what is new. A log that cannot be read is not shown.
fn copy_on(log: &Path, file: &mut Option<File>, news: &News) {
    if file.is_none() {
        *file = File::open(log).ok();
    }
    if let Some(file) = file {
        let _ = news.copy(file);
    }
}
