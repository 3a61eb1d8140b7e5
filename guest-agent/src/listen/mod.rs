//! Where clients come from.

mod accept;
mod address;
mod inherited;
mod stdio;
mod unix;
pub mod virtio;
pub mod vsock;

pub use address::{Address, Cid};

use crate::agent::Agent;
use crate::protocol::Protocol;
use accept::Listener;
use inherited::Inherited;
use std::fmt::Display;
use std::rc::Rc;

/// One listener of the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listen {
    pub protocol: Protocol,
    pub address: Address,
}

impl Listen {
    pub fn is_inherited(&self) -> bool {
        matches!(self.address, Address::Fd(_))
    }
}

/// A listener that holds what it listens on, so that every mistake is told before anybody is served.
pub struct Bound {
    protocol: Protocol,
    place: Place,
}

enum Place {
    Virtio(String),
    Socket(Socket),
    Stdio,
    Inherited(Inherited),
}

struct Socket {
    socket: std::os::fd::OwnedFd,
    from: Cid,
    _file: Option<unix::SocketFile>,
}

impl Bound {
    /// To be called before the agent opens descriptors of its own, for those that it was started with.
    pub fn new(listen: &Listen) -> Result<Self, String> {
        let cannot = |what: &dyn Display, error| format!("cannot listen: {what}: {error}");
        let place = match &listen.address {
            Address::Virtio(name) => Place::Virtio(name.clone()),
            Address::Vsock { port, from } => {
                let socket = vsock::bind(*port).map_err(|error| cannot(&format_args!("vsock port {port}"), error))?;
                Place::Socket(Socket { socket, from: *from, _file: None })
            }
            Address::Unix(path) => {
                let (socket, file) = unix::bind(path).map_err(|error| cannot(&path.display(), error))?;
                Place::Socket(Socket { socket, from: Cid::Any, _file: Some(file) })
            }
            Address::Stdio => Place::Stdio,
            Address::Fd(fd) => {
                let inherited =
                    Inherited::take(*fd).map_err(|error| cannot(&format_args!("descriptor {fd}"), error))?;
                Place::Inherited(inherited)
            }
        };
        Ok(Self { protocol: listen.protocol, place })
    }

    /// Serves for ever, or until the only client that can come is gone.
    pub async fn serve(self, agent: &Rc<Agent>) -> Result<(), String> {
        let protocol = self.protocol;
        match self.place {
            Place::Virtio(name) => virtio::serve(&name, protocol, agent).await,
            Place::Socket(Socket { socket, from, _file }) => {
                let listener = Listener::new(socket, from).map_err(|error| format!("cannot listen: {error}"))?;
                listener.serve(protocol, agent).await;
                Ok(())
            }
            Place::Stdio => {
                let served = stdio::serve(protocol, agent).await;
                served.map_err(|error| format!("cannot use standard input and output: {error}"))
            }
            Place::Inherited(inherited) => {
                let served = inherited.serve(protocol, agent).await;
                served.map_err(|error| format!("cannot use the descriptor: {error}"))
            }
        }
    }
}
