//! How a history ends: faults stop, and all comes to rest.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::World;
use crate::operator::history::{CLOCKS, Happening};
use crate::operator::witness::Pod;

/// How often a cluster may change once more before it must be at rest.
const REST_ROUNDS_MAX: usize = 12;

impl World {
    /// Faults stop, holds are taken off, and the clocks come to their end: all comes to rest. Gives what did
    /// not.
    pub async fn settle(&mut self) -> Result<(), String> {
        self.wires.mend();
        let pods_seen = self.witness.lock().unwrap().pods_seen;
        for number in 0..pods_seen {
            self.schedulers.mend(&Pod { number, ..Pod::default() }.address());
        }
        self.tasks_end();
        if self.history.rules.stranger {
            self.stranger(Method::DELETE).await;
        }
        self.wall.set.store(0, Ordering::Relaxed);
        self.patch("flows/etl", &json!({"spec": {"suspend": false}})).await;
        self.hold(false, false).await;
        self.let_cluster_work().await;
        if self.witness().wanted_workers == 0 {
            // Without a worker no run begins.
            self.happen(Happening::Workers(1)).await;
        }
        let names: Vec<String> = self.witness.lock().unwrap().open().into_iter().map(str::to_owned).collect();
        for name in names {
            self.patch(&format!("flowruns/{name}"), &json!({"spec": {"suspend": false}})).await;
        }
        let left = self.end.duration_since(self.wall.right()).max(SignedDuration::ZERO);
        self.pass(left.unsigned_abs() + Duration::from_secs(1)).await;
        self.kubelet.hurries = true;
        for _ in 0..120 {
            // What was sent too late may still arrive.
            self.pass(Duration::from_secs(10)).await;
            self.work_ends();
            if self.is_all_over() {
                return self.rest().await;
            }
        }
        let witness = self.witness.lock().unwrap();
        let open = witness.open().join(", ");
        if open.is_empty() { witness.laws.at_rest() } else { Err(format!("{open} never end")) }
    }

    fn is_all_over(&self) -> bool {
        let witness = self.witness.lock().unwrap();
        witness.open().is_empty() && witness.alive().is_empty() && witness.laws.are_all_over()
    }

    /// Nothing is written any more.
    async fn rest(&mut self) -> Result<(), String> {
        self.witness().laws.calm_down();
        self.pass(Duration::from_secs(60)).await;
        let mut before = self.witness().last_change();
        for _ in 0..REST_ROUNDS_MAX {
            self.work_ends();
            self.pass(Duration::from_secs(30)).await;
            let now = self.witness().last_change();
            if now == before {
                return self.is_at_rest();
            }
            // A cluster that was edited takes its time, step by step.
            if !self.history.edits_its_cluster() {
                break;
            }
            before = now;
        }
        Err("it does not come to rest".to_owned())
    }

    /// Tasks end wherever they have a worker, and nobody needs the results of a cluster that is to have none.
    fn work_ends(&self) {
        self.tasks_end();
        if self.witness().laws.wants_no_workers() {
            self.change_scheduler(|state| state.results.clear());
            self.witness().laws.forgive();
        }
    }

    fn is_at_rest(&self) -> Result<(), String> {
        let witness = self.witness();
        let (missed, skipped) = witness.counted;
        let given_up = i64::try_from(witness.skipped.len()).unwrap();
        if skipped != given_up {
            return Err(format!("{skipped} are counted as given up, and {:?} were", witness.skipped));
        }
        witness.laws.at_rest()?;
        let ran = i64::try_from(witness.ticks.len()).unwrap();
        let due = self.due();
        if self.history.is_left_alone() && ran + missed != due {
            return Err(format!("{ran} ran and {missed} were missed of {due} ticks"));
        }
        Ok(())
    }

    /// How many ticks there were.
    fn due(&self) -> i64 {
        let passed = |time: Timestamp, interval: i64| time.as_second().div_euclid(interval);
        let of_clock =
            |(_, interval): &(&str, i64)| passed(self.end, *interval) - passed(self.created, *interval);
        CLOCKS.iter().map(of_clock).sum()
    }
}
