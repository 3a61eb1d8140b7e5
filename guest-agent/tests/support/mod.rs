//! The built agent on a unix socket, and a client for it. Each test file uses a part of it.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod mounts;
mod transfers;
mod upload;

pub use client::{Call, Client, End, Outcome};
pub use mounts::Mount;
pub use transfers::{Download, Piece, get, get_pieces, get_tree, put, put_pieces, put_tree, refusal, trailer_of, tree};
pub use upload::{trailer, upload};

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use vm_agent::r#gen::agent::{Argv, ExecStart, Script, exec_start};

const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a test on its own runtime under a deadline.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new()
        .block_on(&runtime, async { tokio::time::timeout(DEADLINE, test).await.expect("the test hangs") });
}

/// Looks again until it is true.
pub async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_true() {
        assert!(Instant::now() < deadline, "never true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vm-agent-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Agent {
    pub process: Child,
    pub folder: Folder,
}

impl Agent {
    pub fn start() -> Self {
        let folder = Folder::new();
        let address = format!("unix:{}", folder.path("agent.sock"));
        let process = Command::new(env!("CARGO_BIN_EXE_vm-agent"))
            .args(["serve", "--listen", &address])
            .env("TMPDIR", &folder.0)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.0.join("agent.sock")
    }

    pub async fn connect(&self) -> Client {
        let socket = self.socket();
        until("the agent listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        Client::connect(&socket).await
    }

    pub fn terminate(&self) {
        // SAFETY: plain system call on our own child.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGTERM) };
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.terminate();
        let _ = self.process.wait();
    }
}

pub fn argv(values: &[&str]) -> ExecStart {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    ExecStart { program: Some(exec_start::Program::Argv(Argv { values })), ..ExecStart::default() }
}

pub fn sh(command: &str) -> ExecStart {
    argv(&["sh", "-c", command])
}

pub fn script(content: &str) -> ExecStart {
    let script = Script { content: Bytes::copy_from_slice(content.as_bytes()), args: vec!["one".into(), "two".into()] };
    ExecStart { program: Some(exec_start::Program::Script(script)), ..ExecStart::default() }
}

/// The worker processes that this agent runs.
pub fn workers(agent: &Agent) -> Vec<i32> {
    let pid = agent.process.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
