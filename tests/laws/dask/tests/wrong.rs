//! What goes wrong, as the client sees it.

use super::super::Door;
use super::*;

/// A word for what the client makes of it.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Unreachable(_) => "unreachable",
        Error::Timeout { .. } => "timeout",
        Error::NotADaskPeer(_) => "no peer",
        Error::Closed(_) => "closed",
        Error::Decode(_) => "decode",
        Error::Remote { .. } => "remote",
        Error::UnknownOperation { .. } => "unknown",
        _ => "other",
    }
}

#[tokio::test(start_paused = true)]
async fn doors_are_closed_in_their_own_ways() {
    let schedulers = three();
    for (door, expected, after) in [
        (Door::Refuses, "unreachable", 0),
        (Door::Drops, "timeout", 5),
        (Door::Mute, "timeout", 5),
        (Door::Stranger, "no peer", 0),
        (Door::Late(seconds(6)), "timeout", 5),
    ] {
        schedulers.door(PLACE, door);
        let began = Instant::now();
        let error = open(&schedulers).await.unwrap_err();
        assert_eq!((kind(&error), began.elapsed()), (expected, seconds(after)), "{door:?}: {error:?}");
    }
    schedulers.door(PLACE, Door::Late(seconds(4)));
    let (began, scheduler) = (Instant::now(), client(&schedulers).await);
    assert_eq!(began.elapsed(), seconds(4));
    drop(scheduler);
    schedulers.mend(PLACE);
    client(&schedulers).await.ncores().await.unwrap();
    schedulers.stop(PLACE);
    assert_eq!(kind(&open(&schedulers).await.unwrap_err()), "unreachable", "none runs there");
    let elsewhere: Address = "tcp://dask:9000".parse().unwrap();
    let answer = Scheduler::connect_by(&schedulers.connector(), &elsewhere, None, seconds(5)).await;
    assert_eq!(kind(&answer.unwrap_err()), "unreachable");
    schedulers.start("dask:9000");
    Scheduler::connect_by(&schedulers.connector(), &elsewhere, None, seconds(5)).await.unwrap();
    let encrypted: Address = "tls://dask:9000".parse().unwrap();
    assert!(Scheduler::connect_by(&schedulers.connector(), &encrypted, None, seconds(5)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_told_from_the_others() {
    let schedulers = three();
    for (fault, expected, after) in [
        (Fault::Never, "timeout", 10),
        (Fault::HangsUp, "closed", 0),
        (Fault::Lost, "closed", 0),
        (Fault::Cut, "closed", 0),
        (Fault::Garbage, "decode", 0),
        (Fault::Nonsense, "decode", 0),
        (Fault::Fails, "remote", 0),
        (Fault::Lacks, "unknown", 0),
        (Fault::Slow(seconds(11)), "timeout", 10),
        (Fault::Late(seconds(11)), "timeout", 10),
    ] {
        schedulers.fault_once(PLACE, Operation::Ncores, fault);
        let mut scheduler = client(&schedulers).await;
        let began = Instant::now();
        let error = scheduler.ncores().await.unwrap_err();
        assert_eq!((kind(&error), began.elapsed()), (expected, seconds(after)), "{fault:?}: {error:?}");
        assert_eq!(client(&schedulers).await.ncores().await.unwrap().len(), 3, "{fault:?} comes once");

        schedulers.fault_once(PLACE, Operation::Subscribe, fault);
        let began = Instant::now();
        let error = subscriber(&schedulers).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{fault:?}: {error:?}");
        assert_eq!(began.elapsed(), seconds(after.min(5)), "{fault:?}");
        assert_eq!(members(&subscriber(&schedulers).await.unwrap()).len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_still_answers_nothing_until_it_is_mended() {
    let schedulers = three();
    let (mut scheduler, mut stream) = (client(&schedulers).await, subscriber(&schedulers).await.unwrap());
    schedulers.fault_all(PLACE, Fault::Never);
    assert_eq!(kind(&scheduler.adaptive_target(seconds(5)).await.unwrap_err()), "timeout");
    schedulers.change(PLACE, |state| state.loses("a"));
    assert_eq!(stream.next(seconds(60)).await.unwrap(), None);
    assert_eq!(kind(&subscriber(&schedulers).await.unwrap_err()), "timeout");
    schedulers.mend(PLACE);
    assert_eq!(members(&subscriber(&schedulers).await.unwrap()), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_done_or_not_whatever_is_said() {
    for (fault, is_done) in [
        (Fault::Never, false),
        (Fault::HangsUp, false),
        (Fault::Garbage, false),
        (Fault::Nonsense, false),
        (Fault::Fails, false),
        (Fault::Lacks, false),
        (Fault::RetiresNone, false),
        (Fault::RetiresInWords, false),
        (Fault::Lost, true),
        (Fault::Cut, true),
        (Fault::Late(seconds(700)), true),
        (Fault::NamesNone, true),
        (Fault::NamesStrangers, true),
    ] {
        let schedulers = three();
        schedulers.fault(PLACE, Operation::RetireWorkers, fault);
        let answer = retired(&mut client(&schedulers).await, &Retirement::of(["b"])).await;
        let state = schedulers.at(PLACE).unwrap();
        assert_eq!(!state.workers.contains_key("b"), is_done, "{fault:?}");
        assert_eq!(state.let_go.contains("b"), is_done, "{fault:?}");
        let expected = match fault {
            Fault::RetiresNone | Fault::NamesNone => Some(texts(&[])),
            Fault::RetiresInWords => Some(texts(&["b"])),
            Fault::NamesStrangers => Some(texts(&["b", "stranger-1", "stranger-2"])),
            _ => None,
        };
        assert_eq!(answer.ok(), expected, "{fault:?}");
        schedulers.fault(PLACE, Operation::RetireWorkers, None);
        let left = if is_done { vec![] } else { texts(&["b"]) };
        assert_eq!(retired(&mut client(&schedulers).await, &Retirement::of(["b"])).await.unwrap(), left);
        assert_eq!(schedulers.orders().len(), 2 - usize::from(is_undone(fault)), "{fault:?}");
    }
    let schedulers = three();
    schedulers.fault(PLACE, Operation::RetireWorkers, Fault::RetiresOthers);
    let answer = retired(&mut client(&schedulers).await, &Retirement::of(["a"])).await;
    assert_eq!(answer.unwrap(), ["b"]);
    assert_eq!(schedulers.at(PLACE).unwrap().registered(), ["a", "c"].map(str::to_owned).into());
}

/// Whether an order with this fault has come to nothing before it was read.
fn is_undone(fault: Fault) -> bool {
    use Fault::{Fails, Garbage, HangsUp, Lacks, Never, Nonsense};
    matches!(fault, Never | HangsUp | Garbage | Nonsense | Fails | Lacks)
}

#[tokio::test(start_paused = true)]
async fn answers_may_name_those_that_do_not_exist_or_no_one() {
    let schedulers = three();
    let mut scheduler = client(&schedulers).await;
    for (fault, count) in [(Fault::NamesStrangers, 5), (Fault::NamesNone, 0)] {
        for operation in
            [Operation::Identity, Operation::Ncores, Operation::WorkersToClose, Operation::Processing]
        {
            schedulers.fault_once(PLACE, operation, fault);
        }
        assert_eq!(scheduler.identity().await.unwrap().workers.len(), count);
        assert_eq!(scheduler.ncores().await.unwrap().len(), count);
        assert_eq!(order(&mut scheduler).await.len(), count);
        assert_eq!(scheduler.processing(None).await.unwrap().len(), count);
    }
    assert_eq!(schedulers.at(PLACE).unwrap().workers.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_subscription_go_wrong_too() {
    let schedulers = three();
    let lose_or_regain = |worker: usize| {
        let (name, address) = WORKERS[worker];
        schedulers.change(PLACE, |state| {
            if state.workers.contains_key(name) {
                state.loses(name);
            } else {
                assert!(state.register(name, address));
            }
        });
    };
    for (fault, expected) in [
        (Fault::HangsUp, "closed"),
        (Fault::Lost, "closed"),
        (Fault::Cut, "closed"),
        (Fault::Garbage, "decode"),
        (Fault::Nonsense, "decode"),
        (Fault::Fails, "decode"),
        (Fault::Lacks, "decode"),
    ] {
        let mut stream = subscriber(&schedulers).await.unwrap();
        schedulers.fault_once(PLACE, Operation::Event, fault);
        lose_or_regain(2);
        let error = stream.next(seconds(60)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{fault:?}: {error:?}");
    }

    // It has lost c by now.
    let mut stream = subscriber(&schedulers).await.unwrap();
    assert_eq!(members(&stream), ["a", "b"]);
    schedulers.fault_once(PLACE, Operation::Event, Fault::Never);
    lose_or_regain(2);
    assert_eq!(stream.next(seconds(60)).await.unwrap(), None, "this one is lost");
    lose_or_regain(0);
    stream.next(seconds(60)).await.unwrap().unwrap();
    assert_eq!(members(&stream), ["b"], "and the next one comes");

    schedulers.fault_once(PLACE, Operation::Event, Fault::NamesStrangers);
    lose_or_regain(0);
    assert_eq!(stream.next(seconds(60)).await.unwrap().unwrap().len(), 3);
    stream.next(seconds(60)).await.unwrap().unwrap();
    assert_eq!(members(&stream), ["a", "b"], "set right");

    for fault in [Fault::Slow(seconds(7)), Fault::Late(seconds(7))] {
        schedulers.fault_once(PLACE, Operation::Event, fault);
        let began = Instant::now();
        lose_or_regain(0);
        stream.next(seconds(60)).await.unwrap().unwrap();
        assert_eq!(began.elapsed(), seconds(7));
    }
    assert!(schedulers.asked(PLACE, Operation::Event) > 10);

    // So may its first message.
    for (fault, count) in [(Fault::NamesStrangers, 5), (Fault::NamesNone, 0)] {
        schedulers.fault_once(PLACE, Operation::Subscribe, fault);
        assert_eq!(members(&subscriber(&schedulers).await.unwrap()).len(), count, "{fault:?}");
    }
}
