//! A stream in memory whose reads are cut as the input says.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub struct Script<'a> {
    left: &'a [u8],
    /// The most that one read gives.
    most: usize,
    pub written: Vec<u8>,
}

impl<'a> Script<'a> {
    /// The input's first byte says how large reads are, the rest is read.
    pub fn new(input: &'a [u8]) -> Self {
        let (most, left) = input.split_first().unwrap_or((&0, input));
        Self { left, most: usize::from(*most) + 1, written: Vec::new() }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.left
    }
}

impl AsyncRead for Script<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.left.len().min(self.most).min(buffer.remaining());
        let (read, left) = self.left.split_at(count);
        buffer.put_slice(read);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what never has to wait, since its streams are in memory.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("nothing in memory has to be waited for"),
    }
}
