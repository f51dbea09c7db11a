//! The schedulers of this process, spoken to by the client of the library, under paused time.

mod recorded;
mod wrong;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daskflow::dask::message::NoArguments;
use daskflow::dask::{
    Activity, Address, Error, MembershipStream, Retirement, Scheduler, Version, WorkerInfo,
};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use super::{Fault, Operation, SchedulerState, Schedulers, Spares, Wish};

/// Where the scheduler listens, and workers.
const PLACE: &str = "10.0.0.1";
const WORKERS: [(&str, &str); 3] =
    [("a", "tcp://10.0.0.2:40001"), ("b", "tcp://10.0.0.3:40001"), ("c", "tcp://10.0.0.4:40001")];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A scheduler with three workers.
fn three() -> Schedulers {
    let schedulers = Schedulers::new();
    schedulers.start(PLACE);
    schedulers.change(PLACE, |state| {
        for (name, address) in WORKERS {
            assert!(state.register(name, address));
        }
    });
    schedulers
}

async fn open(schedulers: &Schedulers) -> Result<Scheduler, Error> {
    let address: Address = format!("tcp://{PLACE}:8786").parse().unwrap();
    Scheduler::connect_by(&schedulers.connector(), &address, None, seconds(5)).await
}

async fn client(schedulers: &Schedulers) -> Scheduler {
    open(schedulers).await.unwrap()
}

async fn subscriber(schedulers: &Schedulers) -> Result<MembershipStream, Error> {
    let address: Address = format!("tcp://{PLACE}:8786").parse().unwrap();
    MembershipStream::connect_by(&schedulers.connector(), &address, None, seconds(5)).await
}

/// The names of the members.
fn members(stream: &MembershipStream) -> Vec<String> {
    stream.membership().workers.values().map(ToString::to_string).collect()
}

async fn info(scheduler: &mut Scheduler, name: &str) -> WorkerInfo {
    let workers = scheduler.identity().await.unwrap().workers;
    workers.into_values().find(|worker| worker.name.to_string() == name).unwrap()
}

/// The names of those that were retired.
async fn retired(scheduler: &mut Scheduler, retirement: &Retirement) -> Result<Vec<String>, Error> {
    let retired = scheduler.retire_workers(retirement, seconds(600)).await?;
    Ok(retired.values().map(|worker| worker.name.to_string()).collect())
}

async fn order(scheduler: &mut Scheduler) -> Vec<String> {
    scheduler.closing_order().await.unwrap().iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn every_question_of_the_client_is_answered() {
    let schedulers = three();
    let id = schedulers.at(PLACE).unwrap().id;
    schedulers.change(PLACE, |state| {
        (state.queued, state.unrunnable, state.target) = (2, 1, Some(7));
        state.wanted.insert("GPU".to_owned(), 3.0);
        state.clients.insert("Client-1".to_owned());
        state.compute(1);
        state.compute(1);
    });
    let mut scheduler = client(&schedulers).await;
    assert_eq!(scheduler.identity().await.unwrap().id, id);
    assert_eq!(scheduler.totals().await.unwrap().workers, 3);
    assert_eq!(scheduler.ncores().await.unwrap().values().sum::<u64>(), 3);
    assert_eq!(scheduler.processing(None).await.unwrap()[WORKERS[1].1], 2);
    let unknown = ["tcp://10.0.0.9:1".to_owned()];
    assert!(matches!(scheduler.processing(Some(&unknown)).await, Err(Error::Remote { .. })));
    let busy = scheduler.busy(&["a", "b"].map(str::to_owned).into()).await.unwrap();
    assert_eq!(busy, [("a".to_owned(), 0), ("b".to_owned(), 2)].into());
    assert_eq!(scheduler.adaptive_target(seconds(5)).await.unwrap(), 7);
    assert_eq!(order(&mut scheduler).await, ["a", "c", "b"], "idle ones first");
    let clients = BTreeSet::from(["Client-1".to_owned()]);
    let activity = Activity { in_flight: 5, no_worker: 1, clients: Some(clients.clone()) };
    assert_eq!(scheduler.activity().await.unwrap(), activity);
    assert_eq!(scheduler.coarse_activity().await.unwrap().in_flight, 2);
    assert_eq!(scheduler.idleness(false).await.unwrap(), (Some(false), Some(clients)));
    assert_eq!(scheduler.wanted_resources().await.unwrap(), [("GPU".to_owned(), 3.0)].into());
    schedulers.change(PLACE, |state| state.unrunnable = 0);
    assert_eq!(scheduler.wanted_resources().await.unwrap(), [("GPU".to_owned(), 3.0)].into());
    assert_eq!(scheduler.check_idle().await.unwrap(), None);
    assert!(scheduler.closes_to_tasks().await.unwrap());
    let answer: Result<u64, Error> = scheduler.call("no_such_thing", &NoArguments {}, seconds(1)).await;
    assert!(matches!(answer, Err(Error::UnknownOperation { .. })), "{answer:?}");

    schedulers.change(PLACE, |state| {
        (state.target, state.spares) = (None, Spares::TheIdle);
        assert_eq!(state.adaptive_target(), 4);
    });
    assert_eq!(order(&mut scheduler).await, ["a", "c"]);
    schedulers.change(PLACE, |state| {
        state.tasks_end();
        state.spares = Spares::NoOne;
    });
    assert_eq!(order(&mut scheduler).await, Vec::<String>::new());
    assert!(scheduler.is_idle().await.unwrap());
    assert_eq!(schedulers.connections(PLACE), 1);
    assert_eq!(schedulers.asked(PLACE, Operation::AdaptiveTarget), 1);
    assert_eq!(Instant::now() - schedulers.began, Duration::ZERO, "nothing takes time");
    scheduler.terminate().await.unwrap();
    assert!(schedulers.at(PLACE).is_none());
}

#[tokio::test(start_paused = true)]
async fn older_releases_answer_what_they_can() {
    let schedulers = three();
    schedulers.change(PLACE, |state| state.release = Version::new(2022, 2, 0));
    let mut scheduler = client(&schedulers).await;
    assert!(!scheduler.closes_to_tasks().await.unwrap());
    assert_eq!(scheduler.totals().await.unwrap().workers, 3);
    assert_eq!(scheduler.idleness(false).await.unwrap(), (Some(true), None));
    assert!(matches!(scheduler.check_idle().await, Err(Error::Unsupported { .. })));
    let refused: Result<Value, Error> =
        scheduler.call("identity", &BTreeMap::from([("n_workers", 0)]), seconds(1)).await;
    assert!(matches!(refused, Err(Error::Remote { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_hears_of_each_change() {
    let schedulers = three();
    let mut stream = subscriber(&schedulers).await.unwrap();
    assert_eq!(members(&stream), ["a", "b", "c"]);
    assert_eq!(stream.next(seconds(60)).await.unwrap(), None, "nothing changes");
    schedulers.change(PLACE, |state| state.loses("b"));
    assert_eq!(stream.next(seconds(60)).await.unwrap().unwrap().len(), 1);
    assert_eq!(members(&stream), ["a", "c"]);
    schedulers.change(PLACE, |state| {
        assert!(!state.register("a", "tcp://10.0.0.9:40001"), "the name is taken");
        state.loses("a");
        assert!(state.register("a", "tcp://10.0.0.9:40001"));
    });
    stream.next(seconds(60)).await.unwrap().unwrap();
    assert_eq!(stream.membership().workers.len(), 2);
    assert!(stream.membership().workers.contains_key("tcp://10.0.0.9:40001"));

    // Another subscriber takes its place unseen.
    let mut another = subscriber(&schedulers).await.unwrap();
    schedulers.change(PLACE, |state| state.loses("a"));
    assert_eq!(another.next(seconds(60)).await.unwrap().unwrap().len(), 1);
    assert_eq!(stream.next(seconds(60)).await.unwrap(), None);
    assert_eq!(schedulers.connections(PLACE), 2);
    drop(another);

    // Another start ends what was said to this one.
    let before = stream.scheduler_id().to_owned();
    schedulers.start(PLACE);
    assert!(matches!(stream.next(seconds(60)).await, Err(Error::Closed(_))));
    let stream = subscriber(&schedulers).await.unwrap();
    assert_ne!(stream.scheduler_id(), before);
    assert_eq!((members(&stream).len(), schedulers.connections(PLACE)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn data_moves_before_workers_leave_and_what_was_asked_is_recorded() {
    let schedulers = three();
    schedulers.change(PLACE, |state| {
        (0..3).for_each(|index| state.compute(index));
        state.tasks_end();
    });
    let mut scheduler = client(&schedulers).await;
    let mut changes = schedulers.changes();
    assert_eq!(retired(&mut scheduler, &Retirement::of(["a", "x"])).await.unwrap(), ["a"]);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(retired(&mut scheduler, &Retirement::closing(["b"])).await.unwrap(), ["b"]);
    let state = schedulers.at(PLACE).unwrap();
    assert_eq!(
        (state.registered(), state.let_go),
        (["b", "c"].map(str::to_owned).into(), ["a".to_owned()].into())
    );
    assert!(state.results.len() == 3 && state.results.values().all(|holders| holders.contains("c")));
    assert_eq!(
        retired(&mut scheduler, &Retirement::of(["c"])).await.unwrap(),
        [""; 0],
        "it has nowhere to go"
    );
    assert_eq!(info(&mut scheduler, "c").await.status.as_deref(), Some("running"));

    let idle: Value = scheduler.call("retire_workers", &NoArguments {}, seconds(1)).await.unwrap();
    assert_eq!(idle.as_object().unwrap().len(), 1, "whoever is idle, and can go");
    let orders = schedulers.orders();
    let asked: Vec<_> =
        orders.iter().map(|order| (order.at.as_secs(), order.wish, order.names.clone())).collect();
    assert_eq!(
        asked,
        [
            (0, Wish::Retire, texts(&["a", "x"])),
            (3, Wish::Close, texts(&["b"])),
            (3, Wish::Retire, texts(&["c"])),
            (3, Wish::RetireTheIdle, texts(&[])),
        ]
    );
    assert!(orders.iter().all(|order| order.place == "10.0.0.1:8786" && order.id == state.id));
}

#[tokio::test(start_paused = true)]
async fn a_closed_worker_ends_what_it_runs_and_tells_so_with_its_heartbeats() {
    let schedulers = three();
    schedulers.change(PLACE, |state| (0..3).for_each(|_| state.compute(0)));
    let mut scheduler = client(&schedulers).await;
    assert_eq!(info(&mut scheduler, "a").await.running, Some(1));
    retired(&mut scheduler, &Retirement::closing(["a"])).await.unwrap();
    let first = info(&mut scheduler, "a").await;
    assert_eq!((first.status.as_deref(), first.running), (Some("closing_gracefully"), Some(1)));
    schedulers.change(PLACE, |state| {
        state.tasks_end();
        state.compute(0);
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let second = info(&mut scheduler, "a").await;
    assert_eq!(second.running, Some(0));
    assert!(second.last_seen > first.last_seen);
    let state = schedulers.at(PLACE).unwrap();
    assert_eq!(
        (state.workers["a"].tasks, state.workers["b"].tasks),
        (2, 1),
        "two never begin, and no more come"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retirement_takes_its_time_and_outlives_its_connection() {
    let schedulers = three();
    schedulers.fault(PLACE, Operation::RetireWorkers, Fault::Slow(seconds(30)));
    let (mut one, mut other) = (client(&schedulers).await, client(&schedulers).await);
    let began = Instant::now();
    let retirement = Retirement::of(["a"]);
    let (gone, seen) = tokio::join!(retired(&mut one, &retirement), async {
        tokio::time::sleep(seconds(29)).await;
        info(&mut other, "a").await.status
    });
    assert_eq!((gone.unwrap(), seen.as_deref()), (texts(&["a"]), Some("closing_gracefully")));
    assert_eq!(began.elapsed(), seconds(30));

    let retirement = Retirement::of(["b"]);
    let (lost, ()) = tokio::join!(retired(&mut one, &retirement), async {
        tokio::time::sleep(seconds(10)).await;
        schedulers.hang_up(PLACE);
    });
    assert!(matches!(lost, Err(Error::Closed(_))), "{lost:?}");
    assert_eq!(began.elapsed(), seconds(40), "it is known at once");
    assert_eq!(schedulers.at(PLACE).unwrap().registered().len(), 2);
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(schedulers.at(PLACE).unwrap().registered(), ["c".to_owned()].into());

    // One that ends meanwhile lets no worker go.
    let mut one = client(&schedulers).await;
    let retirement = Retirement::of(["c"]);
    let (lost, ()) = tokio::join!(retired(&mut one, &retirement), async {
        tokio::time::sleep(seconds(10)).await;
        schedulers.start(PLACE);
        schedulers.change(PLACE, |state| state.register("c", WORKERS[2].1));
    });
    assert!(matches!(lost, Err(Error::Closed(_))), "{lost:?}");
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(schedulers.at(PLACE).unwrap().registered().len(), 1);

    // What is long is cut short.
    schedulers.fault(PLACE, Operation::Ncores, Fault::Late(seconds(3600)));
    let mut one = client(&schedulers).await;
    let began = Instant::now();
    let (answer, ()) = tokio::join!(one.ncores(), async {
        tokio::time::sleep(seconds(2)).await;
        schedulers.hurry(PLACE);
    });
    assert_eq!((answer.unwrap().len(), began.elapsed()), (1, seconds(2)));
}

/// What may become of the workers of a scheduler.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// It comes, or it is lost.
    Comes(usize),
    Lost(usize),
    Computes(usize),
    TasksEnd,
    Retires(usize),
    Closes(usize),
    HangsUp,
    Starts,
}

fn happening() -> impl Strategy<Value = Happening> {
    let worker = || 0..WORKERS.len();
    prop_oneof![
        4 => worker().prop_map(Happening::Comes),
        1 => worker().prop_map(Happening::Lost),
        4 => worker().prop_map(Happening::Computes),
        3 => Just(Happening::TasksEnd),
        2 => worker().prop_map(Happening::Retires),
        2 => worker().prop_map(Happening::Closes),
        1 => Just(Happening::HangsUp),
        1 => Just(Happening::Starts),
    ]
}

/// What happens, and what holds of the results: none is lost where workers are asked to leave, and whoever
/// holds one is there.
async fn happen(schedulers: &Schedulers, happening: Happening) {
    let results = || schedulers.at(PLACE).unwrap().results.len();
    let before = results();
    match happening {
        Happening::Comes(worker) => {
            let (name, address) = WORKERS[worker];
            schedulers.change(PLACE, |state| assert!(state.register(name, address)));
        }
        Happening::Lost(worker) => schedulers.change(PLACE, |state| state.loses(WORKERS[worker].0)).unwrap(),
        Happening::Computes(index) => schedulers.change(PLACE, |state| state.compute(index)).unwrap(),
        Happening::TasksEnd => schedulers.change(PLACE, SchedulerState::tasks_end).unwrap(),
        Happening::Retires(worker) | Happening::Closes(worker) => {
            let name = [WORKERS[worker].0];
            let wish = match happening {
                Happening::Closes(_) => Retirement::closing(name),
                _ => Retirement::of(name),
            };
            retired(&mut client(schedulers).await, &wish).await.unwrap();
            assert_eq!(results(), before);
        }
        Happening::HangsUp => schedulers.hang_up(PLACE),
        Happening::Starts => drop(schedulers.start(PLACE)),
    }
    let state = schedulers.at(PLACE).unwrap();
    let registered = state.registered();
    assert!(state.results.values().all(|holders| !holders.is_empty() && holders.is_subset(&registered)));
}

/// Listens until nothing more comes, and subscribes anew where the stream has ended.
async fn heard(stream: &mut MembershipStream, schedulers: &Schedulers) -> Vec<String> {
    loop {
        match stream.next(seconds(1)).await {
            Ok(Some(_)) => {}
            Ok(None) => return members(stream),
            Err(_) => *stream = subscriber(schedulers).await.unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_subscriber_knows_the_workers_and_no_result_is_lost_to_a_leave(
        history in prop::collection::vec((happening(), any::<bool>()), 1..30)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let schedulers = three();
            let mut stream = subscriber(&schedulers).await.unwrap();
            for (happening, listens) in history {
                happen(&schedulers, happening).await;
                if listens {
                    let registered: Vec<String> = schedulers.at(PLACE).unwrap().registered().into_iter().collect();
                    assert_eq!(heard(&mut stream, &schedulers).await, registered, "after {happening:?}");
                }
            }
        });
    }
}
