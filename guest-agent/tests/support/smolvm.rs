//! A client of SmolVM's framed protocol.

use serde_json::Value;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

pub const JSON: u8 = 1;
pub const STDOUT: u8 = 2;
pub const STDERR: u8 = 3;
pub const DATA: u8 = 4;
pub const EOF: u8 = 5;

pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
}

pub fn json(value: &Value) -> Vec<u8> {
    frame(JSON, value.to_string().as_bytes())
}

/// A connection, which is for one request.
pub struct Peer<S = UnixStream>(pub S);

impl Peer {
    pub async fn connect(socket: &Path) -> Self {
        super::until("the agent listens", || std::os::unix::net::UnixStream::connect(socket).is_ok()).await;
        Self(UnixStream::connect(socket).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame, or none when the connection has ended.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 5];
        self.0.read_exact(&mut header).await.ok()?;
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        assert!(length <= 64 << 10, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((header[0], payload))
    }

    pub async fn reply(&mut self) -> Value {
        let (kind, payload) = self.frame().await.expect("ended without a reply");
        assert_eq!(kind, JSON);
        serde_json::from_slice(&payload).unwrap()
    }

    pub async fn ask(&mut self, request: Value) -> Value {
        self.send(&json(&request)).await;
        self.reply().await
    }

    /// What a program printed, and the reply that ended it.
    pub async fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let (kind, payload) = self.frame().await.expect("ended without a reply");
            match kind {
                STDOUT => outcome.stdout.extend(payload),
                STDERR => outcome.stderr.extend(payload),
                JSON => {
                    outcome.reply = serde_json::from_slice(&payload).unwrap();
                    return outcome;
                }
                other => panic!("frame of type {other}"),
            }
        }
    }

    /// Standard output until it holds the text.
    pub async fn stdout_until(&mut self, wanted: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            let (kind, payload) = self.frame().await.expect("ended too early");
            assert_eq!(kind, STDOUT);
            seen.extend(payload);
        }
        String::from_utf8(seen).unwrap()
    }

    /// The frames of a download up to its end, and how it ended.
    pub async fn download(&mut self) -> (Vec<u8>, Option<Value>) {
        let mut content = Vec::new();
        loop {
            match self.frame().await.expect("ended without an end") {
                (DATA, payload) => content.extend(payload),
                (EOF, payload) if payload.is_empty() => return (content, None),
                (JSON, payload) => return (content, Some(serde_json::from_slice(&payload).unwrap())),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub reply: Value,
}

impl Outcome {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
