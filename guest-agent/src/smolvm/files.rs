//! `put_file` and `get_file`: frames between the client and a worker process, which speaks the same protocol.

use super::client::{Client, Reader, Writer};
use super::frame::{self, Header};
use super::request::Request;
use crate::agent::Agent;
use crate::r#gen::agent::Root;
use crate::nonblocking::NonBlocking;
use crate::process::reap::Ended;
use crate::service::files::{self, Worker};
use crate::worker;
use bytes::BytesMut;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// How long an upload may be silent.
const STALL_DEADLINE: Duration = Duration::from_secs(20);
/// A worker says one line.
const LONGEST_LINE: usize = 8 << 10;

pub async fn get(client: &mut Client<'_>, agent: &Rc<Agent>, request: &Request) -> io::Result<()> {
    let mut worker = match start(agent, "smolvm-get-file") {
        Ok(worker) => worker,
        Err(sentence) => return client.refuse(&sentence).await,
    };
    let input = worker.input.take();
    pass_on(&input, &frame::request(request)).await;
    drop(input);
    let is_whole = tokio::select! {
        relayed = relay(&mut worker, &mut client.writer) => relayed?,
        () = client.reader.gone() => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    finish(worker, is_whole, client).await
}

pub async fn put(client: &mut Client<'_>, agent: &Rc<Agent>, request: &Request) -> io::Result<()> {
    let size = match request.size() {
        Ok(size) => size,
        Err(sentence) => return client.refuse(&format!("agent error: {sentence}")).await,
    };
    let mut worker = start(agent, "smolvm-put-file");
    let input = worker.as_mut().ok().and_then(|worker| worker.input.take());
    pass_on(&input, &frame::request(request)).await;
    let uploaded = upload(&mut client.reader, size, &input).await;
    // To the worker an upload that is not whole by now is a short one.
    drop(input);
    match uploaded.as_ref().map_err(io::Error::kind) {
        // The client may have closed its half only, and then reads why.
        Ok(()) | Err(io::ErrorKind::UnexpectedEof) => {}
        Err(io::ErrorKind::TimedOut) => {
            let seconds = STALL_DEADLINE.as_secs();
            client.refuse(&format!("the upload stalled: nothing came for {seconds} s; the old file stays")).await?;
            return uploaded;
        }
        Err(_) => return uploaded,
    }
    match worker {
        Ok(mut worker) => {
            let is_whole = relay(&mut worker, &mut client.writer).await?;
            finish(worker, is_whole, client).await?;
        }
        Err(sentence) => client.refuse(&sentence).await?,
    }
    uploaded
}

fn start(agent: &Rc<Agent>, method: &str) -> Result<Worker, String> {
    agent.root(Root::Image).map_err(|status| format!("agent error: {}", status.message))?;
    let roots = files::roots(agent);
    let worker = Worker::start(agent, &[method, &roots.image, &roots.base]);
    worker.map_err(|error| format!("agent error: cannot start a file worker: {error}"))
}

/// Takes an upload to its end, also when the worker does not want it any more: the client reads the reply only then.
async fn upload(reader: &mut Reader<'_>, size: u64, input: &Option<NonBlocking>) -> io::Result<()> {
    let mut received = 0;
    while received < size {
        let header = timeout(STALL_DEADLINE, reader.header()).await??;
        if header.kind != frame::DATA {
            // The worker says what is wrong with it. It may be the next request, so it stays unless it is an end.
            pass_on(input, &Header { kind: header.kind, length: 0 }.write()).await;
            if header.kind == frame::EOF {
                reader.take_header();
            }
            return Ok(());
        }
        reader.take_header();
        pass_on(input, &header.write()).await;
        let mut left = header.length;
        while left > 0 {
            let piece = timeout(STALL_DEADLINE, reader.piece(left)).await??;
            pass_on(input, &piece).await;
            left = left.saturating_sub(piece.len());
        }
        received += header.length as u64;
    }
    Ok(())
}

/// A worker that ended early has said why, or is found dead later.
async fn pass_on(input: &Option<NonBlocking>, bytes: &[u8]) {
    if let Some(input) = input {
        let _ = input.write_all(bytes).await;
    }
}

/// Passes the worker's frames on, and says whether the last one was among them. One that it could not finish is left out.
async fn relay(worker: &mut Worker, client: &mut Writer<'_>) -> io::Result<bool> {
    let mut answers = Reader::new(Box::new(&mut worker.output));
    while let Ok(header) = answers.header().await {
        answers.take_header();
        let Ok(payload) = answers.payload(header.length).await else { break };
        client.send_in_time(header.kind, &payload).await?;
        if is_last(header.kind, &payload) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of all JSON frames only the header of a download has something after it.
fn is_last(kind: u8, payload: &[u8]) -> bool {
    let is_header = || frame::object(payload).is_some_and(|reply| !reply.get("size").is_null());
    kind == frame::EOF || (kind == frame::JSON && !is_header())
}

/// Says what a worker that failed could not say itself.
async fn finish(mut worker: Worker, is_whole: bool, client: &mut Client<'_>) -> io::Result<()> {
    let ended = (&mut worker.end).await;
    worker.hold.let_go();
    let mut line = BytesMut::new();
    match ended {
        _ if is_whole => Ok(()),
        Ok(Ended { signal: 0, .. }) => {
            // Whatever there is to read is there by now.
            worker.errors.read(&mut line, LONGEST_LINE).await?;
            let status = worker::parse_refusal(&String::from_utf8_lossy(&line));
            client.refuse(&format!("agent error: {}", status.message)).await
        }
        _ => client.refuse("agent error: the file worker was killed; see the guest's console").await,
    }
}
