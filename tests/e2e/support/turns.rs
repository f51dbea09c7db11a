//! Whose turn it is: which tests run side by side, and which of those that wait begins next.
//!
//! All tests are threads of one process, and each registers here before it waits. The longest begins first:
//! one that began last would keep the machine from its rest alone. Nobody passes one that waits for more
//! places, or tests with many pods would come last of all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

/// What a test does to the cluster, which decides what may run beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Objects that the API server alone judges.
    Objects,
    /// No Dask pods.
    Light,
    /// Runs on a cluster that it shares with others.
    Runs,
    /// Dask pods: a cluster of up to three workers, or four that come one after the other.
    Dask,
    /// More Dask pods than that, or so many pods that the cluster has to work for them.
    Crowd,
    /// It kills or stops operators, and has one of its own for that
    /// ([`super::operator::Operator::of_its_own`]). The operator under test rests meanwhile. Such tests run
    /// side by side, after all of the above.
    OwnOperator,
    /// It kills or changes what all tests need, so it runs alone, after all of the above.
    Disruptive,
}

/// All tests of a stage end before one of the next stage begins.
const STAGES: usize = 3;
/// Tests with Dask pods share the first pool, of which a scheduler and two workers, which want a core while
/// they start, take two places. Tests without Dask pods share the second one.
const POOLS: [u32; 2] = [10, 6];

impl Load {
    fn stage(self) -> usize {
        match self {
            Self::Objects | Self::Light | Self::Runs | Self::Dask | Self::Crowd => 0,
            Self::OwnOperator => 1,
            Self::Disruptive => 2,
        }
    }

    /// The pool, and how many of its places.
    fn places(self) -> (usize, u32) {
        match self {
            Self::Objects | Self::Light => (1, 1),
            Self::Runs => (0, 1),
            Self::Dask | Self::OwnOperator => (0, 2),
            Self::Crowd => (0, 6),
            Self::Disruptive => (0, POOLS[0]),
        }
    }
}

/// All tests are started at once, if there are threads for them; by then each has registered. Nothing tells
/// how many there are, and one that registers later only begins later.
const ALL_REGISTERED: Duration = Duration::from_secs(1);

static QUEUE: Mutex<Queue> = Mutex::new(Queue::new());

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test, from its registration until nothing of it is left on the machine.
pub struct Registered {
    load: Load,
}

impl Registered {
    /// Registers a test.
    pub fn new(load: Load) -> Self {
        queue().unfinished[load.stage()] += 1;
        Self { load }
    }

    /// Waits for the turn of the test, which is expected to take so many seconds.
    pub async fn turn(&self, seconds: u32) -> Turn {
        let (start, begun) = oneshot::channel();
        queue().waiting.push(Waiting { load: self.load, seconds, begin: start });
        sleep(ALL_REGISTERED).await;
        queue().go_on();
        begun.await.expect("the queue lives as long as the process")
    }

    /// Whether all others of its stage have ended.
    pub fn is_last_of_its_stage(&self) -> bool {
        queue().unfinished[self.load.stage()] == 1
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut queue = queue();
        queue.unfinished[self.load.stage()] -= 1;
        queue.go_on();
    }
}

/// The places of a test, until it gives them back.
#[derive(Debug)]
pub struct Turn {
    load: Load,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = queue();
        queue.give_back(self.load);
        queue.go_on();
    }
}

struct Waiting {
    load: Load,
    seconds: u32,
    begin: oneshot::Sender<Turn>,
}

struct Queue {
    free: [u32; 2],
    /// Tests of each stage that wait, run, or leave.
    unfinished: [usize; STAGES],
    waiting: Vec<Waiting>,
}

impl Queue {
    const fn new() -> Self {
        Self { free: POOLS, unfinished: [0; STAGES], waiting: Vec::new() }
    }

    fn give_back(&mut self, load: Load) {
        let (pool, places) = load.places();
        self.free[pool] += places;
    }

    /// Lets all begin whose turn it is.
    fn go_on(&mut self) {
        for index in (0..POOLS.len()).rev() {
            while let Some(next) = self.next_of(index) {
                let (pool, places) = next.load.places();
                self.free[pool] -= places;
                if let Err(unheard) = next.begin.send(Turn { load: next.load }) {
                    // Its thread has ended. To drop the turn would ask for the lock that is held here.
                    std::mem::forget(unheard);
                    self.give_back(next.load);
                }
            }
        }
    }

    /// Takes the test that begins next in a pool: the longest one of the present stage, if there is room for
    /// it.
    fn next_of(&mut self, pool: usize) -> Option<Waiting> {
        let stage = self.unfinished.iter().position(|count| *count > 0)?;
        let ours = |one: &&Waiting| one.load.stage() == stage && one.load.places().0 == pool;
        let longest = self.waiting.iter().filter(ours).map(|one| one.seconds).max()?;
        let index = self.waiting.iter().position(|one| ours(&one) && one.seconds == longest)?;
        let has_room = self.waiting[index].load.places().1 <= self.free[pool];
        has_room.then(|| self.waiting.remove(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue in which these wait, all of them registered; the answers come in the same order.
    fn of(tests: &[(Load, u32)]) -> (Queue, Vec<oneshot::Receiver<Turn>>) {
        let mut queue = Queue::new();
        let wait = |(load, seconds): &(Load, u32)| {
            let (start, begun) = oneshot::channel();
            queue.unfinished[load.stage()] += 1;
            queue.waiting.push(Waiting { load: *load, seconds: *seconds, begin: start });
            begun
        };
        let all = tests.iter().map(wait).collect();
        (queue, all)
    }

    /// Which of them have begun since the last look. Their turns end by the queue's own `end` alone.
    fn begun(all: &mut [oneshot::Receiver<Turn>]) -> Vec<usize> {
        let heard = all.iter_mut().enumerate().filter_map(|(index, one)| {
            let turn = one.try_recv().ok()?;
            std::mem::forget(turn);
            Some(index)
        });
        heard.collect()
    }

    fn end(queue: &mut Queue, load: Load) {
        queue.give_back(load);
        queue.unfinished[load.stage()] -= 1;
        queue.go_on();
    }

    #[test]
    fn longest_begins_first() {
        let loads = [10, 90, 20, 80, 30, 70, 60].map(|seconds| (Load::Dask, seconds));
        let (mut queue, mut all) = of(&loads);
        queue.go_on();
        assert_eq!(begun(&mut all), [1, 3, 4, 5, 6]);
        end(&mut queue, Load::Dask);
        assert_eq!(begun(&mut all), [2]);
    }

    #[test]
    fn nobody_passes_one_that_waits_for_more_places() {
        let (mut queue, mut all) =
            of(&[(Load::Dask, 99), (Load::Dask, 98), (Load::Dask, 97), (Load::Crowd, 50), (Load::Runs, 10)]);
        queue.go_on();
        assert_eq!(begun(&mut all), [0, 1, 2]);
        end(&mut queue, Load::Dask);
        assert_eq!(begun(&mut all), [3], "six places are free");
        end(&mut queue, Load::Dask);
        assert_eq!(begun(&mut all), [4]);
    }

    #[test]
    fn disruptive_ones_run_alone_after_all_others() {
        let (mut queue, mut all) = of(&[
            (Load::Disruptive, 99),
            (Load::Disruptive, 98),
            (Load::OwnOperator, 97),
            (Load::OwnOperator, 96),
            (Load::Light, 1),
            (Load::Runs, 1),
        ]);
        queue.go_on();
        assert_eq!(begun(&mut all), [4, 5]);
        end(&mut queue, Load::Light);
        assert_eq!(begun(&mut all), Vec::<usize>::new());
        end(&mut queue, Load::Runs);
        assert_eq!(begun(&mut all), [2, 3]);
        end(&mut queue, Load::OwnOperator);
        assert_eq!(begun(&mut all), Vec::<usize>::new());
        end(&mut queue, Load::OwnOperator);
        assert_eq!(begun(&mut all), [0]);
        end(&mut queue, Load::Disruptive);
        assert_eq!(begun(&mut all), [1]);
    }

    /// One that has given its places back and still has pods keeps the next stage waiting, and nobody else.
    #[test]
    fn one_that_leaves_holds_no_place() {
        let (mut queue, mut all) = of(&[(Load::Crowd, 9), (Load::Crowd, 8), (Load::OwnOperator, 9)]);
        queue.go_on();
        assert_eq!(begun(&mut all), [0]);
        queue.give_back(Load::Crowd);
        queue.go_on();
        assert_eq!(begun(&mut all), [1]);
        end(&mut queue, Load::Crowd);
        assert_eq!(begun(&mut all), Vec::<usize>::new());
        queue.unfinished[0] -= 1;
        queue.go_on();
        assert_eq!(begun(&mut all), [2]);
    }
}
