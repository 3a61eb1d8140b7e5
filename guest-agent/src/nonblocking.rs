//! A pipe, socket or terminal that never blocks the one thread there is.

use bytes::BytesMut;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

pub struct NonBlocking {
    fd: AsyncFd<OwnedFd>,
}

impl NonBlocking {
    pub fn readable(fd: OwnedFd) -> io::Result<Self> {
        Self::new(fd, Interest::READABLE)
    }

    pub fn writable(fd: OwnedFd) -> io::Result<Self> {
        Self::new(fd, Interest::WRITABLE)
    }

    pub fn both(fd: OwnedFd) -> io::Result<Self> {
        Self::new(fd, Interest::READABLE | Interest::WRITABLE)
    }

    fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the AsyncFd is dropped.
        Ok(Self { fd: unsafe { AsyncFd::register_with_interest(fd, interest) }? })
    }

    pub fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Reads at most `most` bytes once into the free part of the buffer, which is made that large when there is something to
    /// read and less than a quarter of it is left: what was read is sent on without copying and holds all of its buffer. 0
    /// is the end. May be dropped and called again without losing bytes.
    pub async fn read(&self, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
        loop {
            let mut guard = self.fd.readable().await?;
            if buffer.capacity() - buffer.len() < most.div_ceil(4) {
                buffer.reserve(most);
            }
            let result = guard.try_io(|fd| {
                let free = buffer.spare_capacity_mut();
                // SAFETY: the pointer and length describe writable memory that `free` borrows.
                cvt(unsafe { libc::read(fd.as_raw_fd(), free.as_mut_ptr().cast(), free.len().min(most)) })
            });
            let Ok(result) = result else { continue };
            let count = match result {
                // What a terminal's master says when the last program has closed it.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
                other => other?,
            };
            // SAFETY: the kernel has just written `count` bytes behind the current length.
            unsafe { buffer.set_len(buffer.len() + count) };
            return Ok(count);
        }
    }

    /// Writes once. May be dropped and called again: nothing was written then.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.fd.writable().await?;
            if let Ok(result) = guard.try_io(|fd| write_once(fd.as_raw_fd(), bytes)) {
                return result;
            }
        }
    }

    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

impl AsyncRead for NonBlocking {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(context))?;
            let free = buffer.initialize_unfilled();
            // SAFETY: the pointer and length describe writable memory that `free` borrows.
            let mut read = || cvt(unsafe { libc::read(self.fd.as_raw_fd(), free.as_mut_ptr().cast(), free.len()) });
            if let Ok(result) = guard.try_io(|_| read()) {
                buffer.advance(result?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for NonBlocking {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(context))?;
            if let Ok(result) = guard.try_io(|fd| write_once(fd.as_raw_fd(), bytes)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(context))?;
            let count = i32::try_from(parts.len()).unwrap_or(1).min(libc::UIO_MAXIOV);
            // SAFETY: an IoSlice is an iovec, and `parts` borrows the memory that all of them describe.
            let write = || cvt(unsafe { libc::writev(self.fd.as_raw_fd(), parts.as_ptr().cast(), count) });
            if let Ok(result) = guard.try_io(|_| write()) {
                return Poll::Ready(result);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only sockets have halves. What is none, or is not connected any more, has nothing left to end.
        // SAFETY: plain system call.
        unsafe { libc::shutdown(self.fd.as_raw_fd(), libc::SHUT_WR) };
        Poll::Ready(Ok(()))
    }
}

pub fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: plain system calls on an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if flags < 0 || result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn write_once(fd: i32, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe readable memory that `bytes` borrows.
    cvt(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

fn cvt(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
