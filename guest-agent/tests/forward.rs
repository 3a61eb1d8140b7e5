// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use support::{Agent, Call, Client, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use vm_agent::r#gen::agent::{
    ForwardRequest, ForwardResponse, ForwardStart, TcpTarget, UnixTarget, forward_request::Request,
    forward_response::Response, forward_start::Target,
};

fn tcp(host: &str, port: u32) -> Option<Target> {
    Some(Target::Tcp(TcpTarget { host: host.into(), port }))
}

fn unix(path: String) -> Option<Target> {
    Some(Target::Unix(UnixTarget { path, ..UnixTarget::default() }))
}

async fn forward(client: &mut Client, target: Option<Target>) -> Call {
    let mut call = client.call("Forward").await;
    call.send(&ForwardRequest { request: Some(Request::Start(ForwardStart { target })) }).await;
    call
}

async fn send(call: &mut Call, data: &'static [u8]) {
    call.send(&ForwardRequest { request: Some(Request::Data(Bytes::from_static(data))) }).await;
}

async fn next(call: &mut Call) -> Option<Response> {
    call.next::<ForwardResponse>().await.map(|message| message.response.unwrap())
}

/// All bytes up to the socket's end.
async fn read_to_end(call: &mut Call) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match next(call).await.expect("the call ended before the socket") {
            Response::Data(data) => bytes.extend_from_slice(&data),
            Response::End(_) => return bytes,
            Response::Connected(_) => {}
        }
    }
}

async fn refusal(client: &mut Client, target: Option<Target>) -> String {
    let mut call = forward(client, target).await;
    assert!(next(&mut call).await.is_none());
    call.end().reason
}

#[test]
fn bytes_go_both_ways_and_each_end_is_carried_through() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut call = forward(&mut client, tcp("localhost", port.into())).await;
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(matches!(next(&mut call).await, Some(Response::Connected(_))));
        send(&mut call, b"question").await;
        let mut question = [0; 8];
        server.read_exact(&mut question).await.unwrap();
        // The server ends its direction first, and still hears the rest.
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut call).await, b"answer");
        send(&mut call, b"rest").await;
        call.half_close();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&question, &*rest), (b"question", &b"rest"[..]));
        assert!(next(&mut call).await.is_none());
        assert_eq!(call.end().code, 0);
    });
}

#[test]
fn unix_socket_is_reached_by_its_path_and_much_arrives_whole() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("service.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut call = forward(&mut client, unix(path)).await;
        call.half_close();
        let (mut server, _) = listener.accept().await.unwrap();
        let serving = tokio::task::spawn_local(async move {
            server.write_all(&vec![b'x'; 10_000_000]).await.unwrap();
        });
        assert_eq!(read_to_end(&mut call).await.len(), 10_000_000);
        serving.await.unwrap();
    });
}

#[test]
fn socket_that_nobody_reads_stops_the_client() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut call = forward(&mut client, tcp("127.0.0.1", listener.local_addr().unwrap().port().into())).await;
        let (_server, _) = listener.accept().await.unwrap();
        let chunk = ForwardRequest { request: Some(Request::Data(vec![0; 1_000_000].into())) };
        let chunk = vm_agent::rpc::frame::encode(&chunk);
        let mut sent = 0;
        let endless = async {
            while call.try_send(chunk.clone()).await.is_ok() {
                sent += 1;
            }
        };
        assert!(tokio::time::timeout(std::time::Duration::from_millis(700), endless).await.is_err());
        assert!(sent < 40, "{sent} MB went nowhere");
        assert_eq!(client.sh("echo other").await.text(), "other\n");
    });
}

#[test]
fn lost_client_closes_the_socket() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let call = forward(&mut client, tcp("127.0.0.1", listener.local_addr().unwrap().port().into())).await;
        let (mut server, _) = listener.accept().await.unwrap();
        drop((call, client));
        let mut rest = Vec::new();
        assert_eq!(server.read_to_end(&mut rest).await.unwrap_or(0), 0);
    });
}

#[test]
fn target_that_cannot_be_reached_is_told_apart_from_one_that_makes_no_sense() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let stale = agent.folder.path("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert_eq!(refusal(&mut client, tcp("127.0.0.1", free.into())).await, "connection-refused");
        assert_eq!(refusal(&mut client, unix(stale)).await, "connection-refused");
        assert_eq!(refusal(&mut client, unix("/no/such/socket".into())).await, "no-such-file");
        assert_eq!(refusal(&mut client, unix("relative".into())).await, "bad-path");
        assert_eq!(refusal(&mut client, tcp("example.test", 80)).await, "bad-target");
        assert_eq!(refusal(&mut client, tcp("", 0)).await, "bad-target");
        assert_eq!(refusal(&mut client, tcp("", 65_536)).await, "bad-target");
        assert_eq!(refusal(&mut client, None).await, "bad-target");
        let root = UnixTarget { root: 7, path: "/x".into() };
        assert_eq!(refusal(&mut client, Some(Target::Unix(root))).await, "bad-root");
    });
}
