//! The reset preamble of proto/CHANNEL.md: how a stream without connections gets sessions that cannot be confused.

use crate::agent::Agent;
use crate::rpc::server;
use bytes::{Buf, BytesMut};

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

const MAGIC: [u8; 16] =
    [0xff, 0x74, 0x45, 0xd0, 0x1c, 0x5d, 0x6b, 0xa4, 0x42, 0xf6, 0x08, 0x54, 0x3c, 0xa0, 0xf7, 0x7a];
const VERSION: u8 = 1;
const NONCE: usize = 16;
const PREAMBLE: usize = MAGIC.len() + 1 + NONCE;
const READ: usize = 4 << 10;

/// What a client says before HTTP/2 starts.
#[derive(Debug, Eq, PartialEq)]
struct Preamble {
    version: u8,
    nonce: [u8; NONCE],
}

impl Preamble {
    fn answer(&self) -> [u8; PREAMBLE] {
        let mut answer = [VERSION; PREAMBLE];
        let (magic, rest) = answer.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        if let Some(nonce) = rest.last_chunk_mut::<NONCE>() {
            *nonce = self.nonce;
        }
        answer
    }
}

/// Serves client after client on one stream until it ends or breaks.
pub async fn serve<T>(stream: &mut T, agent: &Rc<Agent>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = BytesMut::new();
    loop {
        let preamble = next_preamble(stream, &mut unread).await?;
        stream.write_all(&preamble.answer()).await?;
        stream.flush().await?;
        if preamble.version == VERSION {
            let session = Session { stream, unread: &mut unread, frames: FrameWatch::default(), over: false };
            server::serve(session, Rc::clone(agent)).await;
        }
    }
}

async fn next_preamble<T: AsyncRead + Unpin>(stream: &mut T, unread: &mut BytesMut) -> io::Result<Preamble> {
    loop {
        if let Some(preamble) = take_preamble(unread) {
            return Ok(preamble);
        }
        unread.reserve(READ);
        if stream.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Drops what is before the magic, and takes the preamble once it is whole.
fn take_preamble(unread: &mut BytesMut) -> Option<Preamble> {
    let start = (0..unread.len()).find(|&at| may_be_magic(unread.get(at..).unwrap_or_default()));
    unread.advance(start.unwrap_or(unread.len()));
    let (version, nonce) = unread.first_chunk::<PREAMBLE>()?.get(MAGIC.len()..)?.split_first()?;
    let preamble = Preamble { version: *version, nonce: nonce.try_into().ok()? };
    unread.advance(PREAMBLE);
    Some(preamble)
}

fn may_be_magic(bytes: &[u8]) -> bool {
    bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic)
}

/// Follows the borders of HTTP/2 frames, to see where something begins that cannot be one.
#[derive(Default)]
struct FrameWatch {
    preface: usize,
    header: usize,
    payload: usize,
}

impl FrameWatch {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADER: usize = 9;
    const LENGTH: usize = 3;

    /// How many of the bytes belong to the session. The first one that does not starts what comes after it: no frame's
    /// length may begin with the magic's first byte, and no byte of the client preface equals it.
    fn belonging(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(&expected) = Self::PREFACE.get(self.preface) {
                if byte != expected {
                    return at;
                }
                self.preface += 1;
                at += 1;
            } else if self.header == Self::HEADER && self.payload > 0 {
                let step = self.payload.min(bytes.len() - at);
                self.payload -= step;
                at += step;
            } else {
                if self.header == Self::HEADER {
                    *self = Self { preface: self.preface, header: 0, payload: 0 };
                }
                if self.header == 0 && Some(&byte) == MAGIC.first() {
                    return at;
                }
                if self.header < Self::LENGTH {
                    self.payload = self.payload << 8 | usize::from(byte);
                }
                self.header += 1;
                at += 1;
            }
        }
        at
    }
}

/// One client's part of the stream. It reads as ended as soon as the next client's preamble, or garbage, comes.
struct Session<'a, T> {
    stream: &'a mut T,
    /// Read from the stream and not part of this session, or not looked at yet.
    unread: &'a mut BytesMut,
    frames: FrameWatch,
    over: bool,
}

impl<T: AsyncRead + Unpin> AsyncRead for Session<'_, T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let session = self.get_mut();
        if session.over {
            return Poll::Ready(Ok(()));
        }
        if !session.unread.is_empty() {
            let offered = session.unread.len().min(buffer.remaining());
            let taken = session.frames.belonging(session.unread.get(..offered).unwrap_or_default());
            session.over = taken < offered;
            buffer.put_slice(&session.unread.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *session.stream).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let taken = session.frames.belonging(fresh);
        if let Some(rest @ [_, ..]) = fresh.get(taken..) {
            session.unread.extend_from_slice(rest);
            session.over = true;
            buffer.set_filled(before + taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Session<'_, T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let session = self.get_mut();
        if session.over {
            // The old client's last words must not reach the new one.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut *session.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The stream outlives the session.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "reset_tests.rs"]
mod tests;
