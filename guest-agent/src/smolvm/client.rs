//! Frames from and to a peer, whole ones whatever is cancelled in between.

use super::frame::{self, Header, MAX_PAYLOAD};
use super::request::Request;
use crate::process::output::Sink;
use crate::protocol::Duplex;
use crate::rpc::sender::Gone;
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

const READ: usize = 16 << 10;
/// How long a peer that does not read holds up a reply. What a program prints has no such bound: whoever runs it may stop to
/// look at it.
const REPLY_DEADLINE: Duration = Duration::from_secs(20);

pub struct Client<'a> {
    pub reader: Reader<'a>,
    pub writer: Writer<'a>,
}

impl<'a> Client<'a> {
    pub fn new(stream: &'a mut dyn Duplex) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        Self {
            reader: Reader::new(Box::new(reading)),
            writer: Writer { target: Box::new(writing), pending: BytesMut::new() },
        }
    }

    pub async fn reply(&mut self, reply: &Value) -> io::Result<()> {
        self.writer.reply(reply).await
    }

    pub async fn refuse(&mut self, sentence: &str) -> io::Result<()> {
        self.reply(&frame::refusal(sentence)).await
    }
}

pub struct Reader<'a> {
    source: Box<dyn AsyncRead + Unpin + 'a>,
    buffer: BytesMut,
}

impl<'a> Reader<'a> {
    pub fn new(source: Box<dyn AsyncRead + Unpin + 'a>) -> Self {
        Self { source, buffer: BytesMut::new() }
    }

    /// Waits for bytes that were not taken yet.
    pub async fn wait(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { self.fill().await } else { Ok(()) }
    }

    /// The next frame's header, which stays the next one until it is taken. May be dropped and called again.
    pub async fn header(&mut self) -> io::Result<Header> {
        loop {
            match Header::read(&self.buffer) {
                Some(header) if header.length > MAX_PAYLOAD => return Err(io::ErrorKind::InvalidData.into()),
                Some(header) => return Ok(header),
                None => self.fill().await?,
            }
        }
    }

    pub fn take_header(&mut self) {
        self.buffer.advance(frame::HEADER.min(self.buffer.len()));
    }

    /// The payload's next bytes, at least one of them.
    pub async fn piece(&mut self, left: usize) -> io::Result<Bytes> {
        self.wait().await?;
        Ok(self.buffer.split_to(left.min(self.buffer.len())).freeze())
    }

    /// The whole payload. Memory is taken as bytes come, not as they are announced.
    pub async fn payload(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// A JSON object, or an error for whatever else is there; `FileTooLarge` for one that is not even looked at.
    pub async fn request(&mut self) -> io::Result<Request> {
        let header = self.header().await?;
        if header.kind != frame::JSON {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if header.length > frame::MAX_REQUEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.take_header();
        frame::object(&self.payload(header.length).await?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Takes the next frame if it is an end, and says whether it was.
    pub async fn skip_end(&mut self) -> io::Result<bool> {
        let is_end = self.header().await? == Header { kind: frame::EOF, length: 0 };
        if is_end {
            self.take_header();
        }
        Ok(is_end)
    }

    pub fn is_at_request(&self) -> bool {
        !self.buffer.is_empty() && frame::may_be_request(&self.buffer)
    }

    /// Ready when the client left, or says something that is no part of this request. The end of its half of the connection
    /// counts: a client keeps both until the reply has ended, and a pipe shows no other sign.
    pub async fn gone(&mut self) {
        while let Ok(true) = self.skip_end().await {}
    }

    /// Takes what still comes until the client has closed.
    pub async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ);
        match self.source.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

pub struct Writer<'a> {
    target: Box<dyn AsyncWrite + Unpin + 'a>,
    /// What is left of the frames that are being sent. A cancelled `send` leaves it, and the next one starts with it.
    pending: BytesMut,
}

impl Writer<'_> {
    pub async fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        self.flush().await?;
        self.add(kind, payload);
        self.flush().await
    }

    fn add(&mut self, kind: u8, payload: &[u8]) {
        self.pending.extend_from_slice(&Header { kind, length: payload.len() }.write());
        self.pending.extend_from_slice(payload);
    }

    /// A frame under a deadline.
    pub async fn send_in_time(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        timeout(REPLY_DEADLINE, self.send(kind, payload)).await?
    }

    pub async fn reply(&mut self, reply: &Value) -> io::Result<()> {
        self.send_in_time(frame::JSON, reply.to_string().as_bytes()).await
    }

    pub async fn end(&mut self) -> io::Result<()> {
        self.target.shutdown().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.target.write(&self.pending).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.pending.advance(written),
            }
        }
        Ok(())
    }
}

impl Sink for Writer<'_> {
    type Field = u8;

    /// The reader sees it.
    async fn gone(&mut self) {
        std::future::pending().await
    }

    async fn output(&mut self, field: u8, data: Bytes) -> Result<(), Gone> {
        self.flush().await.map_err(|_| Gone)?;
        // All of it at once, so that nothing is lost when this is dropped.
        data.chunks(frame::CHUNK).for_each(|chunk| self.add(field, chunk));
        self.flush().await.map_err(|_| Gone)
    }
}
