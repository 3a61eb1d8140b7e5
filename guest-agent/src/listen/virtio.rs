//! A virtio-serial port: a character device that looks like a pipe, and what it takes to see clients come and go on it.

use crate::agent::Agent;
use crate::protocol::Protocol;
use crate::reset;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::time::{Sleep, sleep};

/// After a template was loaded a client's bytes can come before the port says that it is open; until then the port looks
/// hung up, and a client that is really gone is noticed this much later.
const OPEN_GRACE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(20);

/// Serves client after client on the port with this name, for ever. Waits for the port when it is not there yet.
pub async fn serve(name: &str, protocol: Protocol, agent: &Rc<Agent>) -> Result<(), String> {
    let device = loop {
        match find(Path::new("/sys/class/virtio-ports"), name) {
            Some(device) => break device,
            None => sleep(RETRY).await,
        }
    };
    let mut port = open(&device).map_err(|error| format!("cannot use the virtio-serial port: {name}: {error}"))?;
    loop {
        // An end of one client is the wait for the next.
        let _ = reset::serve(&mut port, protocol, agent).await;
    }
}

fn open(device: &Path) -> io::Result<Port> {
    let file = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(device)?;
    Port::new(file.into())
}

fn find(class: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(class).ok()?.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("name")).ok()?;
        (found.trim_end() == name).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

/// What is known of the other side.
enum Client {
    Absent,
    /// Bytes came, but the port did not say yet that somebody is there.
    Unconfirmed(Option<Pin<Box<Sleep>>>),
    Present,
}

struct Port {
    port: OwnedFd,
    /// The port stands in an epoll instance of its own, edge-triggered: the runtime takes a hang-up as final and would
    /// never sleep again, yet here it only means that nobody is connected at the moment.
    edges: AsyncFd<OwnedFd>,
    client: Client,
}

impl Port {
    fn new(port: OwnedFd) -> io::Result<Self> {
        // SAFETY: a plain system call.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: 0 };
        // SAFETY: both descriptors are open, and the event outlives the call.
        if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, port.as_raw_fd(), &raw mut event) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is owned, so it stays open and the same until the AsyncFd is dropped.
        let edges = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }?;
        Ok(Self { port, edges, client: Client::Absent })
    }

    /// Ready after something changed at the port since the last call.
    fn poll_edge(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.edges.poll_read_ready(context))?;
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for the one event that can come.
        unsafe { libc::epoll_wait(self.edges.as_raw_fd(), &raw mut event, 1, 0) };
        guard.clear_ready();
        // Reading and writing share this one edge and the task; whoever did not see it must be polled again.
        context.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }

    /// Whether an apparent hang-up is one. If it may not be, the task is woken when the grace is over.
    fn hung_up(&mut self, context: &mut Context<'_>) -> bool {
        let over = match &mut self.client {
            Client::Absent => return false,
            Client::Present => true,
            Client::Unconfirmed(grace) => {
                let grace = grace.get_or_insert_with(|| Box::pin(sleep(OPEN_GRACE)));
                grace.as_mut().poll(context).is_ready()
            }
        };
        if over {
            self.client = Client::Absent;
        }
        over
    }

    fn looks_hung_up(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.port.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one entry, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) };
        poll.revents & libc::POLLHUP != 0
    }
}

impl AsyncRead for Port {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let port = self.get_mut();
        loop {
            let free = buffer.initialize_unfilled();
            // SAFETY: the pointer and length describe writable memory that `free` borrows.
            let count = unsafe { libc::read(port.port.as_raw_fd(), free.as_mut_ptr().cast(), free.len()) };
            match usize::try_from(count) {
                // Nobody is connected, and nothing is left of who was.
                Ok(0) => {
                    if port.hung_up(context) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Ok(count) => {
                    if matches!(port.client, Client::Absent) {
                        port.client = Client::Unconfirmed(None);
                    }
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => port.client = Client::Present,
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Poll::Ready(Err(error)),
                },
            }
            ready!(port.poll_edge(context))?;
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let port = self.get_mut();
        loop {
            // SAFETY: the pointer and length describe readable memory that `bytes` borrows.
            let count = unsafe { libc::write(port.port.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
            if let Ok(count) = usize::try_from(count) {
                port.client = Client::Present;
                return Poll::Ready(Ok(count));
            }
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => {
                    let absent = matches!(port.client, Client::Absent);
                    if port.looks_hung_up() && (absent || port.hung_up(context)) {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    }
                }
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Poll::Ready(Err(error)),
            }
            ready!(port.poll_edge(context))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
