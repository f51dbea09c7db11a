//! A Dask scheduler with one worker, as far as the operator asks before it starts a run at an address.

use daskflow::dask::frame::{Decoder, Limits, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves for as long as the program runs. Answers the address.
pub async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    address
}

async fn converse(mut stream: TcpStream) -> Option<()> {
    let framed = |value: &Value| encode(&rmp_serde::to_vec_named(value).unwrap());
    let handshake = json!({"compression": null, "python": [3, 11, 7], "pickle-protocol": 5});
    stream.write_all(&framed(&handshake)).await.ok()?;
    let mut decoder = Decoder::new(Limits::default());
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        let mut input = chunk.get(..count)?;
        while let Some(message) = decoder.decode(&mut input).ok()? {
            let request: Value = rmp_serde::from_slice(&message.payload).ok()?;
            // The first message is the client's handshake.
            let Some(operation) = request["op"].as_str() else { continue };
            let answer = match operation {
                "ncores" => json!({"tcp://127.0.0.1:1": 1}),
                "versions" => json!({"host": {}, "packages": {"distributed": "2026.8.0"}}),
                _ => json!({}),
            };
            stream.write_all(&framed(&answer)).await.ok()?;
        }
    }
}
