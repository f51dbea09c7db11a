//! What a hostile or broken peer can send: bytes without sense, and messages of a real scheduler that were
//! cut or changed. Whatever comes, nothing panics, nothing waits for more than the peer sends, and the memory
//! that is taken is bounded by what came, not by what it announces.
//!
//! `tests/dask/frames` holds messages as a scheduler of 2026.8.0 sent them.

use allocation_counter::measure;
use daskflow::dask::frame::{self, Decoder, FrameError, Limits, Message};
use daskflow::dask::message::{decode_events, decode_reply};
use daskflow::dask::{
    Address, Error, Identity, Retirement, Scheduler, SubscribeEvent, Versions, WorkerInfo, WorkerName,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Messages as they came over the wire.
const RECORDED: [&[u8]; 13] = [
    include_bytes!("frames/added.bin"),
    include_bytes!("frames/adaptive_target.bin"),
    include_bytes!("frames/check_idle.bin"),
    include_bytes!("frames/dump_state.bin"),
    include_bytes!("frames/failure.bin"),
    include_bytes!("frames/handshake.bin"),
    include_bytes!("frames/identity.bin"),
    include_bytes!("frames/ncores.bin"),
    include_bytes!("frames/prefix_states.bin"),
    include_bytes!("frames/processing.bin"),
    include_bytes!("frames/subscription.bin"),
    include_bytes!("frames/versions.bin"),
    include_bytes!("frames/workers_to_close.bin"),
];

/// Heads of MessagePack that announce four billion of something, and some that change what follows.
const HEADS: [&[u8]; 8] = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff",
    b"\xc0",
    b"\x91\x91\x91\x91\x91\x91\x91\x91",
    b"\x81",
];

/// Limits so small that announcements beyond them are common.
const SMALL: Limits = Limits { message_bytes: 4096, frames: 16 };

/// What reading one list may take at once for what it announces: serde takes no more than a mebibyte on
/// trust.
const TRUSTED_BYTES: u64 = 1 << 20;

/// Longer than anything takes that ends at all.
const PLENTY: Duration = Duration::from_secs(60);

/// One change of a message.
#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        1 => place().prop_map(Change::Cut),
        6 => (place(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        4 => (place(), prop::sample::select(HEADS.as_slice())).prop_map(|(at, head)| Change::Insert(at, head.to_vec())),
        1 => (place(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (place(), 1_usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (place(), 1_usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let at = |index: &prop::sample::Index| if bytes.is_empty() { 0 } else { index.index(bytes.len()) };
        match change {
            Change::Cut(index) => bytes.truncate(at(index)),
            Change::Flip(index, bits) => {
                let at = at(index);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Change::Insert(index, new) => {
                let at = at(index);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Remove(index, count) => {
                let at = at(index);
                bytes.drain(at..bytes.len().min(at + count));
            }
            Change::Repeat(index, count) => {
                let at = at(index);
                let part = bytes[at..bytes.len().min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// The message of some bytes that came whole.
fn payload(bytes: &[u8]) -> Vec<u8> {
    let message = Decoder::new(Limits::default()).decode(&mut &*bytes).unwrap();
    message.expect("a recorded message is whole").payload
}

/// Bytes of no meaning, or a message that was changed.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let recorded = (vec(prop::sample::select(RECORDED.as_slice()), 1..3), vec(change(), 0..6));
    prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        6 => recorded.prop_map(|(messages, changes)| changed(messages.concat(), &changes)),
    ]
}

/// What frame 0 says: of no meaning, or changed.
fn saying() -> impl Strategy<Value = Vec<u8>> {
    let recorded = (prop::sample::select(RECORDED.as_slice()), vec(change(), 0..6));
    prop_oneof![
        1 => vec(any::<u8>(), 1..200),
        6 => recorded.prop_map(|(message, changes)| changed(payload(message), &changes)),
    ]
}

/// Reads a stream that comes in pieces, up to its end or its first fault.
fn read(bytes: &[u8], piece: usize, limits: Limits) -> (Vec<Message>, Option<FrameError>) {
    let mut decoder = Decoder::new(limits);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut input = piece;
        loop {
            let before = input.len();
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break assert!(input.is_empty(), "{} of {before} bytes are left", input.len()),
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Reads a value, and refuses to take more memory than `bytes` give reason to.
fn bounded<T>(bytes: &[u8], what: &str, read: impl Fn(&[u8]) -> T) {
    let taken = measure(|| drop(read(bytes))).bytes_max;
    // A byte may be an entry of a map: a key, a value and its share of a node.
    let limit = 2 * TRUSTED_BYTES + 400 * bytes.len() as u64;
    assert!(taken <= limit, "{what} took {taken} bytes for {}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_is_read_within_its_limits(bytes in stream(), piece in 1_usize..500) {
        let mut told = None;
        let taken = measure(|| told = Some(read(&bytes, piece, SMALL))).bytes_max;
        let (messages, error) = told.unwrap();
        // Frames 0, and the list of the messages, which is this test's own.
        let held: usize = messages.iter().map(|message| message.payload.len()).sum();
        let own = 8 * std::mem::size_of::<Message>() * (messages.len() + 1);
        prop_assert!(taken <= held as u64 + SMALL.message_bytes + own as u64, "took {} bytes", taken);
        // How it is cut makes no difference.
        let whole = read(&bytes, bytes.len().max(1), SMALL);
        prop_assert_eq!((messages, error), whole);
    }

    #[test]
    fn an_answer_is_read_or_refused_within_bounds(bytes in saying()) {
        bounded(&bytes, "Identity", decode_reply::<Identity>);
        bounded(&bytes, "Versions", decode_reply::<Versions>);
        bounded(&bytes, "workers", decode_reply::<BTreeMap<String, WorkerInfo>>);
        bounded(&bytes, "counts", decode_reply::<BTreeMap<String, u64>>);
        bounded(&bytes, "a count", decode_reply::<u64>);
        bounded(&bytes, "seconds", decode_reply::<Option<f64>>);
        bounded(&bytes, "names", decode_reply::<Vec<WorkerName>>);
        bounded(&bytes, "an event", decode_reply::<SubscribeEvent>);
        bounded(&bytes, "events", decode_events);
    }
}

/// An operation by its number, and the answers that it takes before the one that matters.
fn operation(number: usize) -> Vec<&'static [u8]> {
    let versions = RECORDED[11];
    match number {
        0..=6 => vec![],
        7..=11 => vec![versions],
        12 => vec![RECORDED[9]],
        13 => vec![versions, RECORDED[3]],
        _ => vec![RECORDED[6]],
    }
}

/// How many operations there are.
const OPERATIONS: usize = 15;

async fn ask(scheduler: &mut Scheduler, number: usize) -> Result<(), Error> {
    let names = ["0", "1"].map(str::to_owned).into();
    match number {
        0 => scheduler.versions().await.map(drop),
        1 => scheduler.identity().await.map(drop),
        2 => scheduler.ncores().await.map(drop),
        3 => scheduler.closing_order().await.map(drop),
        4 => scheduler.retire_workers(&Retirement::of(["w"]), PLENTY).await.map(drop),
        5 => scheduler.processing(None).await.map(drop),
        6 => scheduler.adaptive_target(PLENTY).await.map(drop),
        7 => scheduler.totals().await.map(drop),
        8 => scheduler.check_idle().await.map(drop),
        9 => scheduler.is_idle().await.map(drop),
        10 => scheduler.activity().await.map(drop),
        11 | 13 => scheduler.wanted_resources().await.map(drop),
        12 => scheduler.coarse_activity().await.map(drop),
        _ => scheduler.busy(&names).await.map(drop),
    }
}

/// Plays a scheduler: a handshake, then an answer to each request, then the end.
async fn play(mut stream: DuplexStream, answers: Vec<Vec<u8>>) {
    let mut chunk = [0; 4096];
    stream.write_all(RECORDED[5]).await.unwrap();
    // The handshake comes first.
    if stream.read(&mut chunk).await.is_ok_and(|count| count > 0) {
        for answer in answers {
            if !stream.read(&mut chunk).await.is_ok_and(|count| count > 0)
                || stream.write_all(&answer).await.is_err()
            {
                return;
            }
        }
    }
    stream.shutdown().await.unwrap_or_default();
    while stream.read(&mut chunk).await.is_ok_and(|count| count > 0) {}
}

/// Asks one operation of a scheduler whose answer to it is `answer`.
fn converse(number: usize, answer: Vec<u8>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut answers: Vec<Vec<u8>> = operation(number).into_iter().map(<[u8]>::to_vec).collect();
    answers.push(answer);
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 16);
        let client = async {
            let scheduler = Scheduler::over(client, PLENTY).await.unwrap();
            ask(&mut scheduler.with_call_limit(PLENTY), number).await
        };
        tokio::join!(client, play(server, answers)).0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, ..ProptestConfig::default() })]

    #[test]
    fn every_operation_ends(number in 0..OPERATIONS, saying in saying(), raw in any::<bool>(), stream in stream()) {
        let answer = if raw { stream } else { frame::encode(&saying) };
        let outcome = converse(number, answer);
        // The peer has ended, so a wait for it would be for nothing.
        prop_assert!(!matches!(outcome, Err(Error::Timeout { .. } | Error::Unreachable(_))), "{:?}", outcome);
    }

    #[test]
    fn every_address_is_read_or_refused(text in ".{0,60}") {
        bounded(text.as_bytes(), "an address", |bytes| String::from_utf8_lossy(bytes).parse::<Address>());
    }
}

#[test]
fn unchanged_recordings_are_understood() {
    let answers =
        [(0, 11), (1, 6), (2, 7), (3, 12), (5, 9), (6, 1), (7, 6), (8, 2), (10, 3), (12, 8), (13, 3)];
    for (number, recording) in answers {
        converse(number, RECORDED[recording].to_vec()).unwrap_or_else(|error| panic!("{number}: {error:?}"));
    }
    assert!(matches!(converse(2, RECORDED[4].to_vec()), Err(Error::Remote { .. })));
    assert_eq!(decode_events(&payload(RECORDED[0])).unwrap().len(), 1);
    assert!(decode_reply::<Identity>(&payload(RECORDED[10])).is_ok());
}
