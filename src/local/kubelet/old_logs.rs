//! The logs of pods that are there no more.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use crate::daemon::clock::Clock;
use crate::local::folder::LEFT_FOR;
use crate::local::machine::Machine;

/// How often such logs are looked for.
const LOOK: Duration = Duration::from_secs(3600);

/// Deletes logs for as long as it is polled, now and from time to time: those of pods that are there no more,
/// in which nothing was written for a week. Else a daskflow that goes on for months fills its disk.
pub async fn delete_always(client: &Client, clock: &Clock, machine: &Machine) {
    loop {
        // A pod that comes after this has a log that is new.
        match Api::<Pod>::all(client.clone()).list(&ListParams::default()).await {
            Ok(pods) => {
                let log = |pod: Pod| machine.log(&pod.namespace().unwrap_or_default(), &pod.name_any());
                delete(&machine.folder.logs(), &pods.into_iter().map(log).collect(), clock.now().into());
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "old logs are not looked for");
            }
        }
        sleep(LOOK).await;
    }
}

/// Deletes the logs below a folder, but for these and what is younger. The folders of namespaces stay: a pod
/// may be about to write in one.
fn delete(logs: &Path, wanted: &HashSet<PathBuf>, now: SystemTime) {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    for log in entries(logs).flat_map(|namespace| entries(&namespace.path())) {
        let Ok(about) = log.metadata() else { continue };
        let age = about.modified().ok().and_then(|written| now.duration_since(written).ok());
        if about.is_file() && age.is_some_and(|age| age > LEFT_FOR) && !wanted.contains(&log.path()) {
            // One that cannot be deleted now is looked at again.
            let _ = fs::remove_file(log.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_go_a_week_after_their_last_line_if_their_pods_are_there_no_more() {
        let logs = std::env::temp_dir().join(format!("daskflow-old-logs-{}", std::process::id()));
        fs::create_dir_all(logs.join("default")).unwrap();
        let now = fs::metadata(&logs).unwrap().modified().unwrap();
        let day = Duration::from_secs(24 * 3600);
        let make = |name: &str, days: u32| {
            let path = logs.join("default").join(name);
            fs::File::create(&path).unwrap().set_modified(now - day * days).unwrap();
            path
        };
        let (old, young, stored) = (make("old.log", 8), make("young.log", 6), make("stored.log", 30));
        delete(&logs, &HashSet::from([stored.clone()]), now);
        assert_eq!([old, young, stored].map(|path| path.exists()), [false, true, true]);
        fs::remove_dir_all(&logs).unwrap();
    }
}
