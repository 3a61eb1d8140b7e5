//! A descriptor that the agent was started with: a listening socket, as service managers pass it, or one client.

use super::Cid;
use super::accept::Listener;
use crate::agent::Agent;
use crate::nonblocking::NonBlocking;
use crate::protocol::Protocol;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

pub struct Inherited {
    fd: OwnedFd,
    listens: bool,
}

impl Inherited {
    /// Takes the descriptor over. To be called once for each number, and before the agent opens anything of its own, which
    /// could get that number.
    pub fn take(number: i32) -> io::Result<Self> {
        // Closed on exec from now on: it is not for the programs that the agent starts.
        // SAFETY: plain system call.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and nothing in this process owns a descriptor that it was started with.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        let listens = socket_option(&fd, libc::SO_ACCEPTCONN) == Some(1);
        // SAFETY: plain system call.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        let is_stream = socket_option(&fd, libc::SO_TYPE).is_none_or(|kind| kind == libc::SOCK_STREAM);
        if flags & libc::O_ACCMODE != libc::O_RDWR || !is_stream {
            return Err(io::Error::other("not a stream that can be read and written"));
        }
        Ok(Self { fd, listens })
    }

    /// Serves for ever when it listens, else until the one client is gone.
    pub async fn serve(self, protocol: Protocol, agent: &Rc<Agent>) -> io::Result<()> {
        if self.listens {
            Listener::new(self.fd, Cid::HOST)?.serve(protocol, agent).await;
        } else {
            protocol.serve(&mut NonBlocking::both(self.fd)?, agent).await;
        }
        Ok(())
    }
}

/// None when it is no socket.
fn socket_option(fd: &OwnedFd, option: i32) -> Option<i32> {
    let mut value = 0;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: value and length outlive the call, and the length is that of the value.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}
