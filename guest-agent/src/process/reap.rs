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
}

impl Ended {
    fn from_wait_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self { code: 0, signal: libc::WTERMSIG(status) }
        } else {
            Self { code: libc::WEXITSTATUS(status), signal: 0 }
        }
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
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        while let pid @ 1.. = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            if let Some(awaiting) = self.awaited.borrow_mut().remove(&pid) {
                // Nobody listens any more when the call that started it is over.
                let _ = awaiting.send(Ended::from_wait_status(status));
            }
        }
    }
}
