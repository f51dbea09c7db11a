//! The names of everything that is created, as pure functions of what it is created for.
//!
//! A name is what makes a creation happen once: the same tick always gives the same run name, the same
//! attempt always the same Job name, so that a second creation meets the first one and stops.
//!
//! Every name is a DNS label of at most [`LABEL_MAX`] characters (a pod's name is also its host name and the
//! value of labels), provided that what it is made from is: users' names are checked by the rules of the
//! kinds themselves, with the limits given here, and begin with a letter, because the name of a Service must.
//!
//! Where a name would be too long, its head is kept and a hash of all of it put behind. The hash is the
//! beginning of SHA-256 in hexadecimal. It is part of the format: changing it would make every tick look new
//! after an upgrade.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The most characters that a DNS label, and the value of a Kubernetes label, may have.
pub const LABEL_MAX: usize = 63;

/// The most characters of a Flow's name: what is left of [`RUN_NAME_MAX`] by the time and the clock's hash.
pub const FLOW_NAME_MAX: usize = 38;

/// The most characters of a run's name, so that `<run>-<attempt>` is a label up to attempt 999.
pub const RUN_NAME_MAX: usize = 59;

/// The most characters of a DaskCluster's name, so that `<cluster>-scheduler` is a label.
pub const CLUSTER_NAME_MAX: usize = 53;

/// The most characters that a group and a cluster may share before the suffix of five in a worker's name.
const WORKER_PREFIX_MAX: usize = LABEL_MAX - 6;

/// Hexadecimal digits that stand for the cut-off rest of a long name.
const LONG_HASH: usize = 8;

/// The name of the run of `flow` at `tick`: `<flow>-<YYYYMMDD>t<HHMMSS>`, in UTC, and behind it `-` and
/// [`clock_hash`] where a clock is given. Seconds are the finest resolution; all ticks are whole seconds.
///
/// A clock is given when it overrides something, so that two clocks at one instant make two runs only if the
/// runs would differ.
pub fn run_name(flow: &str, tick: Timestamp, clock: Option<&str>) -> String {
    let time = tick.strftime("%Y%m%dt%H%M%S");
    match clock {
        None => format!("{flow}-{time}"),
        Some(clock) => format!("{flow}-{time}-{}", clock_hash(clock)),
    }
}

/// The four hexadecimal digits that stand for a clock's name in the names of runs.
///
/// Four digits can meet: among 32 names with a chance of 1 in 130. See [`clocks_that_collide`].
pub fn clock_hash(clock: &str) -> String {
    short_hash(clock, 4)
}

/// The first two clocks of a schedule whose runs would get the same names; one of them needs another name.
pub fn clocks_that_collide<'a>(clocks: &[&'a str]) -> Option<(&'a str, &'a str)> {
    clocks.iter().enumerate().find_map(|(at, clock)| {
        let hash = clock_hash(clock);
        clocks.iter().take(at).find(|earlier| clock_hash(earlier) == hash).map(|earlier| (*earlier, *clock))
    })
}

/// The name of the Job (and of the runner) of one attempt: `<run>-<attempt>`.
pub fn job_name(run: &str, attempt: u32) -> String {
    format!("{run}-{attempt}")
}

/// The name of a run's own DaskCluster: the run's, where that is short enough, else its first 44 characters,
/// `-` and 8 hexadecimal digits for all of it.
pub fn cluster_name_for_run(run: &str) -> String {
    shortened(run, CLUSTER_NAME_MAX)
}

/// The name of the Flow of a job of dask-kubernetes: the job's, where that is short enough, else its first 29
/// characters, `-` and 8 hexadecimal digits for all of it.
pub fn flow_name_for_job(job: &str) -> String {
    shortened(job, FLOW_NAME_MAX)
}

/// The name of a cluster's scheduler, pod and Service: `<cluster>-scheduler`.
pub fn scheduler_name(cluster: &str) -> String {
    format!("{cluster}-scheduler")
}

/// The name of a cluster's certificate, as a Secret and as an object of cert-manager: `<cluster>-tls`.
pub fn certificate_name(cluster: &str) -> String {
    format!("{cluster}-tls")
}

/// What the names of all copies of a cluster's certificates begin with: `<cluster>-tls-`.
pub fn certificate_copies(cluster: &str) -> String {
    format!("{}-", certificate_name(cluster))
}

/// The name of the Secret with the key of a cluster's own authority, which no pod mounts: `<cluster>-ca`.
pub fn authority_name(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// The name of a cluster's NetworkPolicy: the cluster's own.
pub fn network_policy_name(cluster: &str) -> String {
    cluster.to_owned()
}

/// The name of a worker's pod: `<cluster>-<group>-<suffix>`, with five random characters for a suffix.
///
/// Where cluster and group together are too long for a label, their first 48 characters, `-` and 8
/// hexadecimal digits stand for them.
pub fn worker_name(cluster: &str, group: &str, suffix: &str) -> String {
    format!("{}-{suffix}", shortened(&format!("{cluster}-{group}"), WORKER_PREFIX_MAX))
}

/// The name of a worker's pod of a group of dask-kubernetes: `<group>-worker-<suffix>`, as its clients look
/// for it. A group whose name is too long for that is cut as above; dots, which no host has in its name, are
/// written as `-`.
pub fn worker_name_of_theirs(group: &str, suffix: &str) -> String {
    let group = group.replace('.', "-");
    format!("{}-worker-{suffix}", shortened(&group, WORKER_PREFIX_MAX - "-worker".len()))
}

/// The first `digits` (64 at most) hexadecimal digits of the SHA-256 of `text`. The same in every release.
pub fn short_hash(text: &str, digits: usize) -> String {
    let hex = Sha256::digest(text.as_bytes());
    hex.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(digits).filter_map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> Option<char> {
    char::from_digit(u32::from(nibble), 16)
}

fn shortened(name: &str, max: usize) -> String {
    if name.chars().count() <= max {
        return name.to_owned();
    }
    let head: String = name.chars().take(max.saturating_sub(LONG_HASH + 1)).collect();
    format!("{head}-{}", short_hash(name, LONG_HASH))
}

#[cfg(test)]
mod tests;
