//! `vm-agent proxy`: standard input and output as a connection. It is a plain blocking program with a thread for each
//! direction, and has nothing to do with the agent but the file it is in.

use crate::listen::vsock;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

const BUFFER: usize = 64 << 10;

/// What to connect to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    Vsock { cid: u32, port: u32 },
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let vsock = || {
            let (cid, port) = text.strip_prefix("vsock:")?.split_once(':')?;
            Some(Self::Vsock { cid: cid.parse().ok()?, port: port.parse().ok()? })
        };
        let unix = || text.strip_prefix("unix:").filter(|path| !path.is_empty()).map(|path| Self::Unix(path.into()));
        vsock().or_else(unix).ok_or_else(|| format!("not an address: {text}; use vsock:CID:PORT or unix:PATH"))
    }
}

/// Copies both ways until the other side is gone, or both directions are at their end. An end of one direction is passed on
/// and leaves the other one as it is.
pub fn run(target: &Target) -> Result<(), String> {
    let socket = match target {
        Target::Vsock { cid, port } => vsock::connect(*cid, *port)
            .map_err(|error| format!("cannot connect: vsock CID {cid} port {port}: {error}"))?,
        Target::Unix(path) => {
            UnixStream::connect(path).map_err(|error| format!("cannot connect: {}: {error}", path.display()))?.into()
        }
    };
    let sending = socket.try_clone().map_err(|error| format!("cannot copy: {error}"))?;
    let sender = std::thread::spawn(move || send(sending));
    receive(socket).map_err(|error| format!("cannot copy to standard output: {error}"))?;
    // A panic would have ended the whole program.
    let _ = sender.join();
    Ok(())
}

/// From standard input to the socket.
fn send(socket: OwnedFd) {
    let mut socket = File::from(socket);
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; BUFFER];
    while wait_for_input(&socket) {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if socket.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            return;
        }
    }
    // SAFETY: plain system call.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

/// False when the other side hung up: nobody is left to read what would come.
fn wait_for_input(socket: &File) -> bool {
    loop {
        let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
        let mut entries = [entry(libc::STDIN_FILENO, libc::POLLIN), entry(socket.as_raw_fd(), 0)];
        // SAFETY: the two entries outlive the call.
        unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) };
        let [input, socket] = entries;
        if socket.revents != 0 || input.revents != 0 {
            return socket.revents == 0;
        }
    }
}

/// From the socket to standard output. Ends the program when the other side does not read any more either.
fn receive(socket: OwnedFd) -> io::Result<()> {
    let mut socket = File::from(socket);
    let mut output = io::stdout().lock();
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => output.write_all(buffer.get(..count).unwrap_or_default()).and_then(|()| output.flush())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    // Sending nothing tells whether something could be sent.
    // SAFETY: nothing is read from the pointer.
    let sent = unsafe { libc::send(socket.as_raw_fd(), std::ptr::null(), 0, libc::MSG_NOSIGNAL) };
    if sent < 0 {
        std::process::exit(0);
    }
    let nothing = File::options().write(true).open("/dev/null")?;
    // SAFETY: plain system call; it closes standard output for whoever reads it.
    unsafe { libc::dup2(nothing.as_raw_fd(), libc::STDOUT_FILENO) };
    Ok(())
}
