//! Histories: what a Flow says, and what happens to its operator, all from one seed.

use std::time::Duration;

use daskflow::api::count::Count;
use daskflow::api::flow::{CatchUp, CatchUpPolicy, Concurrency};
use fastrand::Rng;
use serde_json::{Value, json};

use super::actions::Act;
use super::past::Past;
use super::wire::{Armed, Fault, On};
use crate::dask;

/// The clocks with the seconds between their ticks. Some ticks are of one instant; all but those of the first
/// clock have parameters of their own, and so runs of their own.
pub const CLOCKS: [(&str, i64); 2] = [("c", 15), ("d", 30)];

/// The name of the cluster.
pub const CLUSTER: &str = "analytics";

/// How many runs a backfill has together.
pub const PARALLELISM: usize = 2;

/// The clocks tick for so many seconds.
pub const TICKING_S: i64 = 50;

/// A `DaskCluster` that runs share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// How many runs may be on it together.
    pub max_active_runs: Option<i32>,
    /// How many workers it has.
    pub workers: i32,
}

impl Shared {
    /// The `DaskCluster`.
    pub fn object(&self) -> Value {
        let mut cluster = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster",
            "metadata": {"name": CLUSTER, "namespace": "default"},
            "spec": {"image": "flows:1", "workers": {"replicas": self.workers}},
        });
        if let Some(runs) = self.max_active_runs {
            cluster["spec"]["maxActiveRuns"] = json!(runs);
        }
        cluster
    }
}

/// What a Flow says, and who operates it, as far as the laws differ by it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How its runs overlap.
    pub concurrency: Concurrency,
    /// Under `Queue`, how many may be active.
    pub max_active: Option<i32>,
    /// What becomes of ticks that were missed.
    pub catch_up: CatchUp,
    /// Further attempts of a run.
    pub attempts: i32,
    /// Finished runs that are kept.
    pub kept: i32,
    /// The `DaskCluster` that they run on; none: a scheduler at an address.
    pub cluster: Option<Shared>,
    /// Whether somebody else has a Job of the name that the first run's is to have.
    pub stranger: bool,
    /// Operators that are there at the same time.
    pub operators: usize,
    /// Whether they stand for the Lease. If not, all of them work.
    pub election: bool,
}

impl Rules {
    /// How many runs may be active together.
    pub fn places(&self) -> Option<usize> {
        let of_cluster = self.cluster.and_then(|cluster| cluster.max_active_runs);
        [self.places_of_flow(), of_cluster.and_then(|runs| usize::try_from(runs).ok())]
            .into_iter()
            .flatten()
            .min()
    }

    /// How many of its runs the Flow admits together.
    pub fn places_of_flow(&self) -> Option<usize> {
        match self.concurrency {
            Concurrency::Allow => None,
            Concurrency::Forbid | Concurrency::Replace => Some(1),
            Concurrency::Queue => usize::try_from(self.max_active.unwrap_or(1)).ok(),
        }
    }

    /// The Flow, whose clocks end at that instant.
    pub fn flow(&self, end: jiff::Timestamp) -> Value {
        let clock = |(name, seconds): (&str, i64)| {
            let mut clock =
                json!({"name": name, "interval": format!("{seconds}s"), "endAt": end.to_string()});
            if name != "c" {
                clock["parameters"] = json!({"of": name});
            }
            clock
        };
        let mut flow = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow",
            "metadata": {"name": "etl", "namespace": "default"},
            "spec": {
                "image": "flows:1", "command": ["true"], "cluster": {"address": "tcp://dask:8786"},
                "parameters": {"base": 0},
                "concurrency": self.concurrency,
                "catchUp": self.catch_up,
                "retries": {"limit": self.attempts, "infrastructure": self.attempts, "delay": "3s"},
                "history": {"succeeded": self.kept, "failed": self.kept},
                "schedule": {"clocks": CLOCKS.map(clock)},
            },
        });
        if self.cluster.is_some() {
            flow["spec"]["cluster"] = json!({"ref": {"name": CLUSTER}});
        }
        if let Some(places) = self.max_active {
            flow["spec"]["maxActive"] = json!(places);
        }
        flow
    }

    /// Any that are asked for.
    ///
    /// Two operators that both work, which the chart refuses, are in kept histories alone. What one of them
    /// has not heard yet the other has: each writes a status over the other's, without end while this clock
    /// stands still. And each makes the workers of a cluster that are missing.
    pub fn of(rng: &mut Rng) -> Self {
        let (concurrency, max_active) = match rng.u8(..5) {
            0 => (Concurrency::Allow, None),
            1 => (Concurrency::Forbid, None),
            2 => (Concurrency::Replace, None),
            _ => (Concurrency::Queue, Some(rng.i32(1..3))),
        };
        let catch_up = match rng.u8(..5) {
            0 => CatchUp { policy: CatchUpPolicy::None, limit: Count::new(1) },
            1 => CatchUp { policy: CatchUpPolicy::All, limit: Count::new(3) },
            _ => CatchUp::default(),
        };
        let election = rng.u8(..6) == 0;
        let cluster =
            Shared { max_active_runs: [None, Some(1), Some(2)][rng.usize(..3)], workers: rng.i32(0..3) };
        Self {
            concurrency,
            max_active,
            cluster: (rng.u8(..3) == 0).then_some(cluster),
            catch_up,
            attempts: rng.i32(0..3),
            kept: [0, 0, 1, 100][rng.usize(..4)],
            stranger: rng.u8(..10) == 0,
            operators: if election || rng.u8(..8) == 0 { 2 } else { 1 },
            election,
        }
        .with_one_leader()
    }

    /// Two operators stand for the Lease.
    fn with_one_leader(self) -> Self {
        Self { election: self.operators > 1, ..self }
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    /// So many milliseconds pass.
    Pass(u64),
    /// A fault waits for its request.
    Arm(Armed),
    /// The watches of this kind tell nothing for so many seconds.
    Silence(&'static str, u8),
    /// All watches end.
    WatchesEnd,
    /// All watches end, and what has changed until now is forgotten: they get 410.
    ChangesAreForgotten,
    /// Lists for caches are so many versions behind from now on.
    ListsAreBehind(u8),
    /// Caches are of long ago.
    Past(Past),
    /// The operator of this number is killed.
    Kill(usize),
    /// All operators are killed, and come back after so many seconds.
    Away(u8),
    /// The clocks of the operators' machines are set by so many seconds.
    SetClock(i64),
    /// The Dask scheduler of the cluster crashes, and starts anew in its pod, or with a new one.
    SchedulerEnds { with_pod: bool },
    /// The next answer of the Dask scheduler to a retirement goes wrong.
    Retirement(Fails),
    /// The Dask scheduler can, or cannot be reached.
    Door(bool),
    /// The cluster is to have so many workers.
    Workers(i32),
    /// A task comes to the worker of this index, which is busy until tasks end.
    Compute(usize),
    /// All tasks end.
    TasksEnd,
    /// Somebody wants a backfill of the ticks from a while before the beginning until a while after it.
    Backfill,
    /// Somebody cancels the unfinished run of this index.
    Cancel(usize),
    /// Somebody deletes the unfinished run of this index.
    DeleteRun(usize),
    /// Somebody suspends or resumes the unfinished run of this index.
    SuspendRun(usize, bool),
    /// Somebody suspends or resumes the Flow.
    SuspendFlow(bool),
    /// Somebody does one of many things.
    People(Act),
}

/// What goes wrong with a retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// It is done, and the answer lost.
    Lost,
    /// It is not done, and not answered.
    Never,
    /// It takes long.
    Slow,
    /// It is said to be done, and is not.
    InWords,
    /// Others are retired.
    Others,
    /// None is retired.
    None,
}

impl Fails {
    /// The same as a fault of a scheduler.
    pub fn fault(self) -> dask::Fault {
        match self {
            Self::Lost => dask::Fault::Lost,
            Self::Never => dask::Fault::Never,
            Self::Slow => dask::Fault::Slow(Duration::from_secs(20)),
            Self::InWords => dask::Fault::RetiresInWords,
            Self::Others => dask::Fault::RetiresOthers,
            Self::None => dask::Fault::RetiresNone,
        }
    }
}

const FAILS: [Fails; 6] =
    [Fails::Lost, Fails::Never, Fails::Slow, Fails::InWords, Fails::Others, Fails::None];

/// The kinds that are watched and that a Flow's life depends on.
const WATCHED: [&str; 5] = ["flows", "flowruns", "jobs", "pods", "daskclusters"];

impl Happening {
    /// Anything that may happen.
    pub fn of(rng: &mut Rng, rules: &Rules, by_people: bool) -> Self {
        match rng.u8(..42) {
            40..=41 => Self::Past(Past::of(rng)),
            33..=35 if rules.cluster.is_some() => Self::of_cluster(rng),
            36 if by_people => Self::Backfill,
            16 if by_people => Self::DeleteRun(rng.usize(..4)),
            37 if by_people => Self::Cancel(rng.usize(..4)),
            38 if by_people => Self::SuspendRun(rng.usize(..4), rng.bool()),
            39 if by_people => Self::SuspendFlow(rng.bool()),
            18..=23 => Self::Arm(armed(rng)),
            24..=27 => Self::Silence(WATCHED[rng.usize(..WATCHED.len())], rng.u8(1..40)),
            28 => Self::WatchesEnd,
            29 => Self::ChangesAreForgotten,
            30 => Self::ListsAreBehind(rng.u8(..20)),
            17 => Self::Away(rng.u8(5..60)),
            31 => Self::Kill(rng.usize(..2)),
            32 => Self::SetClock(rng.i64(-20..20)),
            _ => Self::Pass(rng.u64(1..6_000)),
        }
    }

    fn of_cluster(rng: &mut Rng) -> Self {
        match rng.u8(..12) {
            0 => Self::SchedulerEnds { with_pod: rng.bool() },
            1..=2 => Self::Retirement(FAILS[rng.usize(..FAILS.len())]),
            3..=4 => Self::Door(rng.bool()),
            5..=8 => Self::Workers(rng.i32(0..4)),
            9..=10 => Self::Compute(rng.usize(..3)),
            _ => Self::TasksEnd,
        }
    }
}

fn armed(rng: &mut Rng) -> Armed {
    let on = match rng.u8(..12) {
        0..=2 => On::Create,
        3..=4 => On::Status,
        5..=6 => On::FlowStatus,
        7 => On::Delete,
        8..=9 => On::Write,
        10 => On::Lease,
        _ => On::Read,
    };
    let fault = match rng.u8(..16) {
        0..=1 => Fault::DiesBefore,
        2..=4 => Fault::DiesAfter,
        5..=6 => Fault::AnswerIsLost,
        7 => Fault::AnswerNeverComes,
        8 => Fault::IsLost,
        9 => Fault::NeverArrives,
        10 => Fault::ArrivesLate(rng.u8(1..30)),
        11 => Fault::IsAnsweredLate(rng.u8(1..20)),
        12..=13 => Fault::Conflict,
        14 => Fault::Busy,
        _ => Fault::Broken,
    };
    Armed { fault, on, after: rng.u8(..4) }
}

/// One history.
#[derive(Clone, Debug)]
pub struct History {
    /// What everything else of it comes from, and what pods and chance do in it.
    pub seed: u64,
    /// What the Flow says.
    pub rules: Rules,
    /// What happens.
    pub happenings: Vec<Happening>,
}

impl History {
    /// The history of a seed. Every second one has people in it, who cancel and suspend.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rules = Rules::of(&mut rng);
        let by_people = seed % 2 == 1;
        let count = rng.usize(1..32);
        let happenings = (0..count).map(|_| Happening::of(&mut rng, &rules, by_people)).collect();
        Self { seed, rules, happenings }
    }

    /// Whether its cluster does not stay as it was made.
    pub fn edits_its_cluster(&self) -> bool {
        let edits = |happening: &Happening| matches!(happening, Happening::People(Act::Cluster(_)));
        self.happenings.iter().any(edits)
    }

    /// Whether nobody stops or changes anything in it.
    pub fn is_left_alone(&self) -> bool {
        let by_people = |happening: &Happening| {
            matches!(
                happening,
                Happening::Backfill
                    | Happening::Cancel(_)
                    | Happening::DeleteRun(_)
                    | Happening::SuspendRun(..)
                    | Happening::SuspendFlow(_)
            ) || matches!(happening, Happening::People(act) if act.is_by_people())
        };
        !self.happenings.iter().any(by_people)
    }
}
