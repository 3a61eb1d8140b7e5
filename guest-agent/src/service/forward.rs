//! `Forward`: a pipe of bytes to a socket in the guest.

use crate::agent::Agent;
use crate::r#gen::agent::{
    ForwardConnected, ForwardEnd, ForwardRequest, ForwardResponse, TcpTarget, UnixTarget, forward_request,
    forward_response, forward_start,
};
use crate::nonblocking::NonBlocking;
use crate::root;
use crate::rpc::frame;
use crate::rpc::receiver::{Receiver, decode};
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use bytes::BytesMut;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const READ: usize = 64 << 10;
/// Field of the bytes in ForwardResponse.
const DATA: u8 = 2;

pub async fn answer(agent: &Agent, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let first: Option<ForwardRequest> = requests.first().await?;
    let Some(forward_request::Request::Start(start)) = first.and_then(|first| first.request) else {
        return Err(Status::invalid("no-start", "the first message is not a start; send ForwardStart first"));
    };
    let socket = match start.target {
        Some(forward_start::Target::Tcp(target)) => tcp(&target).await?,
        Some(forward_start::Target::Unix(target)) => unix(agent, &target).await?,
        None => return Err(Status::invalid("bad-target", "no target: neither tcp nor unix is set; set one")),
    };
    let connected = forward_response::Response::Connected(ForwardConnected {});
    responses.message(&ForwardResponse { response: Some(connected) }).await?;
    let ((), ()) = tokio::try_join!(out(&socket, responses), into(&socket, requests))?;
    Ok(())
}

async fn tcp(target: &TcpTarget) -> Result<NonBlocking, Status> {
    let bad = |what: String| Status::invalid("bad-target", what);
    let port = u16::try_from(target.port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| bad(format!("not a port: {}; use 1 to 65535", target.port)))?;
    let hosts = match target.host.as_str() {
        "" | "localhost" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        host => vec![host.parse().map_err(|_| bad(format!("not an address: {host:?}; use an IP or localhost")))?],
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for host in hosts {
        match connected(TcpStream::connect((host, port))).await {
            Ok(stream) => return adopt(stream.into_std()),
            Err(error) => failure = error,
        }
    }
    Err(refused(&failure, &format!("{}:{port}", target.host)))
}

async fn unix(agent: &Agent, target: &UnixTarget) -> Result<NonBlocking, Status> {
    let root = agent.root(root::named(target.root)?)?.path;
    if !target.path.starts_with('/') {
        return Err(Status::invalid("bad-path", format!("the socket is not an absolute path: {:?}", target.path)));
    }
    let place = root::open_path(&root, target.path.trim_start_matches('/'));
    let place = place.map_err(|error| Status::from_io(&error, &target.path))?;
    // By the open file, so that a link in the image's root cannot lead out of it.
    let stream = connected(UnixStream::connect(format!("/proc/self/fd/{}", place.as_raw_fd()))).await;
    adopt(stream.map_err(|error| refused(&error, &target.path))?.into_std())
}

async fn connected<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_DEADLINE, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn adopt(stream: io::Result<impl Into<OwnedFd>>) -> Result<NonBlocking, Status> {
    let socket = stream.and_then(|stream| NonBlocking::both(stream.into()));
    socket.map_err(|error| Status::from_io(&error, "the socket"))
}

fn refused(error: &io::Error, subject: &str) -> Status {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            let message = format!("connection refused: {subject}; nothing listens there in the guest");
            Status::new(Code::FailedPrecondition, "connection-refused", message)
        }
        io::ErrorKind::TimedOut => {
            let message = format!("no connection within {} s: {subject}", CONNECT_DEADLINE.as_secs());
            Status::new(Code::FailedPrecondition, "connection-refused", message)
        }
        _ => Status::from_io(error, subject),
    }
}

/// From the socket to the client, to the socket's end.
async fn out(socket: &NonBlocking, responses: &mut Sender) -> Result<(), Status> {
    let mut buffer = BytesMut::new();
    loop {
        let count = tokio::select! {
            () = responses.gone() => return Err(Status::gone()),
            read = socket.read(&mut buffer, READ) => read.map_err(|error| Status::from_io(&error, "the socket"))?,
        };
        if count == 0 {
            let end = forward_response::Response::End(ForwardEnd {});
            return Ok(responses.message(&ForwardResponse { response: Some(end) }).await?);
        }
        let data = buffer.split().freeze();
        responses.payload(frame::encode_payload_header(DATA, false, data.len()), data).await?;
    }
}

/// From the client to the socket, to the client's half-close.
async fn into(socket: &NonBlocking, requests: &mut Receiver) -> Result<(), Status> {
    while let Some(received) = requests.next().await? {
        let request: ForwardRequest = decode(received.message)?;
        match request.request {
            Some(forward_request::Request::Data(data)) => {
                socket.write_all(&data).await.map_err(|error| Status::from_io(&error, "the socket"))?;
            }
            Some(forward_request::Request::Start(_)) => {
                return Err(Status::invalid("second-start", "a socket is connected already; use a call of its own"));
            }
            None => {}
        }
        // Only now, so that a slow socket stops the client and not the agent's memory.
        requests.release(received.window);
    }
    // SAFETY: plain system call. A socket that is closed already has nothing to end.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
    Ok(())
}
