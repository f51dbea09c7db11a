//! Laws of one `DaskCluster` that hold over any history: of edits, workers that start, register, crash, are
//! evicted or deleted, images that never start, schedulers that die or cannot be reached, clients and runs
//! that come and go, full quotas, caches that are behind, and an operator that dies after any write or
//! forgets what it heard.
//!
//! Always (`laws.rs` says when each is looked at):
//! 1. A registered worker is deleted only after the scheduler has let it go, except where all pods go: so it
//!    is planned, and so it is done.
//! 2. No result is lost by an act of the operator, except there, and where a scheduler is replaced that
//!    nobody uses.
//! 3. A group never grows above what is wanted plus the surge, its size is within its bounds, and there is
//!    one scheduler.
//! 4. A group serves with no less than is wanted because another one has too many.
//! 7. Under `drain: Wait` no worker with tasks is retired before the timeout. One that is closed to new tasks
//!    is written down as leaving before, and is no longer counted.
//! 8. A bad image takes no more than the surge, and the workers that run go on running.
//! 9. A cluster that is in use is not put to rest, and a run wakes it.
//! 10. A status is small.
//!
//! And when nothing happens any more:
//! 5. The cluster becomes as wanted, and from then on nothing is planned and the status stays.
//! 6. An autoscaled group does not grow again after it fell, as long as the target is the same.

mod answers;
mod dask;
mod laws;
mod operator;
mod settle;
mod world;

use daskflow::api::dask_cluster::{Idle, IdleAction, Rollout};
use daskflow::api::network_policy::NetworkPolicySpec;
use daskflow::api::worker_group::{Autoscale, Drain, WorkerGroup};
use daskflow::api::{DaskClusterSpec, Phase, WorkersSpec};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use dask::{Answers, Closing, Spares};
use world::{BAD, World};

/// Histories of each law: always, where they are the same ones every time, and in a long search, where they
/// differ.
const HISTORIES: [u32; 2] = [500, 25_000];

/// Something that happens. An index is that of a worker's pod.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Time passes, in seconds.
    Pass(i64),
    /// The operator looks, and dies after so many writes.
    Look(usize),
    CacheCatchesUp,
    /// The operator starts anew, and knows nothing.
    Restart,
    Edit(Edit),
    /// All that can start does, and what is on its way out is gone.
    AllStart,
    Start(usize),
    Register(usize),
    Gone(usize),
    Crash(usize),
    Evict(usize),
    UserDeletes(usize),
    /// Somebody deletes the NetworkPolicy.
    PolicyGone,
    /// Its container crashes, or somebody deletes its pod.
    SchedulerDies(bool),
    Reachable(bool),
    Retires(Answers),
    Spares(Spares),
    /// Whether the scheduler can tell its clients and who is busy.
    Talks(bool),
    Closes(Closing),
    /// Workers that the scheduler wants, and GPUs that its tasks ask for.
    Target(u64, u8),
    /// So many pods may exist.
    Quota(Option<usize>),
    ClientComes,
    ClientsGo,
    Compute(usize),
    TasksEnd,
    /// The clients let go of all results.
    Release,
    /// A retirement comes to its end, and answers that are late are heard.
    TheyRetire,
    Run(u8, Phase),
}

/// What a user writes.
#[derive(Clone, Debug)]
pub enum Edit {
    /// The size of the default group, or of the other one.
    Replicas {
        other: bool,
        replicas: i32,
    },
    Autoscale {
        other: bool,
        minimum: u32,
        more: u32,
    },
    TakeOutTheOther,
    Image(&'static str),
    /// Shapes the workers alone.
    WorkerArgs(u8),
    /// Shapes the scheduler alone.
    SchedulerArgs(u8),
    Drain {
        other: bool,
        drain: Drain,
    },
    Idle(Option<IdleAction>),
    Rollout(Rollout),
    Suspend(bool),
    NetworkPolicy(Option<bool>),
}

/// The other group's workers.
fn other(spec: &mut DaskClusterSpec) -> &mut WorkersSpec {
    if spec.worker_groups.is_empty() {
        let workers =
            WorkersSpec { dask_resources: [("GPU".to_owned(), 1.0)].into(), ..WorkersSpec::default() };
        spec.worker_groups.push(WorkerGroup { name: "gpu".into(), workers });
    }
    &mut spec.worker_groups[0].workers
}

impl Edit {
    pub fn make(&self, spec: &mut DaskClusterSpec) {
        match *self {
            Self::Replicas { other, replicas } => {
                let workers = workers(spec, other);
                (workers.replicas, workers.autoscale) = (Some(replicas), None);
            }
            Self::Autoscale { other, minimum, more } => {
                let workers = workers(spec, other);
                workers.replicas = None;
                workers.autoscale = Some(Autoscale {
                    minimum: minimum.into(),
                    maximum: (minimum + more).into(),
                    target_duration: "5s".into(),
                    scale_down_after: "30s".into(),
                });
            }
            Self::TakeOutTheOther => spec.worker_groups.clear(),
            Self::Image(image) => image.clone_into(&mut spec.image),
            Self::WorkerArgs(word) => spec.workers.args = vec![format!("--{word}")],
            Self::SchedulerArgs(word) => spec.scheduler.args = vec![format!("--{word}")],
            Self::Drain { other, drain } => {
                let workers = workers(spec, other);
                (workers.drain, workers.drain_timeout) = (drain, Some("2m".into()));
            }
            Self::Idle(action) => spec.idle = action.map(|action| Idle { after: "1m".into(), action }),
            Self::Rollout(rollout) => spec.rollout = rollout,
            Self::Suspend(suspend) => spec.suspend = suspend,
            Self::NetworkPolicy(wish) => {
                spec.network_policy = wish.map(|enabled| NetworkPolicySpec { enabled });
            }
        }
    }
}

fn workers(spec: &mut DaskClusterSpec, is_other: bool) -> &mut WorkersSpec {
    if is_other { other(spec) } else { &mut spec.workers }
}

fn edits() -> impl Strategy<Value = Edit> {
    let drain = prop_oneof![Just(Drain::Wait), Just(Drain::Restart)];
    let action = prop_oneof![
        2 => Just(None),
        3 => Just(Some(IdleAction::ScaleToZero)),
        2 => Just(Some(IdleAction::Suspend)),
        1 => Just(Some(IdleAction::Delete)),
    ];
    prop_oneof![
        6 => (any::<bool>(), 0..7).prop_map(|(other, replicas)| Edit::Replicas { other, replicas }),
        3 => (any::<bool>(), 0..3_u32, 1..5_u32).prop_map(|(other, minimum, more)| Edit::Autoscale { other, minimum, more }),
        1 => Just(Edit::TakeOutTheOther),
        4 => prop_oneof![Just("a"), Just("b"), Just("c"), Just(BAD)].prop_map(Edit::Image),
        2 => (0..3_u8).prop_map(Edit::WorkerArgs),
        2 => (0..3_u8).prop_map(Edit::SchedulerArgs),
        2 => (any::<bool>(), drain).prop_map(|(other, drain)| Edit::Drain { other, drain }),
        2 => action.prop_map(Edit::Idle),
        1 => prop_oneof![Just(Rollout::WhenIdle), Just(Rollout::Immediate)].prop_map(Edit::Rollout),
        1 => any::<bool>().prop_map(Edit::Suspend),
        1 => any::<Option<bool>>().prop_map(Edit::NetworkPolicy),
    ]
}

/// What the operator and the kubelet do in a calm world.
fn calm() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..50_i64).prop_map(Happening::Pass),
        10 => prop_oneof![4 => Just(100), 1 => 0..5_usize].prop_map(Happening::Look),
        5 => Just(Happening::CacheCatchesUp),
        5 => Just(Happening::AllStart),
        1 => (0..8_usize).prop_map(Happening::Start),
        1 => (0..8_usize).prop_map(Happening::Register),
        1 => (0..8_usize).prop_map(Happening::Gone),
        3 => (0..8_usize).prop_map(Happening::Compute),
        2 => Just(Happening::TasksEnd),
        1 => Just(Happening::Release),
    ]
}

/// What people and the load do besides.
fn used() -> impl Strategy<Value = Happening> {
    let phase = prop_oneof![1 => Just(Phase::Queued), 2 => Just(Phase::Running), 2 => Just(Phase::Succeeded)];
    prop_oneof![
        12 => calm(),
        3 => edits().prop_map(Happening::Edit),
        1 => (0..9_u64, 0..4_u8).prop_map(|(workers, gpus)| Happening::Target(workers, gpus)),
        1 => prop_oneof![Just(Happening::ClientComes), Just(Happening::ClientsGo)],
        1 => (0..2_u8, phase).prop_map(|(index, phase)| Happening::Run(index, phase)),
    ]
}

/// What goes wrong besides.
fn faulty() -> impl Strategy<Value = Happening> {
    let answers = prop_oneof![
        Just(Answers::Prompt),
        Just(Answers::TooLate),
        Just(Answers::NotYet),
        Just(Answers::Never)
    ];
    let spares = prop_oneof![2 => Just(Spares::All), 1 => Just(Spares::TheIdle), 1 => Just(Spares::Nobody), 1 => Just(Spares::Untold)];
    let closing = prop_oneof![Just(Closing::Possible), Just(Closing::Impossible)];
    prop_oneof![
        30 => used(),
        1 => Just(Happening::Restart),
        1 => (0..8_usize).prop_map(Happening::Crash),
        1 => (0..8_usize).prop_map(Happening::Evict),
        1 => (0..8_usize).prop_map(Happening::UserDeletes),
        1 => Just(Happening::PolicyGone),
        1 => any::<bool>().prop_map(Happening::SchedulerDies),
        1 => any::<bool>().prop_map(Happening::Reachable),
        1 => answers.prop_map(Happening::Retires),
        1 => spares.prop_map(Happening::Spares),
        1 => any::<bool>().prop_map(Happening::Talks),
        1 => closing.prop_map(Happening::Closes),
        1 => prop_oneof![Just(None), (1..8_usize).prop_map(Some)].prop_map(Happening::Quota),
        1 => Just(Happening::TheyRetire),
    ]
}

fn specs() -> impl Strategy<Value = DaskClusterSpec> {
    prop::collection::vec(edits(), 1..5).prop_map(|edits| {
        let mut spec = DaskClusterSpec { image: "a".into(), ..DaskClusterSpec::default() };
        for edit in &edits {
            edit.make(&mut spec);
        }
        spec
    })
}

fn live_through(spec: DaskClusterSpec, history: &[Happening]) -> World {
    let mut world = World::new(spec);
    for happening in history {
        world.happen(happening);
    }
    world
}

fn config() -> ProptestConfig {
    let rng_seed = if super::is_long() { RngSeed::Random } else { RngSeed::Fixed(7) };
    ProptestConfig {
        cases: super::histories(HISTORIES),
        rng_seed,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_cluster_in_use_keeps_the_laws_and_settles(
        spec in specs(),
        history in prop::collection::vec(used(), 1..60),
    ) {
        live_through(spec, &history).settle();
    }

    #[test]
    fn a_cluster_among_faults_keeps_the_laws_and_settles(
        spec in specs(),
        history in prop::collection::vec(faulty(), 1..60),
    ) {
        live_through(spec, &history).settle();
    }
}
