//! A worker without its agent: one request in, its messages out.

use prost::Message;
use std::io::Write;
use std::process::{Command, Stdio};
use vm_agent::rpc::frame::{Decoder, encode};

/// The messages of a worker with these arguments, or the line that says why not.
pub fn work<Response: Message + Default>(arguments: &[&str], request: &impl Message) -> Result<Vec<Response>, String> {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_vm-agent"))
        .arg("worker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses at once does not read it.
    let _ = worker.stdin.take().unwrap().write_all(&encode(request));
    let output = worker.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let mut decoder = Decoder::default();
    decoder.feed(&output.stdout);
    let mut messages = Vec::new();
    while let Some(message) = decoder.next_message().unwrap() {
        messages.push(Response::decode(message).unwrap());
    }
    Ok(messages)
}
