//! The worker's side of the stream: messages in, messages out, and the sum that both sides keep of the data.

use super::roots::Roots;
use crate::r#gen::agent::FileTrailer;
use crate::rpc::frame::{self, Decoder};
use crate::rpc::receiver::{decode, refusal};
use crate::rpc::status::{Code, Status};
use bytes::Bytes;
use prost::Message;
use std::io::{self, Read, StdinLock, StdoutLock, Write};

/// Data is sent in messages of this size.
pub const CHUNK: usize = 256 << 10;

pub struct Channel {
    /// What the request may name.
    pub roots: Roots,
    input: StdinLock<'static>,
    output: StdoutLock<'static>,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Channel {
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            input: io::stdin().lock(),
            output: io::stdout().lock(),
            decoder: Decoder::default(),
            buffer: vec![0; CHUNK],
        }
    }

    /// The next message, or none after the client's half-close.
    pub fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        self.next_bytes()?.map(decode).transpose()
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.decoder.next_message().map_err(refusal)? {
                return Ok(Some(message));
            }
            match self.input.read(&mut self.buffer) {
                Ok(0) if self.decoder.pending() > 0 => {
                    return Err(Status::invalid("torn-message", "the request ended inside a message"));
                }
                Ok(0) => return Ok(None),
                Ok(count) => self.decoder.feed(self.buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Status::gone()),
            }
        }
    }

    pub fn request<M: Message + Default>(&mut self) -> Result<M, Status> {
        self.next()?.ok_or_else(|| Status::invalid("no-request", "the call ended before its request; send one message"))
    }

    pub fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        self.write(&frame::encode(message))
    }

    /// A message with nothing but these bytes in field `tag`.
    pub fn send_data(&mut self, tag: u8, data: &[u8]) -> Result<(), Status> {
        self.write(&frame::encode_payload_header(tag, false, data.len()))?;
        self.write(data)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.output.write_all(bytes).and_then(|()| self.output.flush()).map_err(|_| Status::gone())
    }
}

/// Size of data and holes so far, and checksum of the data.
#[derive(Default)]
pub struct Sum {
    size: u64,
    crc32: crc32fast::Hasher,
}

impl Sum {
    pub fn add(&mut self, data: &[u8]) {
        self.size += data.len() as u64;
        self.crc32.update(data);
    }

    pub fn add_hole(&mut self, size: u64) {
        self.size = self.size.saturating_add(size);
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn trailer(&self) -> FileTrailer {
        FileTrailer { size: self.size, crc32: self.crc32.clone().finalize() }
    }

    /// Whether this is what the sender says it sent.
    pub fn check(&self, sent: &FileTrailer) -> Result<(), Status> {
        let ours = self.trailer();
        if ours == *sent {
            return Ok(());
        }
        let message = format!(
            "damaged on the way: {} bytes with checksum {:08x} were sent, {} with {:08x} arrived",
            sent.size, sent.crc32, ours.size, ours.crc32
        );
        Err(Status::new(Code::DataLoss, "checksum", message))
    }
}

/// The error of an upload that ended without its trailer.
pub fn short_body() -> Status {
    Status::new(Code::DataLoss, "short-body", "the upload ended before its trailer; the old content stays")
}

/// The error of an upload with something else than its content in it.
pub fn no_content() -> Status {
    Status::invalid("bad-message", "neither data, a hole nor a trailer came after the header")
}
