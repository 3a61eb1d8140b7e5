//! The process that holds the image's namespaces, and is process 1 in them.

use super::layout::{self, Failure, Orders};
use super::{Image, limits};
use crate::agent::Agent;
use crate::nonblocking::NonBlocking;
use crate::process::keeper::close_all_but;
use crate::process::lookup;
use crate::process::reap::Ended;
use crate::process::spawn::{self, default_signals, pipe};
use crate::rpc::status::{Code, Status};
use bytes::BytesMut;
use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Mounts of a disk that answers are a matter of milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// What the child writes when the namespaces are made; a failure to become the image's init may follow.
const MADE: &[u8] = b"+";
const LONGEST_REPORT: usize = 8 << 10;

pub struct Holder {
    pub pid: i32,
    pub end: oneshot::Receiver<Ended>,
    pub report: OwnedFd,
}

impl Holder {
    /// Starts the one process that Enter needs. What it does is told by its report.
    pub fn fork(agent: &Agent, orders: &Orders<'_>, cgroup: &Path) -> io::Result<Self> {
        let (report, childs) = pipe()?;
        let home = File::open("/proc/self/ns/pid")?;
        // SAFETY: plain system calls. The new PID namespace is for children only, and given up again below.
        let pid = unsafe {
            if libc::unshare(libc::CLONE_NEWPID) < 0 {
                return Err(io::Error::last_os_error());
            }
            let pid = libc::fork();
            if pid != 0 {
                libc::setns(home.as_raw_fd(), libc::CLONE_NEWPID);
            }
            pid
        };
        match pid {
            // The agent has one thread, so its memory is consistent here and may be used as before.
            0 => become_holder(orders, cgroup, childs.into()),
            1.. => Ok(Self { pid, end: agent.reaper.end_of(pid), report }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Makes namespaces of all kinds for a moment: the kernel then has what it makes once, and a clone does not wait for it.
pub fn rehearse() {
    let kinds = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWCGROUP;
    let none = std::ptr::null_mut();
    // SAFETY: plain system calls. Neither child does anything else, and each parent waits for its own.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::unshare(kinds);
            let grandchild = libc::fork();
            if grandchild > 0 {
                libc::waitpid(grandchild, none, 0);
            }
            libc::_exit(0);
        }
        if child > 0 {
            libc::waitpid(child, none, 0);
        }
    }
}

/// None when the namespaces are made and, if there is one, the image's init runs.
pub async fn read_report(report: OwnedFd) -> Option<Status> {
    let read = async {
        let report = NonBlocking::readable(report)?;
        let mut bytes = BytesMut::new();
        while bytes.len() < LONGEST_REPORT && report.read(&mut bytes, LONGEST_REPORT).await? > 0 {}
        Ok::<_, io::Error>(bytes)
    };
    let failed = |sentence: String| Some(super::setup_failed(sentence));
    match timeout(DEADLINE, read).await {
        Err(_) => failed(format!("the image's disk did not answer within {} s", DEADLINE.as_secs())),
        Ok(Err(error)) => failed(format!("cannot read what the image's first process says: {error}")),
        Ok(Ok(bytes)) if bytes.as_ref() == MADE => None,
        Ok(Ok(bytes)) if bytes.is_empty() => {
            failed("the image's first process ended before it could say why".to_owned())
        }
        Ok(Ok(bytes)) => {
            let text = String::from_utf8_lossy(bytes.strip_prefix(MADE).unwrap_or(&bytes)).into_owned();
            match text.split_once('\n') {
                Some(("no-image", sentence)) => Some(Status::new(Code::FailedPrecondition, "no-image", sentence)),
                Some(("command-not-found", sentence)) => {
                    Some(Status::new(Code::NotFound, "command-not-found", sentence))
                }
                Some((_, sentence)) => failed(sentence.to_owned()),
                None => failed(text),
            }
        }
    }
}

/// Without it there is no image root any more: its programs are ended by the kernel, later requests are told.
pub fn watch(agent: &Rc<Agent>, end: oneshot::Receiver<Ended>) {
    let agent = Rc::clone(agent);
    tokio::task::spawn_local(async move {
        let Ok(Ended { code, signal, .. }) = end.await else { return };
        let how = if signal == 0 { format!("exit status {code}") } else { format!("signal {signal}") };
        if matches!(*agent.image.borrow(), Image::Entered(_)) {
            agent.image.replace(Image::Lost(format!("process 1 of the image has ended: {how}; make a new guest")));
        }
    });
}

/// Ends it, unless it has ended by itself.
pub fn discard(pid: i32, mut end: oneshot::Receiver<Ended>) {
    if end.try_recv().is_err() {
        // SAFETY: plain system call on a child of ours: nobody has reaped it, or its end would have been told.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

fn become_holder(orders: &Orders<'_>, cgroup: &Path, mut report: File) -> ! {
    default_signals();
    let failure = match layout::make(orders, cgroup) {
        Ok(()) => {
            let _ = report.write_all(MADE);
            if orders.plan.init.is_empty() { hold() } else { become_init(orders) }
        }
        Err(failure) => failure,
    };
    let _ = write!(report, "{}\n{}", failure.reason, failure.sentence);
    // SAFETY: never returns, and leaves the agent's own clean-up alone.
    unsafe { libc::_exit(1) }
}

/// Our own process 1: whatever loses its parent in the image comes to it, and is reaped by the kernel at once.
fn hold() -> ! {
    // SAFETY: plain system calls.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_NAME, c"vm-agent-holder".as_ptr());
        libc::setsid();
    }
    // The agent's connections must not be held open here. That closes the report, too, which is its end.
    close_all_but(-1);
    loop {
        // SAFETY: plain system call.
        unsafe { libc::pause() };
    }
}

/// Becomes the image's init. Returns only when that failed.
fn become_init(orders: &Orders<'_>) -> Failure {
    let plan = orders.plan;
    let mut env: Vec<(String, String)> = plan.config.env.clone();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), lookup::DEFAULT_PATH.to_owned()));
    }
    // What tells an init that there is no hardware for it to bring up.
    env.push(("container".to_owned(), "vm-runner".to_owned()));
    let search = env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone()).unwrap_or_default();
    let name = plan.init.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let strings: Vec<CString> =
        env.iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()).collect();
    let (argv, env) = (spawn::pointers(&plan.init), spawn::pointers(&strings));
    let null = File::open("/dev/null").ok();
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    // SAFETY: plain system calls; all strings outlive them.
    unsafe {
        libc::setsid();
        libc::umask(0o022);
        if let Some(null) = null {
            libc::dup2(null.as_raw_fd(), 0);
        }
    }
    limits::apply(&plan.limits.resources);
    let mut error = io::Error::from_raw_os_error(libc::ENOENT);
    for path in lookup::candidates(&name, &search) {
        error = execute(&path, &argv, &env);
        if error.kind() != io::ErrorKind::NotFound {
            break;
        }
    }
    Failure { reason: "command-not-found", sentence: format!("cannot start the image's init: {name}: {error}") }
}

fn execute(path: &CString, argv: &[*const c_char], env: &[*const c_char]) -> io::Error {
    // SAFETY: the path and both null-terminated arrays outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
