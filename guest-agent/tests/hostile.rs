//! Bytes that no gRPC client would send. The agent answers or hangs up, and lives on.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use support::{Agent, Client, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use vm_agent::r#gen::agent::{InfoRequest, InfoResponse};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

async fn raw(agent: &Agent) -> UnixStream {
    drop(agent.connect().await);
    UnixStream::connect(agent.socket()).await.unwrap()
}

/// Sends bytes and reads until the agent hangs up.
async fn hung_up_after(agent: &Agent, bytes: &[u8]) -> Vec<u8> {
    let mut stream = raw(agent).await;
    // It may hang up in the middle of them.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

async fn lives(agent: &Agent) {
    assert_eq!(agent.connect().await.sh("echo alive").await.text(), "alive\n");
}

#[test]
fn garbage_instead_of_http2_is_hung_up_on() {
    run(async {
        let agent = Agent::start();
        for garbage in [&b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n"[..], &[0xff; 5000], b"\0\0\0\0"] {
            let garbage = [garbage, &[0; 64]].concat();
            hung_up_after(&agent, &garbage).await;
        }
        lives(&agent).await;
    });
}

#[test]
fn frame_larger_than_allowed_is_a_connection_error() {
    run(async {
        let agent = Agent::start();
        let header = b"\xff\xff\xff\x00\x00\x00\x00\x00\x01";
        let answer = hung_up_after(&agent, &[PREFACE, SETTINGS, header, &[0; 4096]].concat()).await;
        // GOAWAY is frame type 7.
        assert!(answer.windows(4).any(|bytes| bytes == [0, 0, 8, 7]), "{answer:?}");
        lives(&agent).await;
    });
}

#[test]
fn headers_without_an_end_are_bounded() {
    run(async {
        let agent = Agent::start();
        // HEADERS on stream 1 without END_HEADERS, then CONTINUATION for ever: a literal header whose value never ends.
        let mut bytes = [PREFACE, SETTINGS, b"\0\0\x01\x01\0\0\0\0\x01\x00"].concat();
        let continuation = [&b"\0\x40\0\x09\0\0\0\0\x01"[..], &[0x00; 16_384]].concat();
        for _ in 0..2000 {
            bytes.extend_from_slice(&continuation);
        }
        hung_up_after(&agent, &bytes).await;
        lives(&agent).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 40_000, "{peak} KiB");
    });
}

#[test]
fn calls_above_the_limit_wait_or_are_refused_and_the_others_go_on() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut calls = Vec::new();
        for _ in 0..64 {
            let mut call = client.start(support::argv(&["sleep", "1000"])).await;
            call.started().await;
            calls.push(call);
        }
        let mut one_more = std::pin::pin!(client.unary::<_, InfoResponse>("Info", &InfoRequest {}));
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut one_more).await;
        assert!(early.is_err(), "a client that keeps to the limit waits");
        drop(calls.pop());
        let info = one_more.await.unwrap();
        assert_eq!(info.protocol, 1);
    });
}

#[test]
fn what_is_not_grpc_gets_a_status() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        for (path, body, reason) in [
            ("/", &b""[..], "unknown-method"),
            ("Info", b"", "no-request"),
            ("Info", b"\0\0\0\0\x05\0", "torn-message"),
            ("Info", b"\x01\0\0\0\0", "compressed"),
            ("Info", b"\0\xff\xff\xff\xff", "message-too-large"),
            ("Resume", b"\0\0\0\0\x02\xff\xff", "bad-message"),
            ("GetTree", b"\0\0\0\0\x02\xff\xff", "bad-message"),
        ] {
            let mut call = client.call(path).await;
            let _ = call.try_send(Bytes::from_static(body)).await;
            call.half_close();
            assert!(call.next::<InfoResponse>().await.is_none());
            assert_eq!(call.end().reason, reason, "{path} {body:?}");
        }
        lives(&agent).await;
        drop(client);
        let mut client = Client::over(raw(&agent).await).await;
        assert_eq!(client.sh("exit 3").await.exit, Some((3, 0)));
    });
}
