//! Who is served when: one request on a connection, one after the other where there are none.

use super::client::Client;
use super::request::Request;
use super::{files, python, run};
use crate::agent::Agent;
use crate::protocol::Duplex;
use serde_json::{Value, json};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// How many requests an agent serves at once. Who comes then waits, unread, until one of these is over.
pub const MAX_REQUESTS: usize = 64;
const PROTOCOL: u32 = 1;
/// How long a request may take to be whole.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to close after the reply. Closing earlier than it could lose what it is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// Serves the one request that a connection is for. What is no request ends it without a reply.
pub async fn serve_connection(stream: &mut dyn Duplex, agent: &Rc<Agent>) {
    let mut client = Client::new(stream);
    if serve_one(&mut client, agent).await.is_ok() {
        // An error means that nobody is there.
        let _ = client.writer.end().await;
        let _ = timeout(LINGER, client.reader.drain()).await;
    }
}

/// Serves requests until the client is gone or sends what is none.
pub async fn serve_session(stream: &mut dyn Duplex, agent: &Rc<Agent>) {
    let mut client = Client::new(stream);
    loop {
        // Between requests a client may be silent for ever: a port has nobody else to serve. An EOF frame is the end of an
        // upload that did not need it.
        let served = match client.reader.wait().await {
            Ok(()) => match timeout(REQUEST_DEADLINE, client.reader.skip_end()).await {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => serve_one(&mut client, agent).await,
                Ok(Err(error)) => Err(error),
                Err(late) => Err(late.into()),
            },
            Err(error) => Err(error),
        };
        if served.is_err() {
            return;
        }
    }
}

async fn serve_one(client: &mut Client<'_>, agent: &Rc<Agent>) -> io::Result<()> {
    let _slot = agent.smolvm_requests.acquire().await.map_err(io::Error::other)?;
    let request = timeout(REQUEST_DEADLINE, client.reader.request()).await??;
    answer(client, agent, &request).await
}

/// An error means that the client cannot be served any more.
async fn answer(client: &mut Client<'_>, agent: &Rc<Agent>, request: &Request) -> io::Result<()> {
    if !request.is_version_1() {
        return client.refuse(&format!("unsupported protocol version {}", python::text(request.get("v")))).await;
    }
    match request.get("op") {
        Value::String(op) if op == "ping" => {
            let version = env!("CARGO_PKG_VERSION");
            let pong = json!({ "ok": true, "op": "pong", "agent_version": version, "proto": PROTOCOL });
            client.reply(&pong).await
        }
        Value::String(op) if op == "run" => run::answer(client, agent, request).await,
        Value::String(op) if op == "put_file" => files::put(client, agent, request).await,
        Value::String(op) if op == "get_file" => files::get(client, agent, request).await,
        other => client.refuse(&format!("unknown op {}", python::repr(other))).await,
    }
}
