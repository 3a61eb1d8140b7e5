//! What a program reads and writes: its three descriptors, and our ends of them.

use super::launch::Request;
use super::pty;
use super::spawn;
use super::user::Account;
use crate::nonblocking::NonBlocking;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

/// Where a program's standard input is written.
pub enum Input {
    None,
    Pipe(NonBlocking),
    Terminal(Rc<NonBlocking>),
}

/// The program's three descriptors and our ends of them.
pub struct Ends {
    pub child: [OwnedFd; 3],
    pub parent: Parent,
}

pub struct Parent {
    pub input: Input,
    pub stdout: Option<Rc<NonBlocking>>,
    pub stderr: Option<Rc<NonBlocking>>,
    pub terminal: Option<Rc<NonBlocking>>,
}

impl Ends {
    pub fn make(root: &Path, request: &Request, account: Option<&Account>) -> std::io::Result<Self> {
        // A program may open /dev/stdout and /dev/tty anew, which only their owner may.
        let own = |fd: &OwnedFd| {
            if let Some(account) = account {
                let _ = std::os::unix::fs::fchown(fd, Some(account.uid), None);
            }
        };
        if let Some((size, _)) = request.terminal {
            let (master, slave) = pty::open(root, size)?;
            own(&slave);
            let terminal = Rc::new(NonBlocking::both(master)?);
            let parent = Parent {
                input: Input::Terminal(Rc::clone(&terminal)),
                stdout: Some(Rc::clone(&terminal)),
                stderr: None,
                terminal: Some(terminal),
            };
            return Ok(Self { child: [slave.try_clone()?, slave.try_clone()?, slave], parent });
        }
        let (stdin, input) = if request.stdin {
            let (reading, writing) = spawn::wide_pipe()?;
            own(&reading);
            (reading, Input::Pipe(NonBlocking::writable(writing)?))
        } else {
            (File::open("/dev/null")?.into(), Input::None)
        };
        let output = || -> std::io::Result<(Option<Rc<NonBlocking>>, OwnedFd)> {
            if !request.output {
                return Ok((None, File::options().write(true).open("/dev/null")?.into()));
            }
            let (reading, writing) = spawn::wide_pipe()?;
            own(&writing);
            Ok((Some(Rc::new(NonBlocking::readable(reading)?)), writing))
        };
        let ((stdout, child_stdout), (stderr, child_stderr)) = (output()?, output()?);
        Ok(Self {
            child: [stdin, child_stdout, child_stderr],
            parent: Parent { input, stdout, stderr, terminal: None },
        })
    }
}
