//! What messages say: the handshake, requests, answers, and the types in them. Pure.
//!
//! Everything is MessagePack with text for keys. Reading is tolerant: fields not named here are skipped,
//! fields that are missing or of another kind than expected are empty, because they differ between versions;
//! only what a caller would decide on wrongly is required.
use super::lenient::{self, ByAddress, Length, List, Scalar};
use super::running;
use super::version::Version;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// How deep lists and maps of a message may lie in each other. Dask's own need about six.
const DEPTH_MAX: usize = 64;

/// How much of a scheduler's error text is kept, in bytes: enough for a condition.
const ERROR_BYTES_MAX: usize = 1000;

/// What an answer of nil looks like.
const NIL: [u8; 1] = [0xc0];

/// What each side says first. The keys of ours are the ones every version demands; saying no compression
/// switches it off in both directions.
#[derive(Debug, Serialize)]
struct Handshake {
    compression: Option<&'static str>,
    python: [u8; 3],
    #[serde(rename = "pickle-protocol")]
    pickle_protocol: u8,
}

/// A request: the operation, and its arguments beside it.
#[derive(Serialize)]
struct Request<'a, A> {
    op: &'a str,
    reply: bool,
    #[serde(flatten)]
    arguments: &'a A,
}

/// No arguments.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct NoArguments {}

/// Why an answer is not the value that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The operation failed in the scheduler; the connection is as good as before.
    #[error("scheduler failed: {text}")]
    Remote {
        /// What it says of the failure, cut to 1000 bytes.
        text: String,
    },
    /// The answer is nil where a value is wanted: what every scheduler answers to an operation it does not
    /// have.
    #[error("scheduler answered nothing, as it does for an operation that it does not have")]
    Nil,
    /// The answer is of another shape.
    #[error("answer has not the shape that was expected")]
    Shape(#[source] rmp_serde::decode::Error),
}

/// Our handshake, in MessagePack.
pub fn encode_handshake() -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(&Handshake { compression: None, python: [3, 0, 0], pickle_protocol: 4 })
}

/// Whether a message is a handshake: a map that tells a pickle protocol.
pub fn is_handshake(payload: &[u8]) -> bool {
    read::<Fields>(payload).is_ok_and(|fields| fields.pickle_protocol)
}

/// A request, in MessagePack. The arguments must be a struct or a map with keys of text.
pub fn encode_request<A: Serialize>(op: &str, arguments: &A) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(&Request { op, reply: true, arguments })
}

/// Reads an answer. There is no envelope: a failure is a map that says so, anything else is the value.
pub fn decode_reply<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ReplyError> {
    if let Ok(Fields { failed: true, text, .. }) = read::<Fields>(payload) {
        let text = text.unwrap_or_else(|| "the scheduler does not say how".to_owned());
        return Err(ReplyError::Remote { text: cut(text) });
    }
    read(payload).map_err(|error| if payload == NIL { ReplyError::Nil } else { ReplyError::Shape(error) })
}

/// Reads one value, with the depth limited.
pub(super) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
    deserializer.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut deserializer)
}

/// Cuts a text at a character border.
fn cut(mut text: String) -> String {
    let end = (0..=ERROR_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}

/// The fields of a map that tell what kind of message it is.
#[derive(Default)]
struct Fields {
    failed: bool,
    text: Option<String>,
    pickle_protocol: bool,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Scalar>()? {
            match key.into_text().as_deref() {
                Some("status") => {
                    fields.failed = map.next_value::<Scalar>()? == Scalar::Text("uncaught-error".to_owned());
                }
                // Since 2021.8.0; before it there is only `text` (measured on 2021.6.0).
                Some("exception_text") => {
                    fields.text = map.next_value::<Scalar>()?.into_text().or(fields.text);
                }
                Some("text") => {
                    let text = map.next_value::<Scalar>()?.into_text();
                    fields.text = fields.text.or(text);
                }
                Some("pickle-protocol") => {
                    fields.pickle_protocol = map.next_value::<Scalar>()?.into_count().is_some();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// The name of a worker: a text, a number (as `LocalCluster` numbers its workers), or something else that a
/// user's program made up. An unnamed worker's name is its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkerName {
    /// A number.
    Int(i64),
    /// A text.
    Str(String),
    /// Anything else; a worker of such a name can only be addressed by its address.
    Other,
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Str(text) => text.fmt(f),
            Self::Other => f.write_str("(neither text nor number)"),
        }
    }
}

impl From<&str> for WorkerName {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for WorkerName {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl Serialize for WorkerName {
    /// As text, since schedulers compare names as text: "0" finds the worker of number 0 (measured).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WorkerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Scalar::deserialize(deserializer)? {
            Scalar::Int(number) => Self::Int(number),
            Scalar::Text(text) if text.len() <= lenient::TEXT_BYTES_MAX => Self::Str(text),
            _ => Self::Other,
        })
    }
}

/// What a scheduler knows of one of its workers.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct WorkerInfo {
    /// Its name, unique in its cluster.
    #[serde(default = "no_name")]
    pub name: WorkerName,
    /// The host it runs on.
    #[serde(default, deserialize_with = "lenient::text")]
    pub host: Option<String>,
    /// Threads that run tasks.
    #[serde(default, deserialize_with = "lenient::count_or_zero")]
    pub nthreads: u64,
    /// Bytes of memory it may use, 0 for no limit.
    #[serde(default, deserialize_with = "lenient::count_or_zero")]
    pub memory_limit: u64,
    /// Amounts of the resources that its user gave it, such as GPU.
    #[serde(default, deserialize_with = "lenient::floats")]
    pub resources: BTreeMap<String, f64>,
    /// `init`, `running`, `paused`, `closing_gracefully` …; told by distributed ≥ 2022.5.1 (source).
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// The ports of its web services, such as `dashboard`.
    #[serde(default, deserialize_with = "lenient::ports")]
    pub services: BTreeMap<String, u16>,
    /// The address of its nanny, if it has one.
    #[serde(default, deserialize_with = "lenient::text")]
    pub nanny: Option<String>,
    /// How many tasks it runs, those not counted that wait at it, as of its last heartbeat; told by
    /// distributed ≥ 2022.10.2 (source).
    #[serde(default, rename = "metrics", deserialize_with = "running::running")]
    pub running: Option<u64>,
    /// When that heartbeat came, in seconds since the epoch by the scheduler's clock. Up to 10 workers send
    /// one twice a second, 1000 one every six seconds (source).
    #[serde(default, deserialize_with = "lenient::float")]
    pub last_seen: Option<f64>,
}

fn no_name() -> WorkerName {
    WorkerName::Other
}

/// A scheduler and its workers.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Identity {
    /// The scheduler's own, other after each restart.
    #[serde(deserialize_with = "lenient::short_text")]
    pub id: String,
    /// Where it says that it listens.
    #[serde(default, deserialize_with = "lenient::text")]
    pub address: Option<String>,
    /// Seconds since the epoch at which it started, by its own clock.
    #[serde(default, deserialize_with = "lenient::float")]
    pub started: Option<f64>,
    /// Its workers by address.
    #[serde(deserialize_with = "lenient::by_address")]
    pub workers: BTreeMap<String, WorkerInfo>,
    #[serde(default, deserialize_with = "lenient::count")]
    n_workers: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    total_threads: Option<u64>,
    #[serde(default, deserialize_with = "lenient::count")]
    total_memory: Option<u64>,
}

/// A cluster in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Workers that are registered.
    pub workers: u64,
    /// Their threads.
    pub threads: u64,
    /// Bytes of memory they may use; workers without a limit count 0.
    pub memory: u64,
}

impl Identity {
    /// The totals: the scheduler's own count where it tells one (≥ 2025.4.0), else that of the workers
    /// listed.
    pub fn totals(&self) -> Totals {
        let sum =
            |amount: fn(&WorkerInfo) -> u64| self.workers.values().map(amount).fold(0, u64::saturating_add);
        Totals {
            workers: self.n_workers.unwrap_or(self.workers.len() as u64),
            threads: self.total_threads.unwrap_or_else(|| sum(|worker| worker.nthreads)),
            memory: self.total_memory.unwrap_or_else(|| sum(|worker| worker.memory_limit)),
        }
    }
}

/// What a scheduler runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The scheduler's release, which decides what it can be asked.
    pub distributed: Version,
    /// Every package that it reports, `python` among them, with the version as it is written.
    pub packages: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Wire {
            #[serde(deserialize_with = "lenient::texts")]
            packages: BTreeMap<String, String>,
        }
        let packages = Wire::deserialize(deserializer)?.packages;
        let distributed =
            packages.get("distributed").ok_or_else(|| D::Error::missing_field("distributed"))?;
        let distributed = distributed.parse().map_err(D::Error::custom)?;
        Ok(Self { distributed, packages })
    }
}

/// The arguments of `retire_workers`: which workers go, and how. Always a list: without one a scheduler
/// retires every worker that is idle (measured).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retirement {
    /// The names of the workers.
    pub names: Vec<WorkerName>,
    /// Whether the workers are told to stop. Without it they notice that they were removed, and stop all the
    /// same.
    pub close_workers: bool,
    /// Whether the scheduler forgets the workers at once.
    pub remove: bool,
}

impl Retirement {
    /// The usual way: data moves to other workers, then the workers are told to stop and are forgotten.
    pub fn of<N: Into<WorkerName>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), close_workers: true, remove: true }
    }

    /// The first half of it: data moves, and the workers stay, closed to new tasks (`closing_gracefully`).
    /// For releases from [`CLOSES_TO_TASKS_SINCE`](super::version::CLOSES_TO_TASKS_SINCE) on. An answer names
    /// those that were closed.
    ///
    /// Measured on 2022.2.0, 2023.4.1, 2024.3.1 and 2026.8.0 under a backlog: the answer comes within 60 ms,
    /// whatever runs. What a worker runs ends at it and counts; what had been given to it and had not begun
    /// never begins there, and lies with it until another worker steals it or this one goes. A worker whose
    /// data has nowhere to go is not in the answer, and is open again. One that is closed stays so: a
    /// retirement that is given up does not open it.
    ///
    /// A P2P shuffle that begins later takes it for one of its workers. Its tasks there never begin, and it
    /// is no longer among those that the scheduler would close, until it is retired all the same; then the
    /// shuffle starts again (measured on 2024.4.2 and 2026.8.0).
    pub fn closing<N: Into<WorkerName>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { close_workers: false, remove: false, ..Self::of(names) }
    }
}

/// One change of the membership, as a scheduler announces it to its subscriber.
#[derive(Debug, Clone, PartialEq)]
pub enum SubscribeEvent {
    /// Workers have come, by address.
    Added(BTreeMap<String, WorkerInfo>),
    /// The worker of this address has gone.
    Removed(String),
    /// Something that this version of the client does not know.
    Other,
}

impl<'de> Deserialize<'de> for SubscribeEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = SubscribeEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a verb and its object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SubscribeEvent, A::Error> {
        #[derive(serde::Deserialize)]
        struct Added {
            #[serde(deserialize_with = "lenient::by_address")]
            workers: BTreeMap<String, WorkerInfo>,
        }
        #[derive(serde::Deserialize)]
        struct Gone(#[serde(deserialize_with = "lenient::short_text")] String);
        let verb = seq.next_element::<Scalar>()?.and_then(Scalar::into_text);
        let event = match verb.as_deref() {
            Some("add") => seq.next_element::<Added>()?.map(|added| SubscribeEvent::Added(added.workers)),
            Some("remove") => seq.next_element::<Gone>()?.map(|gone| SubscribeEvent::Removed(gone.0)),
            _ => Some(SubscribeEvent::Other),
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        event.ok_or_else(|| A::Error::invalid_length(1, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SubscribeEvent, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(SubscribeEvent::Other)
    }
}

/// Reads a batch of events. Its workers are counted over all of its events: twenty thousand events of as many
/// workers each would be bounded one by one, and in memory together.
pub fn decode_events(payload: &[u8]) -> Result<Vec<SubscribeEvent>, rmp_serde::decode::Error> {
    read::<Batch>(payload).map(|batch| batch.0)
}

struct Batch(Vec<SubscribeEvent>);

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor).map(Self)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Vec<SubscribeEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut events, mut entries) = (Vec::new(), 0_usize);
        while let Some(event) = seq.next_element()? {
            let more = if let SubscribeEvent::Added(workers) = &event { workers.len() } else { 1 };
            entries = entries.saturating_add(more);
            if entries > lenient::ENTRIES_MAX {
                return Err(lenient::too_many());
            }
            events.push(event);
        }
        Ok(events)
    }
}

/// Names, in a list or a set.
pub(super) type Names = List<WorkerName>;

/// How many tasks lie with each worker, by address.
pub(super) type TaskCounts = ByAddress<Length>;

#[cfg(test)]
mod tests;
