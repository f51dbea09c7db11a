//! What the scheduler of a cluster says of its tasks and its memory.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The units of sizes, each 1024 of the one before.
const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];

/// What a scheduler says of its tasks and its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// When it was asked.
    pub at: Timestamp,
    /// Its tasks, by what they do.
    #[serde(flatten)]
    pub counts: Counts,
    /// The memory of its workers, where it says so.
    pub memory: Option<Memory>,
}

/// How many tasks a scheduler has, and for whom: a part of `/json/counts.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All tasks that it knows.
    pub tasks: u64,
    /// The workers that are registered.
    pub workers: u64,
    /// Tasks that workers compute, or are to compute.
    #[serde(default)]
    pub processing: u64,
    /// Tasks that wait for others.
    #[serde(default)]
    pub waiting: u64,
    /// Tasks that no worker can take.
    #[serde(default)]
    pub unrunnable: u64,
    /// Tasks that failed.
    #[serde(default)]
    pub erred: u64,
    /// Results that workers keep; one that several have counts for each.
    #[serde(default)]
    pub memory: u64,
    /// How large those are, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The clients that are connected.
    #[serde(default)]
    pub clients: u64,
}

/// The memory of all workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What their processes use, in bytes.
    pub used: u64,
    /// What they may use, in bytes; none where one of them has no limit.
    pub limit: Option<u64>,
    /// How much of its own the fullest one uses, in hundredths.
    pub fullest: Option<u64>,
}

/// A part of `/json/identity.json`.
#[derive(Deserialize)]
struct Identity {
    workers: HashMap<String, Worker>,
}

#[derive(Deserialize)]
struct Worker {
    /// Missing or 0 where there is none.
    #[serde(default)]
    memory_limit: Option<u64>,
    #[serde(default)]
    metrics: Metrics,
}

#[derive(Default, Deserialize)]
struct Metrics {
    /// Missing until its first heartbeat.
    memory: Option<u64>,
}

impl Counts {
    /// Reads the answer of a scheduler; nothing where it is none.
    pub fn read(answer: &[u8]) -> Option<Self> {
        serde_json::from_slice(answer).ok()
    }
}

impl Memory {
    /// Reads the answer of a scheduler; nothing where it says nothing of memory, or there is no worker.
    pub fn read(answer: &[u8]) -> Option<Self> {
        let identity: Identity = serde_json::from_slice(answer).ok()?;
        let workers = identity.workers.into_values();
        let each = workers.filter_map(|worker| {
            let (used, limit) = (worker.metrics.memory?, worker.memory_limit.filter(|limit| *limit > 0));
            Some(Self { used, limit, fullest: limit.map(|limit| hundredths(used, limit)) })
        });
        each.reduce(|one, other| Self {
            used: one.used.saturating_add(other.used),
            limit: one.limit.zip(other.limit).map(|(one, other)| one.saturating_add(other)),
            fullest: one.fullest.max(other.fullest),
        })
    }

    /// How much of it is used, in hundredths.
    pub fn share(&self) -> Option<u64> {
        self.limit.map(|limit| hundredths(self.used, limit))
    }

    /// The same for people.
    pub fn words(&self) -> String {
        let used = size(self.used);
        match self.limit {
            Some(limit) => format!("{used} of {} ({} %)", size(limit), hundredths(self.used, limit)),
            None => format!("{used}, without a limit"),
        }
    }
}

impl Load {
    /// How much of the memory is used, in hundredths, where that has a limit.
    pub fn share(&self) -> Option<u64> {
        Some(self.memory.as_ref()?.share()?.min(100))
    }

    /// Names and values for people.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let counts = &self.counts;
        let mut facts = vec![
            ("Tasks", counts.tasks.to_string()),
            ("On workers", counts.processing.to_string()),
            ("Waiting for others", counts.waiting.to_string()),
            ("Without a worker for them", counts.unrunnable.to_string()),
            ("Failed", counts.erred.to_string()),
            ("Results in memory", format!("{}, {}", counts.memory, size(counts.bytes))),
            ("Clients", counts.clients.to_string()),
        ];
        if let Some(memory) = &self.memory {
            facts.push(("Memory of the workers", memory.words()));
            facts.extend(memory.fullest.map(|fullest| ("The fullest worker", format!("{fullest} %"))));
        }
        facts
    }
}

fn hundredths(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

/// A size for people: `512 B`, `48.7 MiB`.
fn size(bytes: u64) -> String {
    let mut said = format!("{bytes} B");
    let mut unit: u64 = 1;
    for name in UNITS {
        unit = unit.saturating_mul(1024);
        if bytes < unit {
            break;
        }
        let tenths = bytes / unit * 10 + bytes % unit * 10 / unit;
        said = format!("{}.{} {name}", tenths / 10, tenths % 10);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Dask 2026.8.0 answers, with parts of it left out.
    const IDENTITY: &str = r#"{"type": "Scheduler", "n_workers": 2, "total_memory": 768000000, "workers": {
        "tcp://127.0.0.1:36851": {"type": "Worker", "memory_limit": 512000000, "metrics": {"cpu": 2.0, "memory": 51134464}},
        "tcp://127.0.0.1:36852": {"type": "Worker", "memory_limit": 256000000, "metrics": {"cpu": 2.0, "memory": 230400000}}}}"#;

    #[test]
    fn the_memory_of_workers_is_added() {
        let memory = Memory::read(IDENTITY.as_bytes()).unwrap();
        assert_eq!(memory, Memory { used: 281_534_464, limit: Some(768_000_000), fullest: Some(90) });
        assert_eq!((memory.words().as_str(), memory.share()), ("268.4 MiB of 732.4 MiB (36 %)", Some(36)));
        // One that has just registered says nothing yet.
        let new = IDENTITY.replace("{\"cpu\": 2.0, \"memory\": 51134464}", "{}");
        assert_eq!(Memory::read(new.as_bytes()).unwrap().words(), "219.7 MiB of 244.1 MiB (90 %)");
        let without = IDENTITY.replace("256000000", "0");
        let memory = Memory::read(without.as_bytes()).unwrap();
        assert_eq!((memory.words().as_str(), memory.fullest), ("268.4 MiB, without a limit", Some(9)));
        for none in [r#"{"workers": {}}"#, "{}", "<html>", r#"{"workers": {"a": {"metrics": {}}}}"#] {
            assert_eq!(Memory::read(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn only_a_scheduler_has_tasks() {
        let answer =
            r#"{"bytes": 1536, "tasks": 7, "workers": 1, "memory": 2, "desired_workers": 0, "cores": 1}"#;
        let counts = Counts::read(answer.as_bytes()).unwrap();
        assert_eq!((counts.tasks, counts.memory, counts.bytes, counts.erred), (7, 2, 1536, 0));
        let load = Load { at: Timestamp::UNIX_EPOCH, counts, memory: None };
        assert!(load.facts().contains(&("Results in memory", "2, 1.5 KiB".to_owned())), "{:?}", load.facts());
        assert_eq!(Counts::read(br#"{"status": "ok"}"#), None);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([0, 1023, 1024, 5 << 40].map(size), ["0 B", "1023 B", "1.0 KiB", "5.0 TiB"]);
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }
}
