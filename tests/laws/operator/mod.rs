//! Laws of the real operator, which lives through histories on the API in this process, under a paused clock:
//! it dies after any write, answers are lost, requests are refused, slow or never answered, watches are
//! silent, break or get 410, clocks are set, another operator works beside it.
//!
//! What is asserted is seen from outside: in the API's store and on the wires to it. Always: a tick becomes a
//! run once at the most; no Job is created twice; nobody starts a run that has gone or has ended, who could
//! know it; no run has two runners alive, and no more runs than their Flow's policy allows are alive together;
//! a final phase is never left; history deletes nothing that has not ended; who does not lead writes nothing.
//! And when faults stop: every tick of every clock is a run or was counted as missed, what was given up was
//! counted, every run ends, and then nothing is written any more.
//!
//! Where people edit schedules and write backfills, besides: nothing starts for a time before an edit or a
//! resumption; a runner gets the parameters that its run had at its tick; each tick of a backfill has one run
//! that counts, never too many run at once, nothing is run again or forgotten that counts, and it ends; no
//! result is lost. And other words in the statuses change no history.
//!
//! A history follows from its seed, which a failure prints with the test: `DASKFLOW_LAWS_SEED=7 cargo test
//! --test laws whatever_happens -- --nocapture` lives through it once more and prints all requests.

mod actions;
mod clustered;
mod edited;
mod history;
mod kept;
mod kubelet;
mod laws;
mod past;
mod starts;
mod wire;
mod witness;
mod world;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Instant;

use history::History;
use tokio::runtime::Builder;
use world::World;

/// Histories: always, and in a long search.
const HISTORIES: [u32; 2] = [40, 20_000];

/// Histories at the same time.
const THREADS: usize = 2;

/// What came of a history.
struct Lived {
    log: Vec<String>,
    /// What came to be, and how it ended.
    outcome: BTreeSet<String>,
    result: Result<(), String>,
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Panics are counted, since an operator survives those of a look.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

fn live_through(history: &History) -> Lived {
    count_panics();
    let panics = PANICS.get();
    // Waits between two tries are drawn by kube from this thread's numbers.
    fastrand::seed(history.seed);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (log, outcome, result) = runtime.block_on(async {
        let mut world = World::begin(history).await;
        for happening in &history.happenings {
            world.happen(*happening).await;
            if world.wrong().is_some() {
                break;
            }
        }
        let settled = if world.wrong().is_none() { world.settle().await } else { Ok(()) };
        (world.log(), world.outcome(), world.wrong().map_or(settled, Err))
    });
    let result =
        if PANICS.get() > panics { result.and(Err("the operator panicked".to_owned())) } else { result };
    Lived { log, outcome, result }
}

/// The seeds that are to be lived through: one alone, or a range such as `100..200`.
fn wanted() -> Option<Range<u64>> {
    let text = std::env::var_os("DASKFLOW_LAWS_SEED")?.into_string().ok()?;
    let (first, end) = text.split_once("..").unwrap_or((&text, ""));
    let first = first.parse().ok()?;
    Some(first..end.parse().unwrap_or(first + 1))
}

fn must_hold(history: &History) {
    outcome(history);
}

/// The runs and Jobs that there were in a history that keeps all laws, and how the runs ended.
fn outcome(history: &History) -> BTreeSet<String> {
    let lived = live_through(history);
    if let Err(law) = lived.result {
        panic!("{law}\n{history:#?}\n{}", lived.log.join("\n"));
    }
    lived.outcome
}

/// Lives through the histories of these seeds, until one breaks a law, and gives how many it were.
fn live_through_all(seeds: Range<u64>, of: fn(u64) -> History) -> (u64, Option<(u64, String)>) {
    let (next, first) = (AtomicU64::new(seeds.start), Mutex::new(None::<(u64, String)>));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while first.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let lived = catch_unwind(AssertUnwindSafe(|| live_through(&of(seed)).result));
                    if let Err(law) = lived.unwrap_or_else(|_| Err("the world panicked".to_owned())) {
                        first.lock().unwrap().get_or_insert((seed, law));
                    }
                }
            });
        }
    });
    (next.into_inner().min(seeds.end) - seeds.start, first.into_inner().unwrap())
}

/// Lives through many histories, each of which follows from its seed in this way.
fn must_all_hold(of: fn(u64) -> History, test: &str) {
    let seeds = wanted().unwrap_or(0..super::histories(HISTORIES).into());
    if let [seed] = seeds.clone().take(2).collect::<Vec<_>>()[..] {
        let lived = live_through(&of(seed));
        eprintln!("{:#?}\n{}", of(seed), lived.log.join("\n"));
        return lived.result.unwrap();
    }
    let began = Instant::now();
    let (count, wrong) = live_through_all(seeds, of);
    eprintln!("{count} histories in {:?}", began.elapsed());
    if let Some((seed, law)) = wrong {
        panic!("{law}: DASKFLOW_LAWS_SEED={seed} cargo test --test laws {test} -- --nocapture");
    }
}

#[test]
fn whatever_happens_nothing_is_doubled_or_lost_and_all_ends() {
    must_all_hold(History::of, "whatever_happens");
}

#[test]
fn whatever_people_do_nothing_is_doubled_and_all_ends() {
    must_all_hold(actions::history, "whatever_people_do");
}

#[test]
fn whatever_happens_to_a_cluster_it_loses_nothing_and_becomes_as_wanted() {
    must_all_hold(actions::cluster_history, "whatever_happens_to_a_cluster");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 8, 21] {
        let (one, other) = (live_through(&History::of(seed)).log, live_through(&History::of(seed)).log);
        assert!(one.len() > 30, "{one:#?}");
        let differs = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!((differs, one.len()), (None, other.len()), "seed {seed}");
    }
}
