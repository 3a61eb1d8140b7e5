//! A listening socket, of whatever family: each connection is a client.

use super::Cid;
use crate::agent::Agent;
use crate::nonblocking::{NonBlocking, set_nonblocking};
use crate::protocol::Protocol;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

/// How many clients a listener serves at once. Further ones wait in the kernel's queue until one of these leaves.
const MAX_CLIENTS: usize = 64;
/// How many wait there.
pub const BACKLOG: i32 = 128;
/// Out of descriptors or memory: the next try comes when some may be free again, not in a busy loop.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    from: Cid,
}

impl Listener {
    /// `from` is looked at for vsock connections only: a unix socket is guarded by its file.
    pub fn new(socket: OwnedFd, from: Cid) -> io::Result<Self> {
        set_nonblocking(&socket)?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the AsyncFd is dropped.
        Ok(Self { socket: unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?, from })
    }

    /// Serves for ever.
    pub async fn serve(&self, protocol: Protocol, agent: &Rc<Agent>) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                    Ok(Some(mut client)) => {
                        let agent = Rc::clone(agent);
                        clients.spawn_local(async move { protocol.serve(&mut client, &agent).await });
                    }
                    Ok(None) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }

    /// The next client, or none when who came may not.
    async fn accept(&self) -> io::Result<Option<NonBlocking>> {
        loop {
            let mut guard = self.socket.readable().await?;
            let Ok(accepted) = guard.try_io(|socket| accept_once(socket.as_raw_fd())) else { continue };
            let (client, peer) = accepted?;
            return if peer.is_none_or(|cid| self.from.takes(cid)) {
                NonBlocking::both(client).map(Some)
            } else {
                Ok(None)
            };
        }
    }
}

/// A connection, and the other side's CID when it is a vsock connection.
fn accept_once(socket: i32) -> io::Result<(OwnedFd, Option<u32>)> {
    // SAFETY: all zero is a valid sockaddr_vm.
    let mut peer: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: the address and its length outlive the call, which cuts longer addresses of other families.
    let client = unsafe { libc::accept4(socket, (&raw mut peer).cast(), &raw mut length, libc::SOCK_CLOEXEC) };
    if client < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let client = unsafe { OwnedFd::from_raw_fd(client) };
    let is_vsock = i32::from(peer.svm_family) == libc::AF_VSOCK;
    Ok((client, is_vsock.then_some(peer.svm_cid)))
}
