//! The life of one pod as a process.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::container::Started;
use super::events;
use super::health::{Change, Failure, Health};
use super::logs::Logs;
use super::process::{Process, Program};
use super::sources::Sources;
use super::status::{End, NODE, Report, State, own_container};
use crate::api::labels;
use crate::daemon::clock::Clock;
use crate::local::cure;
use crate::local::machine::Machine;
use crate::plan::pods::state;

/// How long a pod that is deleted is there after its end, so that it is seen how it ended: a kubelet takes
/// such a while to clean up after it.
const SEEN: Duration = Duration::from_millis(500);
/// How long until what a container needs is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// The first wait before a container is started again, which doubles, and the longest. When it has ended for
/// the first time it is started again at once, as in Kubernetes.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Kubernetes' own grace period, where a pod gives none.
const GRACE: Duration = Duration::from_secs(30);
/// A container that ran for longer, in seconds, was well.
const WELL_S: i64 = 600;

/// What a pod is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Live.
    Live,
    /// End within this time, doing what it is to do before.
    End(Duration),
    /// The same, without what it is to do before: everything ends.
    Leave(Duration),
    /// End at once.
    Die,
}

/// All that a pod's life needs.
pub struct Life {
    /// The way to the API.
    pub client: Client,
    /// The time of day.
    pub clock: Clock,
    /// What processes are started with.
    pub machine: Arc<Machine>,
    /// Where is written down which part of a log is whose.
    pub logs: Logs,
    /// The pod as it was created.
    pub pod: Pod,
    /// What it is to do.
    pub orders: watch::Receiver<Order>,
}

impl Life {
    /// Lives until the pod is over, or has ended as it was ordered to.
    pub async fn live(mut self) {
        let Some(container) = own_container(&self.pod).cloned() else { return };
        if !self.bind().await {
            return;
        }
        let mut report = Report::new(&self.pod, &container, self.clock.now());
        let mut back_off = BackOff::default();
        // It may have been deleted without an order to end having come here. Once it is over no order comes.
        let mut is_to_end = false;
        loop {
            let Some(started) = self.prepare(&container, &mut report).await else { break };
            self.logs.begin(&self.uid(), &container.name, &started.program.log);
            let (end, failed) = self.run_once(&container, &started, &mut report).await;
            self.logs.end(&self.uid());
            let code = end.code;
            (report.state, report.has_started, report.ready) = (State::Ended(end.clone()), false, false);
            if self.order() != Order::Live || !is_started_again(&self.pod, code, failed) {
                is_to_end = self.say(&report, true).await;
                break;
            }
            let ran = end.finished.duration_since(end.started);
            report.last = Some(end);
            let wait = back_off.next(ran.as_secs());
            report.restarts += 1;
            if wait.is_zero() {
                continue;
            }
            let message = format!("it ended with {code}; it is started again in {} s", wait.as_secs());
            report.state = State::Waiting("CrashLoopBackOff", message);
            self.logs.wait(&self.uid());
            self.say(&report, false).await;
            if self.ordered_within(wait).await {
                break;
            }
        }
        let _ = std::fs::remove_dir_all(self.machine.pod_folder(&self.uid()));
        if self.order() == Order::Live && !is_to_end {
            return;
        }
        if is_to_end || !self.stays().await {
            // All that ends with daskflow has ten seconds together.
            if self.leaves().is_none() {
                sleep(SEEN).await;
            }
            self.remove().await;
        } else if !matches!(report.state, State::Ended(_)) {
            report.leaves = self.leaves();
            self.say(&report, true).await;
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.pod.namespace().unwrap_or_default())
    }

    fn uid(&self) -> String {
        self.pod.uid().unwrap_or_default()
    }

    fn order(&self) -> Order {
        *self.orders.borrow()
    }

    /// Since when it ends because everything does, if so: from now on.
    fn leaves(&self) -> Option<Timestamp> {
        matches!(self.order(), Order::Leave(_) | Order::Die).then(|| self.clock.now())
    }

    /// Whether the pod stays as one that has failed, since daskflow ends and keeps its objects: the next one
    /// tells by it how its run ended, and has its log. Those of a cluster do not, as others take their place;
    /// nor does one that is deleted.
    async fn stays(&self) -> bool {
        let is_of_cluster =
            [labels::SCHEDULER, labels::WORKER].iter().any(|one| state::is_component(&self.pod, one));
        if is_of_cluster || !self.machine.folder.is_kept() || self.leaves().is_none() {
            return false;
        }
        let there = self.api().get(&self.pod.name_any()).await;
        there.is_ok_and(|pod| {
            pod.metadata.uid == self.pod.metadata.uid && pod.metadata.deletion_timestamp.is_none()
        })
    }

    /// Whether another order comes within this time.
    async fn ordered_within(&mut self, wait: Duration) -> bool {
        self.order() != Order::Live || timeout(wait, self.changed()).await.is_ok()
    }

    /// Waits for another order. Once whoever gives them is no longer there, none comes.
    async fn changed(&mut self) {
        if self.orders.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes the pod to this machine; false if it is there no more.
    async fn bind(&self) -> bool {
        let patch = json!({"metadata": {"uid": self.uid()}, "spec": {"nodeName": NODE}});
        self.api().patch(&self.pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await.is_ok()
    }

    /// Writes what is known of the pod, and gives whether it is being deleted. A pod that has gone needs no
    /// status.
    async fn say(&self, report: &Report, is_over: bool) -> bool {
        let patch = json!({"metadata": {"uid": self.uid()}, "status": report.status(is_over)});
        let name = self.pod.name_any();
        let written = self.api().patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        match written {
            Ok(pod) => pod.metadata.deletion_timestamp.is_some(),
            Err(error) => {
                tracing::debug!(
                    pod = name,
                    error = &error as &dyn std::error::Error,
                    "no status was written"
                );
                false
            }
        }
    }

    /// Takes away a pod that was to end and has ended.
    async fn remove(&self) {
        let preconditions = Preconditions { uid: self.pod.uid(), resource_version: None };
        let now =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
        // That it has gone is what is wanted.
        let _ = self.api().delete(&self.pod.name_any(), &now).await;
    }

    /// Waits until there is all that the container needs; none if it is ordered to end before.
    async fn prepare(&mut self, container: &Container, report: &mut Report) -> Option<Started> {
        let sources = Sources::new(self.client.clone(), &self.pod.namespace().unwrap_or_default());
        loop {
            if self.order() != Order::Live {
                return None;
            }
            let message = match Started::new(&self.machine, &sources, &self.pod, container).await {
                Ok(started) => return Some(started),
                Err(message) => message,
            };
            self.machine.news.say_once(&format!("pod {} waits: {message}", self.pod.name_any()));
            let state = State::Waiting("CreateContainerConfigError", message);
            if report.state != state {
                report.state = state;
                self.say(report, false).await;
            }
            if self.ordered_within(AGAIN).await {
                return None;
            }
        }
    }

    /// One start of the container, to its end, and whether that is because it has failed a probe.
    async fn run_once(
        &mut self,
        container: &Container,
        started: &Started,
        report: &mut Report,
    ) -> (End, bool) {
        let begun = self.clock.now();
        let end = |code: i32, message: String, finished| End { code, message, started: begun, finished };
        let machine = self.machine.clone();
        let mut process = match Process::start(&started.program, machine.folder.lock()) {
            Ok(process) => process,
            Err(error) => {
                let why = refusal(&started.program.folder, &error, machine.folder.option());
                return (end(128, why, self.clock.now()), false);
            }
        };
        let mut health = Health::new(&started.questions, machine.folder.lock());
        report.state = State::Running(begun);
        let (code, failed) = loop {
            (report.has_started, report.ready) = (health.has_started(), health.is_ready());
            self.say(report, false).await;
            tokio::select! {
                code = process.ended() => break (code, false),
                () = self.changed() => {
                    report.leaves = self.leaves();
                    break (self.end(&mut process, started, None).await, false);
                }
                change = health.changed() => if let Change::Failed(failure) = change {
                    self.say_failure(&container.name, &failure).await;
                    let grace = failure.grace.unwrap_or_else(|| grace(&self.pod));
                    let code = self.end(&mut process, started, Some(grace)).await;
                    report.leaves = self.leaves();
                    break (code, self.order() == Order::Live);
                },
            }
        };
        // What it started ends with it, as in a container.
        process.signal("KILL").await;
        let is_scheduler = state::is_component(&self.pod, labels::SCHEDULER);
        if is_scheduler && code != 0 && port_is_taken(&started.last_words()) {
            self.machine.news.say_once(&format!(
                "pod {}: its port is in use: end the program that listens on it, or start daskflow again, which \
                 chooses another",
                self.pod.name_any()
            ));
        }
        (end(code, started.message(code), self.clock.now()), failed)
    }

    /// Says that the container has failed a probe, to who watches and in the events of the pod.
    async fn say_failure(&self, container: &str, failure: &Failure) {
        let Failure { kind, times, why, .. } = failure;
        let (word, name) = (kind.word(), self.pod.name_any());
        let is_again = is_started_again(&self.pod, 0, true);
        let then = if is_again { ", and started again" } else { "" };
        let in_turn = if *times > 1 { format!(" {times} times in turn") } else { String::new() };
        self.machine
            .news
            .say(&format!("pod {name}: its {word} probe failed{in_turn}: {why}; it is ended{then}"));
        let now = self.clock.now();
        let unhealthy = format!("{} probe failed: {why}", capital(word));
        events::write_of_pod(&self.client, &self.pod, ("Warning", "Unhealthy", &unhealthy), now).await;
        let will = if is_again { ", will be restarted" } else { "" };
        let killing = format!("Container {container} failed {word} probe{will}");
        events::write_of_pod(&self.client, &self.pod, ("Normal", "Killing", &killing), now).await;
    }

    /// Ends the process as it was ordered to, or else within this time, and gives its exit code.
    async fn end(&mut self, process: &mut Process, started: &Started, unwell: Option<Duration>) -> i32 {
        let begun = Instant::now();
        let mut was_asked = false;
        loop {
            let (grace, does_before) = match self.order() {
                Order::Live => (unwell.unwrap_or(Duration::MAX), unwell.is_some()),
                Order::End(grace) => (grace, true),
                Order::Leave(grace) => (grace, false),
                Order::Die => {
                    process.signal("KILL").await;
                    return process.ended().await;
                }
            };
            let left = || grace.saturating_sub(begun.elapsed());
            if !was_asked && let Some(step) = started.before_end.as_ref().filter(|_| does_before) {
                let machine = self.machine.clone();
                tokio::select! {
                    code = process.ended() => return code,
                    () = before_end(step, machine.folder.lock(), left()) => {}
                    () = self.changed() => continue,
                }
            }
            if !was_asked {
                process.signal("TERM").await;
                was_asked = true;
            }
            tokio::select! {
                code = process.ended() => return code,
                () = self.changed() => {}
                () = sleep(left()) => {
                    process.signal("KILL").await;
                    return process.ended().await;
                }
            }
        }
    }
}

/// Runs what a container does before it is told to end.
async fn before_end(step: &Program, lock: &File, limit: Duration) {
    let Ok(mut process) = Process::start(step, lock) else { return };
    let _ = timeout(limit, process.ended()).await;
    process.signal("KILL").await;
}

/// Whether the kubelet starts a container again that has ended with this code: one that has `failed` a probe
/// whatever its code is.
fn is_started_again(pod: &Pod, code: i32, failed: bool) -> bool {
    match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
        Some("Never") => false,
        Some("OnFailure") => failed || code != 0,
        _ => true,
    }
}

/// How long a pod may take to end.
fn grace(pod: &Pod) -> Duration {
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    grace.and_then(|grace| u64::try_from(grace).ok()).map_or(GRACE, Duration::from_secs)
}

/// A word as a sentence begins with it.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The waits of a container that ends again and again.
#[derive(Debug, Default)]
struct BackOff {
    /// How often it has ended in turn without having been well.
    in_turn: u32,
}

impl BackOff {
    /// How long it waits that has ended now, and ran for so many seconds.
    fn next(&mut self, ran_s: i64) -> Duration {
        // One that ran for ten minutes was well, and begins anew.
        let earlier = if ran_s > WELL_S { 0 } else { self.in_turn };
        self.in_turn = earlier.saturating_add(1);
        let Some(doublings) = earlier.checked_sub(1) else { return Duration::ZERO };
        (BACK_OFF.0 * 2_u32.pow(doublings.min(5))).min(BACK_OFF.1)
    }
}

/// Whether a program said in its last words that a port of its own is in use: in Python's words for
/// `EADDRINUSE`.
fn port_is_taken(words: &str) -> bool {
    words.to_ascii_lowercase().contains("address already in use")
}

/// Why a program cannot be started in this working directory, where the log is below another folder, which
/// this option names.
fn refusal(folder: &Path, error: &io::Error, option: &str) -> String {
    if folder.is_dir() {
        let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let cure = if is_full { format!(": {}", cure::of(error, option)) } else { String::new() };
        return format!("it cannot be started: {error}{cure}");
    }
    let folder = folder.display();
    format!(
        "the working directory {folder} is not there: --map says where a folder of the image is on this machine"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_known_by_the_words_of_python() {
        assert!(port_is_taken("Traceback\nOSError: [Errno 98] Address already in use\n"));
        assert!(port_is_taken(
            "error while attempting to bind on address ('127.0.0.1', 1): address already in use"
        ));
        assert!(!port_is_taken("OSError: [Errno 99] Cannot assign requested address"));
    }

    #[test]
    fn starts_come_later_and_later() {
        let mut back_off = BackOff::default();
        let mut waits = |ran: &[i64]| ran.iter().map(|ran| back_off.next(*ran).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(&[1; 8]), [0, 10, 20, 40, 80, 160, 300, 300]);
        // One that was well for ten minutes begins anew, and not only for once.
        assert_eq!(waits(&[601, 1, 600, 1]), [0, 10, 20, 40]);
    }
}
