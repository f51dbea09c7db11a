//! A peer that plays a script: it says its handshake or not, then answers what the test tells it to.
use daskflow::dask::frame::{self, Decoder, Limits};
use daskflow::dask::{Address, Scheme};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What the peer does next.
pub enum Step {
    /// Writes these bytes as they are.
    Bytes(Vec<u8>),
    /// Waits for a request, then writes these bytes.
    Answer(Vec<u8>),
    /// Waits for a request.
    Swallow,
    /// Hangs up.
    HangUp,
    /// Hangs up such that the other side sees a reset.
    Reset,
}

/// One frame of MessagePack, ready to be sent.
pub fn framed(value: &Value) -> Vec<u8> {
    frame::encode(&rmp_serde::to_vec_named(value).unwrap())
}

/// The handshake of a scheduler.
pub fn handshake() -> Step {
    Step::Bytes(framed(&json!({"compression": null, "python": [3, 11, 7], "pickle-protocol": 5})))
}

/// Waits for a request, then answers with this value.
pub fn answer(value: &Value) -> Step {
    Step::Answer(framed(value))
}

/// Waits for a request, then answers as to `versions`.
pub fn versions(version: &str) -> Step {
    answer(&json!({"host": {}, "packages": {"distributed": version}}))
}

/// A message of several frames, of which `inside` are in the block.
pub fn framed_in_parts(frames: &[&[u8]], inside: usize) -> Vec<u8> {
    let in_block: usize = frames[..inside].iter().map(|frame| frame.len()).sum();
    let mut bytes = Vec::new();
    bytes.extend(((8 * (1 + frames.len()) + in_block) as u64).to_le_bytes());
    bytes.extend((frames.len() as u64).to_le_bytes());
    bytes.extend(frames.iter().flat_map(|frame| (frame.len() as u64).to_le_bytes()));
    bytes.extend(frames.concat());
    bytes
}

/// A peer that plays `steps` to whoever connects first, and then stays silent. The requests it got come out
/// of the channel.
pub async fn peer(steps: Vec<Step>) -> (Address, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::new(Scheme::Tcp, "127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let (requests, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, steps, requests).await;
    });
    (address, received)
}

async fn play(mut stream: TcpStream, steps: Vec<Step>, requests: mpsc::UnboundedSender<Value>) {
    let mut read =
        Reader { decoder: Decoder::new(Limits::default()), messages: VecDeque::new(), greeted: false };
    for step in steps {
        match step {
            Step::Bytes(bytes) => stream.write_all(&bytes).await.unwrap(),
            Step::Swallow => requests.send(read.request(&mut stream).await).unwrap_or_default(),
            Step::Answer(bytes) => {
                requests.send(read.request(&mut stream).await).unwrap_or_default();
                stream.write_all(&bytes).await.unwrap();
            }
            Step::HangUp => {
                // What was received and not read would turn the end into a reset.
                stream.shutdown().await.unwrap();
                while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
                return;
            }
            Step::Reset => {
                // Bytes that lie there unread make a close a reset.
                stream.peek(&mut [0; 1]).await.unwrap();
                return;
            }
        }
    }
    // Silent, and there, until the test is over.
    while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
}

/// Reads requests; the first message of a client is its handshake.
struct Reader {
    decoder: Decoder,
    messages: VecDeque<Value>,
    greeted: bool,
}

impl Reader {
    async fn request(&mut self, stream: &mut TcpStream) -> Value {
        loop {
            if let Some(request) = self.messages.pop_front() {
                return request;
            }
            let mut chunk = [0; 1024];
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the client hung up before its next request");
            let mut input = &chunk[..count];
            while let Some(message) = self.decoder.decode(&mut input).unwrap() {
                let value: Value = rmp_serde::from_slice(&message.payload).unwrap();
                if self.greeted {
                    self.messages.push_back(value);
                } else {
                    assert!(value.get("pickle-protocol").is_some(), "{value}");
                    self.greeted = true;
                }
            }
        }
    }
}
