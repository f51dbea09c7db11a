//! Which states have the same future.

use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::time::Duration;

use super::world::{Course, Lease, Message, World};

/// A hash by the steps of `SplitMix64`. That of the standard library takes half of the time where nothing is
/// optimised, and nobody attacks this one.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        let mut mixed = (self.0 ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The versions that occur, each in place of its number.
#[derive(Default)]
struct Versions(Vec<u64>);

impl Versions {
    fn place(&mut self, version: u64) -> usize {
        let known = self.0.iter().position(|one| *one == version);
        known.unwrap_or_else(|| {
            self.0.push(version);
            self.0.len() - 1
        })
    }
}

impl World {
    /// What tells this state from those that have another future. Two that share it differ at most in how
    /// much time has passed, and in numbers that are only compared.
    pub fn fingerprint(&self) -> u64 {
        let (mut hasher, mut versions) = (Mixer::default(), Versions::default());
        self.left.hash(&mut hasher);
        self.lease.map(|lease| self.identify(lease, &mut versions)).hash(&mut hasher);
        for process in &self.processes {
            let candidate = &process.candidate;
            candidate.project(process.clock).hash(&mut hasher);
            let version = candidate.rests_on().map(|version| versions.place(version.parse().unwrap()));
            version.hash(&mut hasher);
            match &process.course {
                Course::Runs => 0_u8.hash(&mut hasher),
                Course::Intends(decision) => (1_u8, discriminant(decision)).hash(&mut hasher),
                Course::Stopped(decision) => (2_u8, decision.as_ref().map(discriminant)).hash(&mut hasher),
                Course::Ended => 3_u8.hash(&mut hasher),
            }
        }
        for flight in &self.flights {
            let process = &self.processes[flight.who];
            let prospect =
                flight.asked.as_ref().map(|asked| process.candidate.prospect(asked, process.clock));
            (flight.who, flight.age, prospect).hash(&mut hasher);
            match flight.message {
                Message::Read => 0_u8.hash(&mut hasher),
                Message::Write { over, holder, mark } => {
                    let worth = process.candidate.worth_of(mark, process.clock);
                    let over = over.map(|version| versions.place(version));
                    (1_u8, over, holder, worth).hash(&mut hasher);
                }
                Message::Seen(lease) => {
                    (2_u8, lease.map(|lease| self.identify(lease, &mut versions))).hash(&mut hasher);
                }
                Message::Written(lease) => (3_u8, self.identify(lease, &mut versions)).hash(&mut hasher),
                Message::Refused => 4_u8.hash(&mut hasher),
                Message::Lost => 5_u8.hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// A Lease by the place of its version, its holder, and what it is worth to that one.
    fn identify(&self, lease: Lease, versions: &mut Versions) -> (usize, Option<usize>, Option<Duration>) {
        let worth = lease.holder.and_then(|holder| {
            let process = &self.processes[holder];
            process.candidate.worth_of(lease.mark, process.clock)
        });
        (versions.place(lease.version), lease.holder, worth)
    }
}
