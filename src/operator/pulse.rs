//! Whether this process may work, and whether it does: what the probes show, and what the election waits for.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::leader::Claim;
use crate::daemon::heartbeats::Heartbeats;

/// The signs of life of one operator.
pub struct Pulse {
    /// Until when this process may write.
    pub(super) claim: Arc<Claim>,
    /// Whether the loops turn.
    pub(super) heartbeats: Arc<Heartbeats>,
    stop: CancellationToken,
    obstacle: Mutex<Option<String>>,
    /// Cancelled once all caches are full: before, this process cannot work, and leaves the Lease to others.
    full: CancellationToken,
}

impl Pulse {
    /// Of a process that leads while it has this claim, and that ends when it is asked to stop.
    pub fn new(claim: Arc<Claim>, stop: CancellationToken) -> Self {
        Self {
            claim,
            heartbeats: Arc::default(),
            stop,
            obstacle: Mutex::default(),
            full: CancellationToken::new(),
        }
    }

    /// Whether this process leads. For metrics only, never decide by it: it can lag behind the claim.
    pub fn leads(&self) -> bool {
        self.claim.flag().load(Ordering::Relaxed)
    }

    /// Whether the process was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The caches have been filled once.
    pub fn caches_are_ready(&self) {
        self.full.cancel();
    }

    /// Whether the caches have been filled once.
    pub fn is_ready(&self) -> bool {
        self.full.is_cancelled()
    }

    /// Cancelled once this process is able to work.
    pub(super) fn able(&self) -> CancellationToken {
        self.full.clone()
    }

    /// Says what the start waits for, if anything.
    pub(super) fn waits_for(&self, obstacle: Option<String>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }

    /// What the start waits for, if anything.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
