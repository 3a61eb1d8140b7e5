//! The reset preamble over a socket pair. In a process of its own: the agent's reaper takes the children of everybody.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use vm_agent::agent::Agent;
use vm_agent::protocol::Protocol;
use vm_agent::reset::serve;
use vm_agent::smolvm::frame;

const MAGIC: &[u8] = b"\xff\x74\x45\xd0\x1c\x5d\x6b\xa4\x42\xf6\x08\x54\x3c\xa0\xf7\x7a";
const VERSION: u8 = 1;

fn preamble(version: u8, nonce: u8) -> Vec<u8> {
    [MAGIC, &[version], &[nonce; 16]].concat()
}

fn smolvm(json: &str) -> Vec<u8> {
    [&[1, 0, 0, 0, json.len() as u8], json.as_bytes()].concat()
}

/// Runs the channel over a socket pair and returns the client's end.
fn with_channel<F: Future<Output = ()>>(client: impl FnOnce(tokio::net::UnixStream) -> F) {
    with_channel_of(Protocol::Grpc, client);
}

fn with_channel_of<F: Future<Output = ()>>(protocol: Protocol, client: impl FnOnce(tokio::net::UnixStream) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let agent = Agent::service();
        let mut housekeeping = tokio::task::JoinSet::new();
        vm_agent::serve::start_housekeeping(&agent, &mut housekeeping);
        let server = tokio::task::spawn_local(async move { serve(&mut theirs, protocol, &agent).await });
        client(ours).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), server).await;
        assert!(ended.unwrap().unwrap().is_err());
    });
}

async fn expect_answer(stream: &mut tokio::net::UnixStream, nonce: u8) {
    let wanted = preamble(VERSION, nonce);
    let mut seen = Vec::new();
    let deadline = std::time::Duration::from_secs(10);
    while !seen.ends_with(&wanted) {
        let byte = tokio::time::timeout(deadline, stream.read_u8()).await.unwrap().unwrap();
        seen.push(byte);
    }
}

#[test]
fn answer_echoes_the_nonce_with_our_version_and_looks_on_after_an_unknown_version() {
    with_channel(async |mut stream| {
        stream.write_all(b"stale bytes").await.unwrap();
        stream.write_all(&preamble(9, 4)).await.unwrap();
        expect_answer(&mut stream, 4).await;
        stream.write_all(&preamble(1, 5)).await.unwrap();
        expect_answer(&mut stream, 5).await;
    });
}

#[test]
fn preamble_in_an_open_session_starts_the_next_one() {
    with_channel(async |mut stream| {
        for nonce in 1..4 {
            stream.write_all(&preamble(1, nonce)).await.unwrap();
            expect_answer(&mut stream, nonce).await;
            let (client, connection) = h2::client::handshake(Uncloseable(&mut stream)).await.unwrap();
            let mut client = client.ready().await.unwrap();
            let request = http::Request::post("http://agent/no/Such").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            tokio::select! {
                _ = connection => panic!("the connection ended"),
                response = response => assert_eq!(response.unwrap().headers()["grpc-status"], "12"),
            }
        }
    });
}

#[test]
fn session_that_is_not_http2_gives_way_to_the_next_preamble() {
    with_channel(async |mut stream| {
        stream.write_all(&preamble(1, 1)).await.unwrap();
        expect_answer(&mut stream, 1).await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        stream.write_all(&preamble(1, 2)).await.unwrap();
        expect_answer(&mut stream, 2).await;
    });
}

/// The next JSON frame, whatever stands before it.
async fn reply(stream: &mut tokio::net::UnixStream) -> String {
    let deadline = std::time::Duration::from_secs(10);
    loop {
        let kind = tokio::time::timeout(deadline, stream.read_u8()).await.unwrap().unwrap();
        let mut payload = vec![0; stream.read_u32().await.unwrap() as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if kind == frame::JSON {
            return String::from_utf8(payload).unwrap();
        }
    }
}

#[test]
fn requests_of_smolvm_come_one_after_the_other() {
    with_channel_of(Protocol::SmolVm, async |mut stream| {
        stream.write_all(b"stale bytes").await.unwrap();
        for _ in 0..3 {
            stream.write_all(&smolvm(r#"{"op":"ping"}"#)).await.unwrap();
            assert!(reply(&mut stream).await.contains("pong"));
            // Of an upload that did not need it.
            stream.write_all(&[frame::EOF, 0, 0, 0, 0]).await.unwrap();
        }
        // Whole requests that were sent together are not lost either.
        stream.write_all(&smolvm(r#"{"op":"ping"}"#).repeat(2)).await.unwrap();
        assert!(reply(&mut stream).await.contains("pong") && reply(&mut stream).await.contains("pong"));
    });
}

#[test]
fn next_client_of_smolvm_ends_what_the_last_one_runs() {
    with_channel_of(Protocol::SmolVm, async |mut stream| {
        let silent = smolvm(r#"{"op":"run","shell":"raw","cmd":"sleep 1000"}"#);
        for nonce in 1..4 {
            stream.write_all(&silent).await.unwrap();
            stream.write_all(&preamble(1, nonce)).await.unwrap();
            expect_answer(&mut stream, nonce).await;
        }
        // One that does not know the preamble is served all the same.
        stream.write_all(&silent).await.unwrap();
        stream.write_all(&smolvm(r#"{"op":"ping"}"#)).await.unwrap();
        assert!(reply(&mut stream).await.contains("pong"));
    });
}

#[test]
fn garbage_in_a_session_of_smolvm_does_not_stop_the_next_client() {
    with_channel_of(Protocol::SmolVm, async |mut stream| {
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0xff, 0xff, 0xff, 0xff], &[1, 0, 0, 0, 2, b'{', b'{'], &[9; 100]]
        {
            stream.write_all(&smolvm(r#"{"op":"ping"}"#)).await.unwrap();
            assert!(reply(&mut stream).await.contains("pong"));
            stream.write_all(garbage).await.unwrap();
            stream.write_all(&preamble(1, 7)).await.unwrap();
            expect_answer(&mut stream, 7).await;
        }
    });
}

/// A client that is killed says nothing when it goes.
struct Uncloseable<'a>(&'a mut tokio::net::UnixStream);

impl AsyncRead for Uncloseable<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Uncloseable<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
