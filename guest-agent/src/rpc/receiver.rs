//! The client's half of a call, with its flow control in the hands of whoever consumes the bytes.

use super::frame::{Decoder, FrameError, MAX_MESSAGE};
use super::status::{Code, Status};
use bytes::Bytes;
use h2::RecvStream;
use prost::Message;
use std::time::Duration;
use tokio::time::timeout;

/// A message larger than this gives its window back while it is still arriving, because it may never fit into the window.
const HELD_WHILE_INCOMPLETE: usize = 64 << 10;

/// How long a call may be open without its first message.
const FIRST_DEADLINE: Duration = Duration::from_secs(30);

/// One message, and how much window the client gets back once it is consumed.
pub struct Received {
    pub message: Bytes,
    pub window: usize,
}

pub struct Receiver {
    body: RecvStream,
    decoder: Decoder,
    unreleased: usize,
}

impl Receiver {
    pub fn new(body: RecvStream) -> Self {
        Self { body, decoder: Decoder::default(), unreleased: 0 }
    }

    /// The next message, or none after the client's half-close. May be dropped and called again without losing bytes.
    pub async fn next(&mut self) -> Result<Option<Received>, Status> {
        loop {
            let before = self.decoder.pending();
            if let Some(message) = self.decoder.next_message().map_err(refusal)? {
                let window = self.unreleased.min(before - self.decoder.pending());
                self.unreleased -= window;
                return Ok(Some(Received { message, window }));
            }
            if self.decoder.pending() > HELD_WHILE_INCOMPLETE {
                let window = std::mem::take(&mut self.unreleased);
                self.release(window);
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    self.unreleased += data.len();
                    self.decoder.feed(&data);
                }
                Some(Err(_)) => return Err(Status::gone()),
                None if self.decoder.pending() > 0 => {
                    return Err(Status::invalid("torn-message", "the request ended inside a message"));
                }
                None => return Ok(None),
            }
        }
    }

    /// The next message decoded, its window given back at once: for messages that are not bulk data.
    pub async fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some(received) = self.next().await? else { return Ok(None) };
        self.release(received.window);
        decode(received.message).map(Some)
    }

    /// The first message of a call: whoever opens one has something to say.
    pub async fn first<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        timeout(FIRST_DEADLINE, self.next_message()).await.unwrap_or_else(|_| Err(Status::slow(FIRST_DEADLINE)))
    }

    /// The only message of a call with one request.
    pub async fn only<M: Message + Default>(&mut self) -> Result<M, Status> {
        match self.first().await? {
            Some(message) => Ok(message),
            None => Err(Status::invalid("no-request", "the call ended before its request; send one message")),
        }
    }

    /// The next bytes as they came, messages not cut. Their window is given back by `release`.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        match self.body.data().await {
            Some(Ok(data)) => Ok(Some(data)),
            Some(Err(_)) => Err(Status::gone()),
            None => Ok(None),
        }
    }

    pub fn release(&mut self, window: usize) {
        // Fails only when the stream is gone, which the next read tells.
        let _ = self.body.flow_control().release_capacity(window);
    }
}

pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message)
        .map_err(|error| Status::invalid("bad-message", format!("the message cannot be decoded: {error}")))
}

pub fn refusal(error: FrameError) -> Status {
    match error {
        FrameError::Compressed => {
            Status::new(Code::Unimplemented, "compressed", "compressed messages are not supported; send them plain")
        }
        FrameError::TooLarge => Status::new(
            Code::ResourceExhausted,
            "message-too-large",
            format!("the message is larger than {MAX_MESSAGE} bytes; send smaller ones"),
        ),
    }
}
