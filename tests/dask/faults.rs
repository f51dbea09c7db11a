//! A scheduler that misbehaves: what the client makes of each way in which a peer can be wrong, late or gone.
//!
//! The peer is a script in this program: it says its handshake or not, then answers what the test tells it
//! to. It needs neither Python nor a clock; deadlines are short because nothing will come.

use super::peer::{Step, answer, framed, framed_in_parts, handshake, peer, versions};
use daskflow::dask::error::DecodeError;
use daskflow::dask::{
    Address, Connector, Error, MembershipStream, Retirement, Scheduler, Scheme, SubscribeEvent, Version,
    WorkerName,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Long enough for anything that comes at all.
const PLENTY: Duration = Duration::from_secs(20);

/// Short, where nothing is going to come.
const BRIEF: Duration = Duration::from_millis(100);

async fn connected(steps: Vec<Step>) -> (Scheduler, mpsc::UnboundedReceiver<Value>) {
    let (address, requests) = peer(steps).await;
    (Scheduler::connect(&address, None, PLENTY).await.unwrap(), requests)
}

/// What connecting to a peer that plays `steps` fails with.
async fn refused(steps: Vec<Step>) -> Error {
    let (address, _requests) = peer(steps).await;
    Scheduler::connect(&address, None, PLENTY).await.unwrap_err()
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = Address::new(Scheme::Tcp, "127.0.0.1", port).unwrap();
    let error = Scheduler::connect(&address, None, PLENTY).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_tls_address_is_not_spoken_to_in_plain() {
    let (address, mut requests) = peer(vec![handshake()]).await;
    let address = Address::new(Scheme::Tls, address.host(), address.port()).unwrap();
    let error = Scheduler::connect(&address, None, PLENTY).await.unwrap_err();
    assert!(matches!(error, Error::WrongScheme(_)), "{error:?}");
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_tls_alert_means_the_wrong_scheme() {
    // An alert of seven bytes and the end: shorter than any length of Dask's.
    let alert = b"\x15\x03\x03\x00\x02\x02\x32".to_vec();
    let error = refused(vec![Step::Bytes(alert.clone()), Step::HangUp]).await;
    assert!(matches!(error, Error::WrongScheme(_)), "{error:?}");
    let error = refused(vec![Step::Bytes([alert, vec![0; 9]].concat())]).await;
    assert!(matches!(error, Error::WrongScheme(_)), "{error:?}");
}

#[tokio::test]
async fn a_reset_on_a_plain_handshake_means_the_wrong_scheme() {
    let error = refused(vec![Step::Reset]).await;
    assert!(matches!(error, Error::WrongScheme(_)), "{error:?}");
}

#[tokio::test]
async fn the_old_framing_is_an_unsupported_version() {
    let old: Vec<u8> = [2_u64, 1, 40].iter().flat_map(|word| word.to_le_bytes()).collect();
    let error = refused(vec![Step::Bytes(old)]).await;
    assert!(matches!(error, Error::UnsupportedVersion), "{error:?}");
}

#[tokio::test]
async fn absurd_lengths_and_other_protocols_are_no_dask_peer() {
    let large = (1_u64 << 39).to_le_bytes().to_vec();
    for bytes in [vec![0xff; 8], b"HTTP/1.1 400 Bad Request\r\n".to_vec(), vec![0; 8], large] {
        let error = refused(vec![Step::Bytes(bytes)]).await;
        assert!(matches!(error, Error::NotADaskPeer(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_first_message_that_is_no_handshake_is_no_dask_peer() {
    for value in [json!({"op": "hello"}), json!([1]), json!(null)] {
        let error = refused(vec![Step::Bytes(framed(&value))]).await;
        assert!(matches!(error, Error::NotADaskPeer(_)), "{error:?}");
    }
}

#[tokio::test]
async fn silence_instead_of_a_handshake_is_a_timeout() {
    let (address, _requests) = peer(vec![]).await;
    let error = Scheduler::connect(&address, None, BRIEF).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { limit: BRIEF, .. }), "{error:?}");
}

#[tokio::test]
async fn hanging_up_before_or_within_the_handshake_is_closed() {
    let part = framed(&json!({"pickle-protocol": 5}))[..20].to_vec();
    for steps in [vec![Step::HangUp], vec![Step::Bytes(part), Step::HangUp]] {
        let error = refused(steps).await;
        assert!(matches!(error, Error::Closed(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_handshake_byte_by_byte_is_as_good() {
    let (client, server) = tokio::io::duplex(1);
    let peer = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(server);
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
        write.write_all(&framed(&json!({"pickle-protocol": 4}))).await.unwrap();
        write.write_all(&framed(&json!({"tcp://a:1": 2}))).await.unwrap();
        write
    });
    let mut scheduler = Scheduler::over(client, PLENTY).await.unwrap();
    assert_eq!(scheduler.ncores().await.unwrap()["tcp://a:1"], 2);
    peer.await.unwrap();
}

#[tokio::test]
async fn frames_behind_the_block_are_passed_over() {
    let payload = rmp_serde::to_vec_named(&json!({"tcp://a:1": 4})).unwrap();
    let buffers = [vec![1; 2000], vec![2; 2_000_000], vec![3; 70_000]];
    let frames = [payload.as_slice(), &buffers[0], &buffers[1], &buffers[2]];
    let split = Step::Answer(framed_in_parts(&frames, 2));
    let (mut scheduler, _requests) = connected(vec![handshake(), split, answer(&json!({}))]).await;
    assert_eq!(scheduler.ncores().await.unwrap()["tcp://a:1"], 4);
    assert!(scheduler.ncores().await.unwrap().is_empty());
}

#[tokio::test]
async fn nil_is_an_unknown_operation_and_the_connection_stays_good() {
    let steps = vec![handshake(), answer(&json!(null)), answer(&json!({"tcp://a:1": 4}))];
    let (mut scheduler, mut requests) = connected(steps).await;
    let error = scheduler.ncores().await.unwrap_err();
    assert!(matches!(&error, Error::UnknownOperation { op } if op == "ncores"), "{error:?}");
    assert_eq!(scheduler.ncores().await.unwrap().len(), 1);
    assert_eq!(requests.recv().await.unwrap(), json!({"op": "ncores", "reply": true}));
}

#[tokio::test]
async fn a_failure_of_several_frames_is_told_and_the_connection_stays_good() {
    let failure = json!({"status": "uncaught-error", "exception": {"__Serialized__": 1},
        "traceback": {"__Serialized__": 3}, "exception_text": "ValueError('no')", "traceback_text": "…"});
    let failure = rmp_serde::to_vec_named(&failure).unwrap();
    let frames = [failure.as_slice(), b"\x80", b"pickle", b"\x80", b"pickle"];
    let steps = vec![handshake(), Step::Answer(framed_in_parts(&frames, 5)), answer(&json!(3))];
    let (mut scheduler, _requests) = connected(steps).await;
    let error = scheduler.identity().await.unwrap_err();
    assert_eq!(error.to_string(), "scheduler failed: ValueError('no')");
    assert!(scheduler.is_usable());
    assert_eq!(scheduler.adaptive_target(Duration::from_secs(5)).await.unwrap(), 3);
}

#[tokio::test]
async fn the_end_in_place_of_an_answer_closes_for_good() {
    let part = framed(&json!({"tcp://a:1": 4}))[..30].to_vec();
    let ends = [
        vec![handshake(), Step::Swallow, Step::HangUp],
        vec![handshake(), Step::Answer(part), Step::HangUp],
        vec![handshake(), Step::Answer(vec![0x22]), Step::HangUp],
    ];
    for steps in ends {
        let (mut scheduler, _requests) = connected(steps).await;
        let error = scheduler.ncores().await.unwrap_err();
        assert!(matches!(error, Error::Closed(_)), "{error:?}");
        assert!(!scheduler.is_usable());
        assert!(matches!(scheduler.ncores().await, Err(Error::Closed(None))));
    }
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    let (scheduler, mut requests) = connected(vec![handshake(), Step::Swallow]).await;
    let mut scheduler = scheduler.with_call_limit(BRIEF);
    let error = scheduler.ncores().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { what: "answer", limit: BRIEF }), "{error:?}");
    assert!(matches!(scheduler.identity().await, Err(Error::Closed(None))));
    assert_eq!(requests.recv().await.unwrap()["op"], "ncores");
    assert!(requests.try_recv().is_err(), "the second question was sent");
}

#[tokio::test]
async fn a_call_dropped_midway_gives_the_connection_up() {
    let (mut scheduler, _requests) = connected(vec![handshake(), Step::Swallow]).await;
    assert!(tokio::time::timeout(BRIEF, scheduler.ncores()).await.is_err());
    assert!(matches!(scheduler.ncores().await, Err(Error::Closed(None))));
}

#[tokio::test]
async fn an_answer_of_another_shape_gives_the_connection_up() {
    let (mut scheduler, _requests) = connected(vec![handshake(), answer(&json!("OK"))]).await;
    let error = scheduler.ncores().await.unwrap_err();
    assert!(matches!(error, Error::Decode(DecodeError::Message(_))), "{error:?}");
    assert!(matches!(scheduler.ncores().await, Err(Error::Closed(None))));
}

#[tokio::test]
async fn a_second_answer_is_not_taken_for_the_next_one() {
    let both = [framed(&json!({})), framed(&json!({"tcp://a:1": 4}))].concat();
    let (mut scheduler, _requests) = connected(vec![handshake(), Step::Answer(both)]).await;
    assert!(scheduler.ncores().await.unwrap().is_empty());
    let error = scheduler.ncores().await.unwrap_err();
    assert!(matches!(error, Error::Decode(DecodeError::Unasked)), "{error:?}");
}

#[tokio::test]
async fn answers_too_large_and_broken_framing_are_told_apart() {
    let words = |words: &[u64]| Step::Answer(words.iter().flat_map(|word| word.to_le_bytes()).collect());
    let (mut scheduler, _requests) = connected(vec![handshake(), words(&[65 << 20])]).await;
    let error = scheduler.ncores().await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error:?}");
    for broken in [words(&[24, 1, 9]), words(&[u64::MAX]), words(&[2])] {
        let (mut scheduler, _requests) = connected(vec![handshake(), broken]).await;
        let error = scheduler.ncores().await.unwrap_err();
        assert!(matches!(error, Error::Decode(DecodeError::Frame(_))), "{error:?}");
        assert!(!scheduler.is_usable());
    }
}

/// The first bytes of a message of fifteen million, which is never ended.
fn begun() -> Step {
    let words = [15_000_016_u64, 1, 15_000_000].iter().flat_map(|word| word.to_le_bytes());
    Step::Answer(words.chain(std::iter::repeat_n(0x90, 100_000)).collect())
}

/// Four long messages begin and do not end; there is room for two. So the others wait, and in the end each
/// was given up. Meanwhile short messages come as always.
#[tokio::test]
async fn long_messages_that_do_not_end_take_no_more_than_their_room_and_time() {
    let connector = Connector::default();
    let connected = async |steps| {
        let (address, requests) = peer(steps).await;
        (Scheduler::connect_by(&connector, &address, None, PLENTY).await.unwrap(), requests)
    };
    let (mut waiting, begin) = (Vec::new(), std::time::Instant::now());
    for _ in 0..4 {
        let (scheduler, requests) = connected(vec![handshake(), begun()]).await;
        let mut scheduler = scheduler.with_call_limit(Duration::from_secs(60));
        waiting.push(tokio::spawn(async move {
            let answer = scheduler.ncores().await;
            drop(requests);
            answer
        }));
    }
    tokio::time::sleep(BRIEF).await;
    let (mut scheduler, _requests) = connected(vec![handshake(), answer(&json!({"tcp://a:1": 4}))]).await;
    assert_eq!(scheduler.ncores().await.unwrap().len(), 1, "what is short needs no room");
    for answer in waiting {
        let error = answer.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Unended { bytes: 15_000_000, .. }), "{error:?}");
    }
    // Two at a time: the last pair had to wait for the first.
    assert!(begin.elapsed() >= Duration::from_secs(7), "{:?}", begin.elapsed());
    // The room is free again.
    let crowd: Value =
        (0..10_000).map(|at| (format!("tcp://10.0.{}.{}:1234", at / 256, at % 256), json!(4))).collect();
    let (mut scheduler, _requests) = connected(vec![handshake(), answer(&crowd)]).await;
    assert_eq!(scheduler.ncores().await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn check_idle_is_asked_only_where_it_tells_the_truth() {
    let (mut scheduler, mut requests) = connected(vec![handshake(), versions("2023.4.0")]).await;
    let error = scheduler.check_idle().await.unwrap_err();
    let expected = "check_idle needs distributed 2023.4.1 or later and the scheduler has 2023.4.0";
    assert_eq!(error.to_string(), expected);
    assert_eq!(requests.recv().await.unwrap()["op"], "versions");
    assert!(requests.try_recv().is_err());

    let steps =
        vec![handshake(), versions("2023.4.1"), answer(&json!(null)), answer(&json!(1_700_000_000.5))];
    let (mut scheduler, _requests) = connected(steps).await;
    assert_eq!(scheduler.check_idle().await.unwrap(), None);
    assert_eq!(scheduler.check_idle().await.unwrap(), Some(1_700_000_000.5));
    assert_eq!(scheduler.version().await.unwrap(), Version::new(2023, 4, 1));
}

#[tokio::test]
async fn totals_ask_for_no_workers_where_that_can_be_asked() {
    let identity = answer(&json!({"id": "s", "workers": {}, "n_workers": 9}));
    let (mut scheduler, mut requests) = connected(vec![handshake(), versions("2025.4.0"), identity]).await;
    assert_eq!(scheduler.totals().await.unwrap().workers, 9);
    requests.recv().await.unwrap();
    assert_eq!(requests.recv().await.unwrap()["n_workers"], 0);

    let identity = answer(&json!({"id": "s", "workers": {"a": {"name": 1, "nthreads": 2}}}));
    let (mut scheduler, mut requests) = connected(vec![handshake(), versions("2025.3.0"), identity]).await;
    assert_eq!(scheduler.totals().await.unwrap().threads, 2);
    requests.recv().await.unwrap();
    assert_eq!(requests.recv().await.unwrap(), json!({"op": "identity", "reply": true}));
}

#[tokio::test]
async fn nobody_is_retired_without_a_name() {
    let (mut scheduler, mut requests) = connected(vec![handshake(), Step::Swallow]).await;
    for names in [vec![], vec![WorkerName::Other]] {
        assert!(scheduler.retire_workers(&Retirement::of(names), PLENTY).await.unwrap().is_empty());
    }
    assert!(requests.try_recv().is_err());
}

fn identity(workers: &Value) -> Value {
    json!({"type": "Scheduler", "id": "Scheduler-1", "workers": workers})
}

#[tokio::test]
async fn a_subscription_follows_the_changes_until_the_end() {
    let batches = [
        framed(&json!([["add", {"workers": {"tcp://b:1": {"name": "w2"}}}], ["remove", "tcp://a:1"]])),
        framed(&json!([["remove", "tcp://b:1"]])),
    ]
    .concat();
    let start = [framed(&identity(&json!({"tcp://a:1": {"name": "w1"}}))), batches].concat();
    let (address, _requests) = peer(vec![handshake(), Step::Answer(start), Step::HangUp]).await;
    let mut stream = MembershipStream::connect(&address, None, PLENTY).await.unwrap();
    assert_eq!(stream.scheduler_id(), "Scheduler-1");
    assert_eq!(stream.membership().workers["tcp://a:1"], "w1".into());

    assert_eq!(stream.next(PLENTY).await.unwrap().unwrap().len(), 2);
    let addresses: Vec<&String> = stream.membership().workers.keys().collect();
    assert_eq!(addresses, ["tcp://b:1"]);
    let events = stream.next(PLENTY).await.unwrap().unwrap();
    assert_eq!(events, [SubscribeEvent::Removed("tcp://b:1".to_owned())]);
    assert!(stream.membership().workers.is_empty());

    assert!(matches!(stream.next(PLENTY).await, Err(Error::Closed(None))));
    assert!(matches!(stream.next(PLENTY).await, Err(Error::Closed(None))));
}

#[tokio::test]
async fn a_quiet_subscription_goes_on_and_loses_no_half_message() {
    let (client, mut server) = tokio::io::duplex(4096);
    server.write_all(&framed(&json!({"pickle-protocol": 4}))).await.unwrap();
    server.write_all(&framed(&identity(&json!({})))).await.unwrap();
    let mut stream = MembershipStream::over(client, PLENTY).await.unwrap();
    assert_eq!(stream.next(BRIEF).await.unwrap(), None);

    let batch = framed(&json!([["add", {"workers": {"tcp://a:1": {"name": "w1"}}}]]));
    let (first, second) = batch.split_at(30);
    server.write_all(first).await.unwrap();
    assert_eq!(stream.next(BRIEF).await.unwrap(), None);
    server.write_all(second).await.unwrap();
    assert!(stream.next(PLENTY).await.unwrap().is_some());
    assert_eq!(stream.membership().workers.len(), 1);
}

#[tokio::test]
async fn a_subscription_that_is_refused_or_garbled_is_told() {
    let forbidden = json!({"status": "uncaught-error", "exception_text": "ValueError('disallowed')"});
    let cases = [(forbidden, "scheduler failed: ValueError('disallowed')"), (json!(null), "does not know")];
    for (reply, part) in cases {
        let (address, _requests) = peer(vec![handshake(), answer(&reply)]).await;
        let error = MembershipStream::connect(&address, None, PLENTY).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let garbled = [framed(&identity(&json!({}))), framed(&json!([["add", 1]]))].concat();
    let (address, _requests) = peer(vec![handshake(), Step::Answer(garbled)]).await;
    let mut stream = MembershipStream::connect(&address, None, PLENTY).await.unwrap();
    assert!(matches!(stream.next(PLENTY).await, Err(Error::Decode(_))));
    assert!(matches!(stream.next(PLENTY).await, Err(Error::Closed(None))));

    let (address, _requests) = peer(vec![handshake(), Step::Swallow]).await;
    let error = MembershipStream::connect(&address, None, BRIEF).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}
