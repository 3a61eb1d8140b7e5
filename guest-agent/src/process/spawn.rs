//! Fork and exec. Everything is prepared before the fork: the child may only make system calls.

use super::keeper::{self, Keeper};
use super::user::Account;
use crate::image::limits;
use crate::image::room::Room;
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

/// Many such pipes must fit into what Linux grants a user without privileges: 64 MiB.
const WIDE: libc::c_int = 256 << 10;

/// What to run, in order of preference: the first path that exists is taken.
pub struct Candidate {
    pub paths: Vec<CString>,
    pub argv: Vec<CString>,
}

pub struct Spec {
    pub candidates: Vec<Candidate>,
    pub env: Vec<CString>,
    pub root: Option<CString>,
    /// The image whose namespaces it runs in; its root comes with them.
    pub room: Option<Rc<Room>>,
    pub umask: u32,
    /// The first one that exists is taken.
    pub directories: Vec<CString>,
    /// None: stays who the agent is.
    pub account: Option<Account>,
    /// Standard input, output and error.
    pub stdio: [OwnedFd; 3],
    /// Whether standard input is to be the controlling terminal.
    pub terminal: bool,
    pub containment: Containment,
}

/// How everything that comes from a program is found again.
pub enum Containment {
    /// By the cgroup whose open cgroup.procs the child writes itself into.
    Cgroup(OwnedFd),
    /// By the keeper between the agent and the program.
    Keeper,
    /// Not at all: it is one of our own workers, which starts nothing.
    None,
}

/// What a fork made.
pub struct Child {
    pub pid: i32,
    /// Closed without a byte when the program runs, or carries a report for `read_report`.
    pub report: OwnedFd,
    pub keeper: Option<Keeper>,
}

/// Where a start failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    Setup,
    Root,
    User,
    Directory,
    Program,
}

pub struct Failure {
    pub step: Step,
    pub error: io::Error,
}

pub fn fork(spec: Spec) -> io::Result<Child> {
    let (report, child_report) = pipe()?;
    let _visit = spec.room.as_deref().map(Room::visit).transpose()?;
    let prepared = Prepared::new(&spec);
    if matches!(spec.containment, Containment::Keeper) {
        let (pid, keeper) = keeper::fork(|| become_program(&spec, &prepared, &child_report))?;
        return Ok(Child { pid, report, keeper: Some(keeper) });
    }
    // SAFETY: this process has one thread, so the child's memory is consistent; it only makes system calls until exec or
    // _exit, and everything it reads lives in `spec` and `prepared`, which both outlive this call.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => become_program(&spec, &prepared, &child_report),
        pid => Ok(Child { pid, report, keeper: None }),
    }
}

/// Becomes the program, or reports why not.
fn become_program(spec: &Spec, prepared: &Prepared, report: &OwnedFd) -> ! {
    let (step, errno) = child(spec, prepared);
    let [a, b, c, d] = errno.to_ne_bytes();
    let bytes = [step as u8, a, b, c, d];
    // SAFETY: `bytes` outlives the write, and _exit never returns.
    unsafe {
        libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

pub fn read_report(bytes: &[u8]) -> Option<Failure> {
    let [step, errno @ ..] = bytes else { return None };
    let step = [Step::Setup, Step::Root, Step::User, Step::Directory, Step::Program]
        .into_iter()
        .find(|known| *known as u8 == *step)
        .unwrap_or(Step::Setup);
    let errno = <[u8; 4]>::try_from(errno).map(i32::from_ne_bytes).unwrap_or(libc::EIO);
    Some(Failure { step, error: io::Error::from_raw_os_error(errno) })
}

/// A pipe, closed on exec: reading end, writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let [reading, writing] = ends;
    // SAFETY: both were just made and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(reading), OwnedFd::from_raw_fd(writing)) })
}

/// A pipe for much data: each time the other side has to be woken costs an emulated guest more than the bytes do.
pub fn wide_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = pipe()?;
    // SAFETY: plain system call. Where it is refused, the pipe is what pipes are.
    unsafe { libc::fcntl(ends.1.as_raw_fd(), libc::F_SETPIPE_SZ, WIDE) };
    Ok(ends)
}

/// The null-terminated pointer arrays that execve wants.
struct Prepared {
    argvs: Vec<Vec<*const c_char>>,
    env: Vec<*const c_char>,
}

impl Prepared {
    fn new(spec: &Spec) -> Self {
        Self {
            argvs: spec.candidates.iter().map(|candidate| pointers(&candidate.argv)).collect(),
            env: pointers(&spec.env),
        }
    }
}

pub fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// One part of the way to the program; false leaves the reason in errno.
type Action = fn(&Spec) -> bool;

/// Runs in the child. Returns only when something failed.
fn child(spec: &Spec, prepared: &Prepared) -> (Step, i32) {
    let steps: [(Step, Action); 6] = [
        (Step::Setup, become_leader),
        (Step::Setup, take_stdio),
        (Step::Root, enter_root),
        (Step::Setup, limit),
        (Step::User, become_user),
        (Step::Directory, enter_directory),
    ];
    for (step, run) in steps {
        if !run(spec) {
            return (step, errno());
        }
    }
    (Step::Program, execute(spec, prepared))
}

/// A session of its own, a clean signal state, and its place among the processes that end together.
fn become_leader(spec: &Spec) -> bool {
    default_signals();
    // SAFETY: plain system calls; the strings are literals.
    unsafe {
        libc::umask(spec.umask as _);
        libc::setsid();
        if let Containment::Cgroup(cgroup) = &spec.containment {
            libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1);
        }
        // The agent protects itself from the out-of-memory killer; what it starts must not inherit that.
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if score >= 0 {
            libc::write(score, c"0".as_ptr().cast(), 1);
            libc::close(score);
        }
    }
    true
}

/// None blocked, none handled, none ignored: what the agent does with its signals is its own affair.
pub fn default_signals() {
    // SAFETY: plain system calls; `mask` is initialised by sigemptyset before it is read.
    unsafe {
        let mut mask = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
        // Past libc, which keeps some real-time signals from its callers; all zero is the default action.
        let default = [0u64; 4];
        for number in 1..65 {
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), std::ptr::null::<u64>(), 8);
        }
    }
}

fn take_stdio(spec: &Spec) -> bool {
    for (target, source) in (0..).zip(&spec.stdio) {
        // SAFETY: plain system call. No source is below 3, because the agent keeps its own first three descriptors open.
        if unsafe { libc::dup2(source.as_raw_fd(), target) } < 0 {
            return false;
        }
    }
    // SAFETY: plain system call on the terminal that was just made standard input.
    !spec.terminal || unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) } == 0
}

fn enter_root(spec: &Spec) -> bool {
    if let Some(room) = &spec.room {
        return room.enter();
    }
    // SAFETY: null-terminated strings that outlive the calls.
    spec.root.as_ref().is_none_or(|root| unsafe { libc::chroot(root.as_ptr()) == 0 && libc::chdir(c"/".as_ptr()) == 0 })
}

fn limit(spec: &Spec) -> bool {
    spec.room.as_ref().is_none_or(|room| limits::apply(&room.resources))
}

fn become_user(spec: &Spec) -> bool {
    let Some(account) = &spec.account else { return true };
    // SAFETY: plain system calls; the list of groups outlives its call.
    unsafe {
        // An agent that is an ordinary user starts programs as itself only, and may not even say so.
        libc::geteuid() != 0
            || libc::setgroups(account.groups.len() as _, account.groups.as_ptr()) == 0
                && libc::setgid(account.gid) == 0
                && libc::setuid(account.uid) == 0
    }
}

fn enter_directory(spec: &Spec) -> bool {
    // SAFETY: null-terminated strings that outlive the calls.
    spec.directories.iter().any(|directory| unsafe { libc::chdir(directory.as_ptr()) } == 0)
}

/// Tries all paths as a shell would: what is not there is skipped, what may not be run is remembered.
fn execute(spec: &Spec, prepared: &Prepared) -> i32 {
    let mut failure = libc::ENOENT;
    for (candidate, argv) in spec.candidates.iter().zip(&prepared.argvs) {
        for path in &candidate.paths {
            // SAFETY: the path and both null-terminated arrays outlive the call.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), prepared.env.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => failure = libc::EACCES,
                other => return other,
            }
        }
    }
    failure
}

fn errno() -> i32 {
    // SAFETY: the location of errno is always valid.
    unsafe { *libc::__errno_location() }
}
