//! The built agent on a unix socket, and a client for it. Each test file uses a part of it.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod mounts;
pub mod smolvm;
mod transfers;
mod upload;
mod worker;

pub use client::{Call, Client, End, Outcome};
pub use mounts::Mount;
pub use transfers::{Download, Piece, get, get_pieces, get_tree, put, put_pieces, put_tree, refusal, trailer_of, tree};
pub use upload::{trailer, upload};
pub use worker::work;

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use vm_agent::r#gen::agent::{Argv, ExecStart, Script, exec_start};

const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a test on its own runtime under a deadline.
pub fn run<F: Future<Output = ()>>(test: F) {
    run_within(DEADLINE, test);
}

pub fn run_within<F: Future<Output = ()>>(deadline: Duration, test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new()
        .block_on(&runtime, async { tokio::time::timeout(deadline, test).await.expect("the test hangs") });
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
        Self::start_with(|_| {})
    }

    /// As an ordinary user, who can write no cgroup. Only root can ask for that.
    pub fn start_as(uid: Option<u32>) -> Self {
        use std::os::unix::process::CommandExt;
        Self::start_in(Folder::new(), |command, folder| {
            if let Some(uid) = uid {
                std::os::unix::fs::chown(&folder.0, Some(uid), Some(uid)).unwrap();
                command.uid(uid).gid(uid);
            }
        })
    }

    /// Listens for both protocols.
    pub fn start_with(change: impl FnOnce(&mut Command)) -> Self {
        Self::start_in(Folder::new(), |command, _| change(command))
    }

    fn start_in(folder: Folder, change: impl FnOnce(&mut Command, &Folder)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vm-agent"));
        command.args(["serve", "--listen", &format!("unix:{}", folder.path("agent.sock"))]);
        command.args(["--listen-smolvm", &format!("unix:{}", folder.path("smolvm.sock"))]);
        change(command.env("TMPDIR", &folder.0), &folder);
        let process = command.spawn().unwrap();
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

    /// A connection for one SmolVM request.
    pub async fn smolvm(&self) -> smolvm::Peer {
        smolvm::Peer::connect(&self.folder.0.join("smolvm.sock")).await
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
    let content = Bytes::copy_from_slice(content.as_bytes());
    let script = Script { content, args: vec!["one".into(), "two".into()], ..Script::default() };
    ExecStart { program: Some(exec_start::Program::Script(script)), ..ExecStart::default() }
}

/// The worker processes that this agent runs.
pub fn children(agent: &Agent) -> Vec<i32> {
    let pid = agent.process.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
