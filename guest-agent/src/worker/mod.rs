//! File operations, each in a process of its own with plain blocking calls, so that a slow disk never stops the agent.
//! The worker enters the root before it looks at any path, so that no link can lead out of it. Messages come and go framed as
//! in gRPC on standard input and output; a failure is one line on standard error that the agent turns into a status.

mod channel;
mod get_file;
mod get_tree;
mod globs;
mod owner;
mod put_file;
mod put_tree;
mod refusal;
mod smolvm;
mod target;

pub use refusal::{parse as parse_refusal, write as write_refusal};

use crate::rpc::status::Status;
use channel::Channel;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// Runs one operation below this root.
pub fn run(method: &str, root: &str) -> Result<(), Status> {
    // The agent sends SIGTERM to what lost its client. A worker sees that by itself, as the end of its input, and must live to
    // remove what it made; SIGKILL follows if it does not end.
    // SAFETY: plain system call.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    enter(root).map_err(|error| Status::from_io(&error, root))?;
    match method {
        "smolvm-get-file" => return smolvm::get_file::run(&mut smolvm::Frames::new()),
        "smolvm-put-file" => return smolvm::put_file::run(&mut smolvm::Frames::new()),
        _ => {}
    }
    let mut channel = Channel::new();
    match method {
        "get-file" => get_file::run(&mut channel),
        "put-file" => put_file::run(&mut channel),
        "get-tree" => get_tree::run(&mut channel),
        "put-tree" => put_tree::run(&mut channel),
        _ => Err(Status::invalid("unknown-method", format!("unknown worker method: {method}"))),
    }
}

fn enter(root: &str) -> io::Result<()> {
    if root != "/" {
        let root = CString::new(root)?;
        // SAFETY: a null-terminated string that outlives the call.
        if unsafe { libc::chroot(root.as_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    std::env::set_current_dir("/")
}

/// Paths on the wire are absolute, and name something below the root.
fn absolute<'a>(path: &'a str, what: &str) -> Result<&'a Path, Status> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Status::invalid("bad-path", format!("the {what} is not an absolute path: {path:?}")));
    }
    Ok(Path::new(path))
}
