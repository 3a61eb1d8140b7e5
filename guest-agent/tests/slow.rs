//! Clients that do nothing, on a clock that jumps ahead whenever nothing else is to be done.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;
use support::{Call, Client, Folder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;
use vm_agent::agent::Agent;
use vm_agent::r#gen::agent::{
    ExecResponse, FileHeader, PutFileHeader, PutFileRequest, PutFileResponse, put_file_request::Request,
};
use vm_agent::protocol::Protocol;

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// An agent within this process, and the other end of its only connection.
fn serve() -> (UnixStream, JoinHandle<()>) {
    serve_as(Protocol::Grpc)
}

fn serve_as(protocol: Protocol) -> (UnixStream, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let agent = Agent::service();
    let mut housekeeping = tokio::task::JoinSet::new();
    vm_agent::serve::start_housekeeping(&agent, &mut housekeeping);
    let serving = tokio::task::spawn_local(async move {
        protocol.serve(&mut theirs, &agent).await;
        drop(housekeeping);
    });
    (ours, serving)
}

#[test]
fn client_without_a_preface_is_hung_up_on() {
    run(async {
        let (mut stream, serving) = serve();
        stream.write_all(b"PRI * HTT").await.unwrap();
        let started = Instant::now();
        serving.await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(9));
        // Its own settings may have been sent; then comes the end.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
}

#[test]
fn call_without_a_first_message_is_given_up_and_the_connection_lives_on() {
    run(async {
        let (stream, _serving) = serve();
        let mut client = Client::over(stream).await;
        for method in ["Info", "Exec", "Forward", "/Agent/Exec"] {
            let mut call = client.call(method).await;
            assert!(call.next::<ExecResponse>().await.is_none());
            assert_eq!((call.end().code, &*call.end().reason), (4, "slow-client"), "{method}");
        }
        assert_eq!(client.sh("echo alive").await.text(), "alive\n");
    });
}

#[test]
fn upload_that_stops_in_the_middle_is_given_up_and_leaves_nothing() {
    run(async {
        let (stream, _serving) = serve();
        let mut client = Client::over(stream).await;
        let folder = Folder::new();
        let mut call: Call = client.call("PutFile").await;
        let file = Some(FileHeader { size: 10, mode: 0o644, ..FileHeader::default() });
        let header = PutFileHeader { path: folder.path("file"), file, ..PutFileHeader::default() };
        call.send(&PutFileRequest { request: Some(Request::Header(header)) }).await;
        call.send(&PutFileRequest { request: Some(Request::Data("half".into())) }).await;
        assert!(call.next::<PutFileResponse>().await.is_none());
        assert_eq!(call.end().reason, "slow-client");
        let empty = || std::fs::read_dir(&folder.0).unwrap().next().is_none();
        support::until("the worker has cleaned up", empty).await;
    });
}

#[test]
fn smolvm_client_without_a_whole_request_is_hung_up_on() {
    run(async {
        for begun in [&b""[..], &[1, 0], &[1, 0, 0, 1, 0, b'{']] {
            let (mut stream, serving) = serve_as(Protocol::SmolVm);
            stream.write_all(begun).await.unwrap();
            let started = Instant::now();
            serving.await.unwrap();
            assert!(started.elapsed() >= Duration::from_secs(9));
            let mut said = Vec::new();
            // A reset is an end, too: what was begun has not been read.
            let _ = stream.read_to_end(&mut said).await;
            assert!(said.is_empty());
        }
    });
}
