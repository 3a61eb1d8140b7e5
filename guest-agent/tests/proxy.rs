// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use support::{Agent, Folder, run, until};

fn proxy(address: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vm-agent"))
        .args(["proxy", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A proxy and the connection that it made.
fn connected() -> (Child, UnixStream) {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("s")).unwrap();
    let proxy = proxy(&format!("unix:{}", folder.path("s")));
    (proxy, listener.accept().unwrap().0)
}

#[test]
fn agent_is_reached_through_it() {
    run(async {
        let agent = Agent::start();
        drop(agent.smolvm().await);
        let mut proxy = proxy(&format!("unix:{}", agent.folder.path("smolvm.sock")));
        let mut input = proxy.stdin.take().unwrap();
        input.write_all(&support::smolvm::json(&json!({ "op": "run", "cmd": "echo hi", "shell": "raw" }))).unwrap();
        let mut output = Vec::new();
        // The agent closes after the reply. That ends the proxy while its own input is still open.
        proxy.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        assert!(output.starts_with(&support::smolvm::frame(2, b"hi\n")));
        until("it has ended", || proxy.try_wait().unwrap().is_some()).await;
        assert!(proxy.wait().unwrap().success());
    });
}

#[test]
fn end_of_input_is_passed_on_and_the_answer_still_comes() {
    let (mut proxy, mut socket) = connected();
    let content: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    let sent = content.clone();
    let mut input = proxy.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert!(received == content);
    writing.join().unwrap();
    socket.write_all(b"answer").unwrap();
    drop(socket);
    let output = proxy.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"answer");
    assert!(output.status.success());
}

#[test]
fn end_of_the_other_sides_half_is_passed_on_and_input_still_goes() {
    let (mut proxy, mut socket) = connected();
    socket.write_all(b"all").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut received = Vec::new();
    proxy.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    assert_eq!(received, b"all");
    let mut input = proxy.stdin.take().unwrap();
    input.write_all(b"later").unwrap();
    drop(input);
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"later");
    assert!(proxy.wait().unwrap().success());
}

#[test]
fn connection_that_cannot_be_made_is_named() {
    let output = proxy("unix:/no/such/socket").wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sentence = "vm-agent: cannot connect: /no/such/socket: No such file or directory (os error 2)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), sentence);
    // Nobody has this address, or there is no vsock at all.
    let output = proxy("vsock:4294967294:1").wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("vm-agent: cannot connect: vsock CID 4294967294 port 1: ")
    );
    for wrong in ["tcp:1:2", "vsock:1", "unix:", ""] {
        assert_eq!(proxy(wrong).wait_with_output().unwrap().status.code(), Some(2));
    }
}
