//! Where there is no cgroup: a process between the agent and a program, whose one task is to be the parent of all that the
//! program leaves behind. A daemon that gives up its session and its parent is still found below its keeper, and ended with it.

use super::reap::{Ended, Usage, wait};
use super::spawn::{default_signals, pipe};
use crate::nonblocking::NonBlocking;
use bytes::{Buf, BufMut, BytesMut};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use tokio::sync::oneshot;

/// Code and signal, then the three numbers of the usage.
const END: usize = 2 * 4 + 3 * 8;

pub struct Keeper {
    pub pid: i32,
    ends: OwnedFd,
}

/// Forks a keeper, which forks the program. `run` becomes the program and never returns.
pub fn fork(run: impl FnOnce()) -> io::Result<(i32, Keeper)> {
    let (ends, keepers_end) = pipe()?;
    // SAFETY: this process has one thread, so the child's memory is consistent; the keeper only makes system calls.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => keep(&keepers_end, run),
        pid => {
            drop(keepers_end);
            // No longer than the keeper takes to fork: about as long as the fork above.
            let mut program = [0; 4];
            read_exactly(&ends, &mut program)?;
            Ok((i32::from_ne_bytes(program), Keeper { pid, ends }))
        }
    }
}

impl Keeper {
    /// The end of the program. The keeper itself ends when nothing of the program is left.
    pub fn end(self) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        tokio::task::spawn_local(async move {
            // A keeper that was killed has nothing to tell. Nobody listens when the call that started it is over.
            let _ = sender.send(read_end(self.ends).await.unwrap_or_else(Ended::lost));
        });
        receiver
    }
}

async fn read_end(ends: OwnedFd) -> Option<Ended> {
    let ends = NonBlocking::readable(ends).ok()?;
    let mut bytes = BytesMut::new();
    while bytes.len() < END {
        if ends.read(&mut bytes, END).await.ok()? == 0 {
            return None;
        }
    }
    let (code, signal) = (bytes.get_i32_ne(), bytes.get_i32_ne());
    let [user_micros, system_micros, peak_bytes] = [(); 3].map(|()| bytes.get_u64_ne());
    Some(Ended { code, signal, usage: Usage { user_micros, system_micros, peak_bytes } })
}

/// The keeper's life.
fn keep(ends: &OwnedFd, run: impl FnOnce()) -> ! {
    default_signals();
    // SAFETY: plain system calls.
    let program = unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"vm-agent-keeper".as_ptr());
        libc::setsid();
        libc::fork()
    };
    if program == 0 {
        run();
    }
    if program <= 0 {
        // The agent learns of a fork that failed from the closed pipe.
        exit();
    }
    // The agent's connections and the program's pipes must not be held open here.
    close_all_but(ends.as_raw_fd());
    write(ends, &program.to_ne_bytes());
    loop {
        match wait(0) {
            Some((pid, ended)) if pid == program => write(ends, &to_bytes(&ended)),
            Some(_) => {}
            None if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            None => exit(),
        }
    }
}

fn to_bytes(ended: &Ended) -> [u8; END] {
    let mut bytes = [0; END];
    let mut rest = bytes.as_mut_slice();
    rest.put_i32_ne(ended.code);
    rest.put_i32_ne(ended.signal);
    for number in [ended.usage.user_micros, ended.usage.system_micros, ended.usage.peak_bytes] {
        rest.put_u64_ne(number);
    }
    bytes
}

pub fn close_all_but(kept: RawFd) {
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: plain system call; nothing of this process uses the descriptors any more.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, last, 0) };
        if closed < 0 {
            // Kernels before 5.9 close one by one. More than this the agent never has.
            const MOST: RawFd = 1 << 16;
            for fd in first..RawFd::try_from(last).unwrap_or(MOST).saturating_add(1).min(MOST) {
                // SAFETY: as above.
                unsafe { libc::close(fd) };
            }
        }
    };
    if kept > 0 {
        close(0, (kept - 1) as libc::c_uint);
    }
    close(kept + 1, libc::c_uint::MAX);
}

/// Less than a pipe takes in one piece; nobody to tell when the agent is gone.
fn write(ends: &OwnedFd, bytes: &[u8]) {
    // SAFETY: the pointer and length describe readable memory that `bytes` borrows.
    unsafe { libc::write(ends.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
}

fn read_exactly(ends: &OwnedFd, bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read;
    // SAFETY: the descriptor is open for the call, and the file gives it back.
    let mut file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(ends.as_raw_fd()) });
    file.read_exact(bytes)
}

fn exit() -> ! {
    // SAFETY: never returns, and leaves the agent's own clean-up alone.
    unsafe { libc::_exit(0) }
}
