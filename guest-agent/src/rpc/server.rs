//! One HTTP/2 connection: bounded in every dimension, each call a task of its own that ends with the connection.

use super::receiver::Receiver;
use super::sender::Sender;
use crate::agent::Agent;
use crate::protocol::Duplex;
use crate::service;
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a peer may be silent before it has to have said the HTTP/2 preface.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 256 << 10;
/// Larger than a stream's, so that a program that does not read its input leaves the other calls their window.
const CONNECTION_WINDOW: u32 = 2 << 20;
const SEND_BUFFER: usize = 128 << 10;
const MAX_STREAMS: u32 = 64;
const MAX_HEADER_LIST: u32 = 16 << 10;
/// The largest frame accepted. The reset preamble relies on it being far below what its magic reads as.
pub const MAX_FRAME: u32 = 64 << 10;

/// Serves one client until it is gone. What its calls started ends when this returns.
pub async fn serve(transport: &mut dyn Duplex, agent: &Rc<Agent>) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADER_LIST);
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE_DEADLINE, builder.handshake::<_, Bytes>(transport)).await else {
        return;
    };
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, response))) = accepted else { return };
                let (head, body) = request.into_parts();
                let agent = Rc::clone(agent);
                calls.spawn_local(async move {
                    service::answer(&agent, head.uri.path(), Receiver::new(body), Sender::new(response)).await;
                });
            }
            Some(_) = calls.join_next() => {}
        }
    }
}
