//! The one place that waits for children: ours, and those that lost their parent and came to us.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended, as waitpid tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Exit status; 0 when a signal ended it.
    pub code: i32,
    /// The signal that ended it; 0 when it exited.
    pub signal: i32,
    pub usage: Usage,
}

/// What a process and the children it waited for have used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    pub user_micros: u64,
    pub system_micros: u64,
    pub peak_bytes: u64,
}

impl Ended {
    pub fn from_wait(status: i32, usage: &libc::rusage) -> Self {
        let micros = |time: libc::timeval| {
            u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
        };
        let usage = Usage {
            user_micros: micros(usage.ru_utime),
            system_micros: micros(usage.ru_stime),
            // The kernel counts it in KiB.
            peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        };
        if libc::WIFSIGNALED(status) {
            Self { code: 0, signal: libc::WTERMSIG(status), usage }
        } else {
            Self { code: libc::WEXITSTATUS(status), signal: 0, usage }
        }
    }

    /// Of a program whose end nobody saw.
    pub fn lost() -> Self {
        Self { code: 0, signal: libc::SIGKILL, usage: Usage::default() }
    }
}

#[derive(Clone, Default)]
pub struct Reaper {
    awaited: Rc<RefCell<HashMap<i32, oneshot::Sender<Ended>>>>,
}

impl Reaper {
    /// The end of a child of ours. To be called right after the fork, before the thread does anything else: whoever is not
    /// awaited is reaped and forgotten.
    pub fn end_of(&self, pid: i32) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        self.awaited.borrow_mut().insert(pid, sender);
        receiver
    }

    /// Reaps for ever.
    pub async fn run(&self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        loop {
            self.reap_all();
            if children.recv().await.is_none() {
                return Ok(());
            }
        }
    }

    fn reap_all(&self) {
        while let Some((pid, ended)) = wait(libc::WNOHANG) {
            if let Some(awaiting) = self.awaited.borrow_mut().remove(&pid) {
                // Nobody listens any more when the call that started it is over.
                let _ = awaiting.send(ended);
            }
        }
    }
}

/// Reaps any one child. None when there is none to reap.
pub fn wait(options: i32) -> Option<(i32, Ended)> {
    let mut status = 0;
    // SAFETY: all zero is a valid rusage, and the call writes the status and one rusage, which outlive it.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, options, &raw mut usage), usage)
    };
    (pid > 0).then(|| (pid, Ended::from_wait(status, &usage)))
}
