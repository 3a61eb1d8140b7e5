//! HTTP/2 writes and flushes every frame by itself. This gathers what is written in one turn, since each write to a
//! virtio-serial port leaves the guest.

use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that a virtio-serial port takes with one write.
const MOST: usize = 32 << 10;
/// A turn that writes less than this has no bulk data, and what it writes leaves at once.
const BULK: usize = 4 << 10;

/// A transport for HTTP/2, which reads at every turn of its task: what a turn left is written by the next one.
pub struct Gather<T> {
    transport: T,
    waiting: BytesMut,
    /// How many bytes this turn has written.
    turn: usize,
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    pub fn new(transport: T) -> Self {
        Self { transport, waiting: BytesMut::new(), turn: 0 }
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.transport).poll_write(context, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.waiting.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gather = self.get_mut();
        gather.turn = 0;
        // A client that does not read must be heard all the same; the transport wakes this task when it takes more.
        if let Poll::Ready(Err(error)) = gather.poll_empty(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut gather.transport).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let gather = self.get_mut();
        if gather.waiting.len() >= MOST {
            ready!(gather.poll_empty(context))?;
        }
        let count = bytes.len().min(MOST - gather.waiting.len());
        gather.waiting.extend_from_slice(bytes.get(..count).unwrap_or_default());
        gather.turn = gather.turn.saturating_add(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gather = self.get_mut();
        if gather.turn >= BULK {
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(gather.poll_empty(context))?;
        Pin::new(&mut gather.transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gather = self.get_mut();
        ready!(gather.poll_empty(context))?;
        Pin::new(&mut gather.transport).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Keeps the size of each write; nothing can be read from it.
    #[derive(Default)]
    struct Writes(Vec<usize>);

    impl AsyncRead for Writes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_leave_together_when_the_next_turn_reads() {
        let mut gather = Gather::new(Writes::default());
        for _ in 0..3 {
            gather.write_all(&[0; 9]).await.unwrap();
            gather.write_all(&[0; 16 << 10]).await.unwrap();
            gather.flush().await.unwrap();
        }
        assert_eq!(gather.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(gather.transport.0, [MOST, 3 * (9 + (16 << 10)) - MOST]);
    }

    #[tokio::test]
    async fn a_small_write_leaves_when_it_is_flushed() {
        let mut gather = Gather::new(Writes::default());
        gather.write_all(&[0; 100]).await.unwrap();
        gather.flush().await.unwrap();
        assert_eq!(gather.transport.0, [100]);
    }
}
