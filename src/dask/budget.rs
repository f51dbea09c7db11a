//! How much memory the messages may take that are being read, those of all connections together that share a
//! budget.
//!
//! A message that is short is read at once. A longer one waits until there is room for it, and must then come
//! to its end within a time, so that a peer that sends it byte by byte does not hold the room for ever.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages of so many bytes need no room: about eighty workers.
const SHORT_BYTES: u64 = 64 << 10;

/// The room of all together, in KiB: two of the longest at one time, as they came and decoded.
const ROOM_KIB: usize = 64 << 10;

/// What a message takes: its own bytes, and as many again once it is decoded. A hostile one takes more: the
/// bounds of [`super::lenient`] keep it to some 30 MiB.
const COST: u64 = 2;

/// How long a message may take to come that has room: this, and as long again for each so many bytes.
const LIMIT: Duration = Duration::from_secs(2);
const LIMIT_BYTES: u64 = 8 << 20;

/// From so many bytes on a message is decoded where it keeps nothing else waiting.
const BLOCKING_BYTES: usize = 256 << 10;

/// The room for long messages. Connections with copies of one budget share it; an operator has one for all
/// schedulers.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

/// The room that one message has.
#[derive(Debug)]
pub(super) struct Room(
    #[allow(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
);

/// How long a message of so many bytes may take to come.
pub(super) fn limit(bytes: u64) -> Duration {
    let times = u32::try_from(bytes / LIMIT_BYTES).unwrap_or(u32::MAX).saturating_add(1);
    LIMIT.saturating_mul(times)
}

/// Whether a message of so many bytes needs room.
pub(super) fn needs_room(bytes: u64) -> bool {
    bytes > SHORT_BYTES
}

impl Budget {
    /// Waits for room, behind those who have waited longer. May be dropped at any time.
    pub(super) async fn room(&self, bytes: u64) -> Room {
        let kib = usize::try_from(bytes.saturating_mul(COST) >> 10).unwrap_or(ROOM_KIB).clamp(1, ROOM_KIB);
        match self.0.clone().acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await {
            Ok(permit) => Room(permit),
            // Nothing closes it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB)))
    }
}

/// A message, and the room that it has until it is dropped.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    _room: Option<Room>,
}

impl Payload {
    pub(super) fn new(bytes: Vec<u8>, room: Option<Room>) -> Self {
        Self { bytes, _room: room }
    }

    /// Decodes it; a long one on a thread of its own, since that may take a second and other connections have
    /// the same threads. What is dropped meanwhile is lost.
    pub(super) async fn decoded<T: Send + 'static>(
        self,
        decode: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> T {
        if self.bytes.len() < BLOCKING_BYTES {
            return decode(&self.bytes);
        }
        // All of it goes along, its room too, which else would be free before its memory is.
        match tokio::task::spawn_blocking(move || decode(&self)).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and this with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
