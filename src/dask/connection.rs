//! One stream of bytes to a scheduler: greeted, written and read, each under a time limit.
//! [`super::connector`] opens it.
//!
//! It knows messages but not what they ask. It does not reconnect and does not decide whether it may be used
//! again; [`super::rpc`] and [`super::subscribe`] do.
use super::address::Scheme;
use super::budget::{self, Budget, Payload, Room};
use super::error::{DecodeError, Error};
use super::frame::{self, Decoder, FrameError, Limits};
use super::message;
use super::tls;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// How many bytes are read at once.
const READ_BYTES: usize = 16 << 10;

/// The longest handshake; theirs have a hundred bytes (measured).
const GREETING_BYTES_MAX: u64 = 64 << 10;

/// How a TLS alert begins: record type 21, then a major version of 3.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// Bytes both ways, whatever carries them: TCP, TLS over it, or a pipe in a test.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection on which both sides have said their handshake.
pub struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    /// What was read and not yet decoded is `chunk[start..end]`.
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    /// What long messages share.
    budget: Budget,
    /// The room that the message has which is being read, and since when.
    room: Option<(Room, Instant)>,
    /// The first bytes that the peer ever sent; they tell TLS from Dask.
    greeting: Vec<u8>,
    /// How the bytes travel, where it is known.
    scheme: Option<Scheme>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl Connection {
    /// Shakes hands over a stream that is open already, within `deadline`.
    pub async fn over(stream: impl Stream + 'static, deadline: Duration) -> Result<Self, Error> {
        let late = Error::Timeout { what: "answer the handshake", limit: deadline };
        let greeted = Self::greet(Box::new(stream), None, Budget::default());
        timeout(deadline, greeted).await.unwrap_or(Err(late))
    }

    /// Sends one message, within `limit`. After an error, or when dropped before the end, part of it may be
    /// sent.
    pub async fn send(&mut self, payload: &[u8], limit: Duration) -> Result<(), Error> {
        let bytes = frame::encode(payload);
        let written = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        match timeout(limit, written).await {
            Ok(written) => written.map_err(|error| Error::Closed(Some(error))),
            Err(_) => Err(Error::Timeout { what: "take the request", limit }),
        }
    }

    /// Waits for a message, at most `limit`; `None` when none came. May be dropped at any time without loss:
    /// what has come of a message is kept. A long message that has begun and does not come to its end is
    /// [`Error::Unended`].
    pub async fn receive(&mut self, limit: Duration) -> Result<Option<Payload>, Error> {
        match timeout(limit, self.next_message()).await {
            Ok(message) => message.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Whether bytes have come that no message was made of.
    pub fn has_unread(&self) -> bool {
        self.start < self.end || !self.decoder.is_between_messages()
    }

    /// Our handshake, then theirs. The listener writes its own without waiting for ours, on every version; a
    /// connector may do either (measured), and to write first saves a turn.
    pub(super) async fn greet(
        stream: Box<dyn Stream>,
        scheme: Option<Scheme>,
        budget: Budget,
    ) -> Result<Self, Error> {
        // Whoever is no scheduler takes no room from those that are.
        let decoder = Decoder::new(Limits { message_bytes: GREETING_BYTES_MAX, ..Limits::default() });
        let (chunk, greeting) = (vec![0; READ_BYTES], Vec::new());
        let mut this =
            Self { stream, decoder, chunk, start: 0, end: 0, budget, room: None, greeting, scheme };
        let ours = message::encode_handshake()
            .map_err(|source| Error::Encode { op: "handshake".to_owned(), source })?;
        let theirs =
            this.exchange_greetings(&frame::encode(&ours)).await.map_err(|error| this.named(error))?;
        if message::is_handshake(&theirs) {
            this.decoder = Decoder::new(Limits::default());
            Ok(this)
        } else {
            Err(Error::NotADaskPeer("its first message is no handshake"))
        }
    }

    async fn exchange_greetings(&mut self, ours: &[u8]) -> Result<Payload, Error> {
        // A peer of TLS hangs up on our bytes, and may have said why before: so read also when writing
        // failed.
        let written = async {
            self.stream.write_all(ours).await?;
            self.stream.flush().await
        };
        let written = written.await;
        let theirs = self.next_message().await?;
        written.map_err(|error| Error::Closed(Some(error)))?;
        Ok(theirs)
    }

    /// What went wrong, by the first bytes of a peer that shook no hands.
    fn named(&self, error: Error) -> Error {
        let is_plain = self.scheme != Some(Scheme::Tls);
        if is_plain && self.greeting.starts_with(&TLS_ALERT) {
            return Error::WrongScheme("the port speaks TLS: write tls:// for tcp://");
        }
        match error {
            // What a TLS port of Dask does to a plain handshake, without a word (measured on 2022.2.0 and
            // 2026.8.0).
            Error::Closed(Some(error))
                if is_plain && self.greeting.is_empty() && error.kind() == io::ErrorKind::ConnectionReset =>
            {
                Error::WrongScheme("the port hung up on a plain handshake, as one that speaks TLS does")
            }
            Error::Decode(DecodeError::Frame(FrameError::OldFraming { first })) if first > 0 => {
                Error::UnsupportedVersion
            }
            Error::Decode(_) => Error::NotADaskPeer("its first bytes are no length of a message"),
            Error::TooLarge(_) => Error::NotADaskPeer("its first message is far too large for a handshake"),
            error => error,
        }
    }

    async fn next_message(&mut self) -> Result<Payload, Error> {
        loop {
            let mut input = self.chunk.get(self.start..self.end).unwrap_or_default();
            let decoded = self.decoder.decode(&mut input)?;
            self.start = self.end.saturating_sub(input.len());
            if let Some(message) = decoded {
                let room = self.room.take().map(|(room, _)| room);
                return Ok(Payload::new(message.payload, room));
            }
            // All of the chunk is taken. This wait and the read are the only ones, and lose nothing when they
            // are dropped.
            let announced = self.decoder.announced();
            if self.room.is_none() && budget::needs_room(announced) {
                self.room = Some((self.budget.room(announced).await, Instant::now()));
            }
            let count = self.read().await?;
            if count == 0 {
                return Err(Error::Closed(None));
            }
            (self.start, self.end) = (0, count);
            let missing = TLS_ALERT.len().saturating_sub(self.greeting.len());
            self.greeting.extend(self.chunk.iter().take(count.min(missing)));
        }
    }

    /// Reads into the chunk. Nothing that was read is lost when this is dropped.
    async fn read(&mut self) -> Result<usize, Error> {
        let read = self.stream.read(&mut self.chunk);
        let Some((_, since)) = &self.room else { return read.await.map_err(tls::named) };
        let bytes = self.decoder.announced();
        let limit = budget::limit(bytes);
        let read = timeout_at(*since + limit, read).await;
        read.map_err(|_| Error::Unended { bytes, limit })?.map_err(tls::named)
    }
}
