//! The reset preamble of proto/CHANNEL.md: how a stream without connections gets sessions that cannot be confused.

mod framing;

use crate::agent::Agent;
use crate::protocol::Protocol;
use crate::smolvm::frame;
use bytes::{Buf, BytesMut};
use framing::FrameWatch;
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
pub async fn serve<T>(stream: &mut T, protocol: Protocol, agent: &Rc<Agent>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = BytesMut::new();
    loop {
        if let Start::Preamble(preamble) = next_start(stream, &mut unread, protocol).await? {
            stream.write_all(&preamble.answer()).await?;
            stream.flush().await?;
            if preamble.version != VERSION {
                continue;
            }
        }
        let mut session = Session { stream, unread: &mut unread, frames: FrameWatch::new(protocol), over: false };
        protocol.serve_session(&mut session, agent).await;
    }
}

/// How a session begins.
#[derive(Debug, Eq, PartialEq)]
enum Start {
    Preamble(Preamble),
    /// With a request, as SmolVM's protocol has it where there are connections. The request is still unread.
    Request,
}

async fn next_start<T: AsyncRead + Unpin>(
    stream: &mut T,
    unread: &mut BytesMut,
    protocol: Protocol,
) -> io::Result<Start> {
    loop {
        if let Some(start) = take_start(unread, protocol) {
            return Ok(start);
        }
        unread.reserve(READ);
        if stream.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Drops what is before a start, and takes the preamble once it is whole.
fn take_start(unread: &mut BytesMut, protocol: Protocol) -> Option<Start> {
    let may_be_request = |bytes: &[u8]| protocol == Protocol::SmolVm && frame::may_be_request(bytes);
    let may_be_start = |bytes: &[u8]| may_be_magic(bytes) || may_be_request(bytes);
    let start = (0..unread.len()).find(|&at| may_be_start(unread.get(at..).unwrap_or_default()));
    unread.advance(start.unwrap_or(unread.len()));
    if may_be_request(unread) {
        return (unread.len() >= frame::REQUEST_START).then_some(Start::Request);
    }
    let (version, nonce) = unread.first_chunk::<PREAMBLE>()?.get(MAGIC.len()..)?.split_first()?;
    let preamble = Preamble { version: *version, nonce: nonce.try_into().ok()? };
    unread.advance(PREAMBLE);
    Some(Start::Preamble(preamble))
}

fn may_be_magic(bytes: &[u8]) -> bool {
    bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic)
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
