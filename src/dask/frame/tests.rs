//! Tests of the framing: bytes captured from real schedulers, and laws that hold for any bytes.
use super::*;
use proptest::prelude::*;

/// A message of several frames, of which the first `inside` are in the block, as the peer would write it.
fn frames_on_the_wire(frames: &[Vec<u8>], inside: usize) -> Vec<u8> {
    let in_block: usize = frames[..inside].iter().map(Vec::len).sum();
    let mut bytes = Vec::new();
    bytes.extend(((8 * (1 + frames.len()) + in_block) as u64).to_le_bytes());
    bytes.extend((frames.len() as u64).to_le_bytes());
    bytes.extend(frames.iter().flat_map(|frame| (frame.len() as u64).to_le_bytes()));
    bytes.extend(frames.iter().flatten());
    bytes
}

/// All messages of a stream that comes in pieces of these sizes, then in one.
fn decode_all(bytes: &[u8], pieces: &[usize], limits: Limits) -> Result<Vec<Message>, FrameError> {
    let mut decoder = Decoder::new(limits);
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (mut piece, after) = rest.split_at(size);
        rest = after;
        while let Some(message) = decoder.decode(&mut piece)? {
            messages.push(message);
        }
        assert!(piece.is_empty(), "incomplete, and yet not all was taken");
        assert!(decoder.payload.capacity() as u64 <= limits.message_bytes);
    }
    Ok(messages)
}

fn decode_one(bytes: &[u8]) -> Result<Option<Message>, FrameError> {
    Decoder::new(Limits::default()).decode(&mut &*bytes)
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_handshake_captured_from_2026_8_is_cut_out() {
    let mut bytes = vec![0x3a, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0];
    let payload = b"\x83\xabcompression\xc0\xa6python\x93\x03\x0b\x07\xafpickle-protocol\x05";
    bytes.extend(payload);
    let message = decode_one(&bytes).unwrap().unwrap();
    assert_eq!((message.payload.as_slice(), message.skipped_frames), (payload.as_slice(), 0));
}

#[test]
fn a_request_is_framed_as_captured() {
    let payload = b"\x82\xa2op\xa6ncores\xa5reply\xc3";
    let mut expected = vec![0x22, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0];
    expected.extend(payload);
    assert_eq!(encode(payload), expected);
}

#[test]
fn frames_behind_the_block_do_not_desynchronise() {
    let frames = [vec![7; 5], vec![8; 100], vec![9; 200_000]];
    for inside in 1..=3 {
        let mut bytes = frames_on_the_wire(&frames, inside);
        bytes.extend(encode(b"next"));
        let messages = decode_all(&bytes, &[], Limits::default()).unwrap();
        assert_eq!(messages[0], Message { payload: vec![7; 5], skipped_frames: 2 });
        assert_eq!(messages[1].payload, b"next");
    }
}

#[test]
fn the_framing_before_2021_3_is_named() {
    assert_eq!(decode_one(&words(&[2, 1, 40])), Err(FrameError::OldFraming { first: 2 }));
    assert_eq!(decode_one(&words(&[16])), Err(FrameError::OldFraming { first: 16 }));
}

#[test]
fn a_peer_of_another_protocol_is_told_from_a_large_message() {
    assert!(matches!(decode_one(b"HTTP/1.1 400 Bad"), Err(FrameError::Absurd { .. })));
    assert!(matches!(decode_one(b"\x15\x03\x03\x00\x02\x02\x46\x15"), Err(FrameError::Absurd { .. })));
    assert!(matches!(decode_one(&58_u64.to_be_bytes()), Err(FrameError::Absurd { .. })));
    assert!(matches!(decode_one(&words(&[u64::MAX])), Err(FrameError::Absurd { .. })));
    let (bytes, limit) = (MESSAGE_BYTES_MAX + 1, MESSAGE_BYTES_MAX);
    assert_eq!(decode_one(&words(&[bytes])), Err(FrameError::TooLarge { bytes, limit }));
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let malformed = [
        words(&[17, 0, 0]),             // no frame at all
        words(&[24, 3, 1, 1, 1]),       // a table larger than the block
        words(&[24, u64::MAX]),         // one whose size overflows
        words(&[24, 1, 7]),             // the block is longer than its frame
        words(&[24, 1, 9]),             // the frame is longer than its block, so it straddles
        words(&[16 + 16 + 3, 2, 2, 5]), // the block ends inside the second frame
    ];
    for bytes in malformed {
        assert_eq!(decode_one(&bytes), Err(FrameError::Malformed), "{bytes:?}");
    }
    let sum = words(&[32, 2, 8, u64::MAX]);
    assert!(matches!(decode_one(&sum), Err(FrameError::TooLarge { .. })));
    let frames = words(&[8 * (FRAMES_MAX + 2), FRAMES_MAX + 1]);
    assert!(matches!(decode_one(&frames), Err(FrameError::TooManyFrames { .. })));
}

#[test]
fn memory_is_not_taken_on_the_word_of_the_peer() {
    let mut decoder = Decoder::new(Limits::default());
    let length = MESSAGE_BYTES_MAX - 24;
    let mut bytes = words(&[16 + length, 1, length]);
    bytes.push(0);
    assert_eq!(decoder.decode(&mut bytes.as_slice()), Ok(None));
    assert!(decoder.payload.capacity() as u64 <= GROWTH_BYTES, "{}", decoder.payload.capacity());
    assert!(!decoder.is_between_messages());
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(payload in prop::collection::vec(any::<u8>(), 1..5000)) {
        let mut decoder = Decoder::new(Limits::default());
        let bytes = encode(&payload);
        let mut input = bytes.as_slice();
        let message = decoder.decode(&mut input).unwrap().unwrap();
        prop_assert_eq!(message, Message { payload, skipped_frames: 0 });
        prop_assert!(input.is_empty() && decoder.is_between_messages());
    }

    #[test]
    fn the_pieces_a_stream_comes_in_do_not_matter(
        messages in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..5), any::<prop::sample::Index>()),
            1..4,
        ),
        pieces in prop::collection::vec(1_usize..40, 0..60),
    ) {
        let mut bytes = Vec::new();
        for (frames, inside) in &messages {
            bytes.extend(frames_on_the_wire(frames, 1 + inside.index(frames.len())));
        }
        let decoded = decode_all(&bytes, &pieces, Limits::default()).unwrap();
        let expected: Vec<Message> = messages
            .into_iter()
            .map(|(mut frames, _)| Message { skipped_frames: frames.len() as u64 - 1, payload: frames.swap_remove(0) })
            .collect();
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn any_bytes_give_the_same_result_in_any_pieces_and_take_no_more_memory_than_the_limit(
        header in prop::collection::vec(0_u64..300, 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..600),
        pieces in prop::collection::vec(1_usize..40, 0..60),
    ) {
        let limits = Limits { message_bytes: 256, frames: 4 };
        let mut bytes = words(&header);
        bytes.extend(noise);
        let whole = decode_all(&bytes, &[], limits);
        prop_assert_eq!(decode_all(&bytes, &pieces, limits), whole);
    }
}
