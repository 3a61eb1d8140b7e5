//! What is spoken with a client, whichever way it came.

use crate::agent::Agent;
use crate::rpc::server;
use crate::smolvm;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways. As an object, so that a protocol is compiled once and not once for each kind of listener.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    Grpc,
    SmolVm,
}

impl Protocol {
    /// Serves a connection until it is over. What it started ends when this returns.
    pub async fn serve(self, stream: &mut dyn Duplex, agent: &Rc<Agent>) {
        match self {
            Self::Grpc => server::serve(stream, agent).await,
            Self::SmolVm => smolvm::serve_connection(stream, agent).await,
        }
    }

    /// Serves one session on a stream that has no connections.
    pub async fn serve_session(self, stream: &mut dyn Duplex, agent: &Rc<Agent>) {
        match self {
            Self::Grpc => server::serve(stream, agent).await,
            Self::SmolVm => smolvm::serve_session(stream, agent).await,
        }
    }
}
