//! How messages are cut out of a stream of bytes. Pure: bytes in, messages out.
//!
//! ```text
//! message := u64 block | u64 n | u64 length[0] … u64 length[n-1] | frame[0] … frame[n-1]
//! ```
//!
//! All numbers are little-endian (a scheduler writes in its host's order, and every host that Dask ships for
//! is little-endian). `block` counts what follows it. From distributed 2023.11 on it may cover only the first
//! of the frames (measured); the others follow the block bare, and the table of lengths tells how long they
//! are. Frame 0 is the message; further frames hold pickles and buffers, which are counted and thrown away as
//! they pass, so that a decoder never holds more than one frame 0.
//!
//! It is not concerned with what a frame says; that is [`super::message`].

/// The most bytes that one message may have unless told otherwise: an identity has about 800 bytes for each
/// worker (measured), so this is room for the 20,000 workers that are accepted. What one scheduler sends is
/// in memory at once, and it must not be able to take all of the operator's.
pub const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// The most frames that one message may have unless told otherwise.
pub const FRAMES_MAX: u64 = 1 << 16;

/// The shortest block: a count, one length and one byte. What precedes 2021.3.0 has no block and begins with
/// the count of frames, which is 2 (measured on 2021.2.0).
const BLOCK_BYTES_MIN: u64 = 17;

/// From here on a first number is no length of anything: it is text, TLS or the other byte order.
const ABSURD_BYTES: u64 = 1 << 40;

/// The unit in which memory is taken for a frame: what the peer announces is not believed before it arrives.
const GROWTH_BYTES: u64 = 64 << 10;

/// How much of a peer's message is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its frames and their table told.
    pub message_bytes: u64,
    /// Frames of one message.
    pub frames: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: MESSAGE_BYTES_MAX, frames: FRAMES_MAX }
    }
}

/// One message as it came: frame 0, and how many frames behind it were thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Frame 0, in MessagePack.
    pub payload: Vec<u8>,
    /// How many further frames there were.
    pub skipped_frames: u64,
}

/// Why bytes are no message. The stream is of no use afterwards: nothing tells where the next message begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first number is one that only the framing of before 2021.3.0 has there.
    #[error("message begins with {first}, as from a distributed older than 2021.3.1")]
    OldFraming {
        /// The number: the count of frames in the old framing.
        first: u64,
    },
    /// The first number is no length: whatever wrote this does not speak Dask's protocol.
    #[error("message announces {bytes} bytes, as from a peer that does not speak Dask's protocol")]
    Absurd {
        /// The first eight bytes, read as a length.
        bytes: u64,
    },
    /// A proper message, and larger than is accepted.
    #[error("message of {bytes} bytes is larger than the {limit} that are accepted")]
    TooLarge {
        /// What it announces.
        bytes: u64,
        /// [`Limits::message_bytes`].
        limit: u64,
    },
    /// A proper message, and of more frames than are accepted.
    #[error("message of {frames} frames has more than the {limit} that are accepted")]
    TooManyFrames {
        /// What it announces.
        frames: u64,
        /// [`Limits::frames`].
        limit: u64,
    },
    /// The lengths contradict each other.
    #[error("message has a table of lengths that does not fit its block")]
    Malformed,
}

/// Frames one message for sending: always one frame, which every version reads. The payload is MessagePack
/// and so has one byte at least.
pub fn encode(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u64;
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(24));
    bytes.extend_from_slice(&length.saturating_add(16).to_le_bytes());
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Cuts messages out of a stream, whatever the pieces that the stream comes in.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    word: [u8; 8],
    word_bytes: usize,
    payload: Vec<u8>,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy)]
enum State {
    Block,
    Count { block: u64 },
    Table(Table),
    Frames(Frames),
}

/// The table of lengths, so far. Only sums are kept, so a long table costs no memory.
#[derive(Debug, Clone, Copy)]
struct Table {
    frames: u64,
    left: u64,
    /// Bytes of the frames that the block has room for; it must end where a frame ends.
    inside: u64,
    ends_with_a_frame: bool,
    first: u64,
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Frames {
    count: u64,
    payload_left: u64,
    skip_left: u64,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Block, word: [0; 8], word_bytes: 0, payload: Vec::new() }
    }

    /// Takes bytes off the front of `input` up to the end of a message, and gives that message; or takes all
    /// of them and gives `None`, which means that the message is not complete. After an error the decoder is
    /// of no use.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        loop {
            self.state = match self.state {
                State::Frames(frames) => {
                    let frames = self.take_frames(frames, input);
                    if frames.payload_left == 0 && frames.skip_left == 0 {
                        self.state = State::Block;
                        let payload = std::mem::take(&mut self.payload);
                        return Ok(Some(Message { payload, skipped_frames: frames.count.saturating_sub(1) }));
                    }
                    self.state = State::Frames(frames);
                    return Ok(None);
                }
                state => match self.take_word(input) {
                    None => return Ok(None),
                    Some(word) => self.after(state, word)?,
                },
            }
        }
    }

    /// How many bytes the payload of the message has that is being read, as far as that is known.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Frames(frames) => frames.payload_left.saturating_add(self.payload.len() as u64),
            _ => 0,
        }
    }

    /// Whether the stream is between two messages, so that its end here loses nothing.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Block) && self.word_bytes == 0
    }

    /// What comes after a number of the header.
    fn after(&self, state: State, word: u64) -> Result<State, FrameError> {
        match state {
            State::Block => self.check_block(word).map(|()| State::Count { block: word }),
            State::Count { block } => self.check_count(block, word).map(State::Table),
            State::Table(table) => self.add_length(table, word),
            State::Frames(_) => Ok(state),
        }
    }

    fn check_block(&self, block: u64) -> Result<(), FrameError> {
        if block < BLOCK_BYTES_MIN {
            return Err(FrameError::OldFraming { first: block });
        }
        if block >= ABSURD_BYTES {
            return Err(FrameError::Absurd { bytes: block });
        }
        self.check_size(block)
    }

    fn check_size(&self, bytes: u64) -> Result<(), FrameError> {
        let limit = self.limits.message_bytes;
        if bytes > limit { Err(FrameError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    fn check_count(&self, block: u64, frames: u64) -> Result<Table, FrameError> {
        let limit = self.limits.frames;
        let header = frames.checked_add(1).and_then(|words| words.checked_mul(8));
        let inside = header.and_then(|header| block.checked_sub(header)).ok_or(FrameError::Malformed)?;
        if frames > limit {
            return Err(FrameError::TooManyFrames { frames, limit });
        }
        if frames == 0 {
            return Err(FrameError::Malformed);
        }
        Ok(Table { frames, left: frames, inside, ends_with_a_frame: inside == 0, first: 0, total: 0 })
    }

    fn add_length(&self, mut table: Table, length: u64) -> Result<State, FrameError> {
        if table.left == table.frames {
            table.first = length;
        }
        table.left = table.left.saturating_sub(1);
        table.total = table.total.saturating_add(length);
        self.check_size(table.total)?;
        table.ends_with_a_frame |= table.total == table.inside;
        if table.left > 0 {
            return Ok(State::Table(table));
        }
        if !table.ends_with_a_frame {
            return Err(FrameError::Malformed);
        }
        let skip_left = table.total.saturating_sub(table.first);
        Ok(State::Frames(Frames { count: table.frames, payload_left: table.first, skip_left }))
    }

    /// Takes what `input` has of a number; the number when it is complete.
    fn take_word(&mut self, input: &mut &[u8]) -> Option<u64> {
        let missing = self.word.get_mut(self.word_bytes..)?;
        let taken = take(input, missing.len() as u64);
        for (to, from) in missing.iter_mut().zip(taken) {
            *to = *from;
        }
        self.word_bytes = self.word_bytes.saturating_add(taken.len());
        if self.word_bytes < self.word.len() {
            return None;
        }
        self.word_bytes = 0;
        Some(u64::from_le_bytes(self.word))
    }

    /// Takes what `input` has of the frames. Memory grows with what arrived, never past what was announced.
    fn take_frames(&mut self, mut frames: Frames, input: &mut &[u8]) -> Frames {
        let taken = take(input, frames.payload_left);
        let room = self.payload.capacity().saturating_sub(self.payload.len());
        if room < taken.len() {
            let doubled = (self.payload.len() as u64).max(GROWTH_BYTES).max(taken.len() as u64);
            let more = usize::try_from(doubled.min(frames.payload_left)).unwrap_or(taken.len());
            self.payload.reserve_exact(more);
        }
        self.payload.extend_from_slice(taken);
        frames.payload_left = frames.payload_left.saturating_sub(taken.len() as u64);
        let skipped = take(input, frames.skip_left);
        frames.skip_left = frames.skip_left.saturating_sub(skipped.len() as u64);
        frames
    }
}

/// Takes at most `limit` bytes off the front of `input`.
fn take<'a>(input: &mut &'a [u8], limit: u64) -> &'a [u8] {
    let count = usize::try_from(limit).unwrap_or(usize::MAX).min(input.len());
    let (front, rest) = input.split_at_checked(count).unwrap_or((&[], input));
    *input = rest;
    front
}

#[cfg(test)]
mod tests;
