//! What people want of backfills.

use fastrand::Rng;
use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use crate::operator::world::World;

/// The name of the backfill. There is one at the most.
const NAME: &str = "flowbackfills/again";

/// What a backfill asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// From so many seconds after the beginning of the world.
    pub from_s: i64,
    /// Until so many seconds after it.
    pub to_s: i64,
    /// Whether of the first clock alone.
    pub of_first: bool,
    /// How many run together.
    pub parallelism: u8,
    /// Whether the newest goes first.
    pub newest_first: bool,
    /// Which ticks are left out.
    pub skip: &'static str,
}

impl Asked {
    pub(super) fn of(rng: &mut Rng) -> Self {
        Self {
            from_s: rng.i64(-60..20),
            to_s: rng.i64(20..40),
            of_first: rng.bool(),
            parallelism: rng.u8(1..4),
            newest_first: rng.bool(),
            skip: ["Succeeded", "Succeeded", "Ran", "None"][rng.usize(..4)],
        }
    }
}

impl World {
    /// Somebody wants this backfill, if there is none.
    pub(super) async fn ask(&self, asked: Asked) {
        let at = |seconds| self.created.checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string();
        let backfill = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowBackfill",
            "metadata": {"name": "again", "namespace": "default"},
            "spec": {
                "flow": "etl", "from": at(asked.from_s), "to": at(asked.to_s),
                "clocks": if asked.of_first { vec!["c"] } else { Vec::new() },
                "parallelism": asked.parallelism, "skip": asked.skip,
                "order": if asked.newest_first { "NewestFirst" } else { "OldestFirst" },
            },
        });
        let _ = self.write(Method::POST, "flowbackfills", &backfill).await;
    }

    /// Somebody holds the backfill back, cancels it, or lets it go on.
    pub async fn hold(&self, suspend: bool, cancel: bool) {
        self.patch(NAME, &json!({"spec": {"suspend": suspend, "cancel": cancel}})).await;
    }

    pub(super) async fn drop_backfill(&self) {
        let _ = self.write(Method::DELETE, NAME, &json!({})).await;
    }
}
