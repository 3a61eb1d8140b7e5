//! File operations, each in a process of its own with plain blocking calls, so that a slow disk never stops the agent.
//! The worker enters the root that its request names before it looks at any path, so that no link can lead out of it. Messages come and go framed as
//! in gRPC on standard input and output; a failure is one line on standard error that the agent turns into a status.

mod archive;
mod channel;
mod file_info;
mod folder;
mod get_file;
mod get_layer;
mod get_tree;
pub mod globs;
mod grow_disk;
mod holes;
mod list;
mod make_dir;
mod owner;
mod put_file;
mod put_tree;
mod refusal;
mod remove;
mod roots;
mod smolvm;
mod stat;
mod tar;
mod target;
mod temporary;
mod totals;
mod unpack;
mod walk;

pub use refusal::{parse as parse_refusal, write as write_refusal};

use crate::r#gen::agent::Root;
use crate::rpc::status::Status;
use channel::Channel;
pub use get_layer::Overlay;
pub use roots::Roots;

/// Runs the one operation that needs more than a root: it looks at an overlay from outside.
pub fn run_layer(overlay: &Overlay) -> Result<(), Status> {
    outlive_the_client();
    let nowhere = Roots { image: String::new(), base: String::new() };
    get_layer::run(&mut Channel::new(nowhere), overlay)
}

/// Runs one operation below one of these roots.
pub fn run(method: &str, roots: Roots) -> Result<(), Status> {
    outlive_the_client();
    if let Some(method) = method.strip_prefix("smolvm-") {
        // This protocol knows one root.
        roots.enter(Root::Image)?;
        let mut frames = smolvm::Frames::new();
        return match method {
            "get-file" => smolvm::get_file::run(&mut frames),
            _ => smolvm::put_file::run(&mut frames),
        };
    }
    let mut channel = Channel::new(roots);
    match method {
        "get-file" => get_file::run(&mut channel),
        "put-file" => put_file::run(&mut channel),
        "get-tree" => get_tree::run(&mut channel),
        "put-tree" => put_tree::run(&mut channel),
        "stat" => stat::run(&mut channel),
        "list" => list::run(&mut channel),
        "make-dir" => make_dir::run(&mut channel),
        "remove" => remove::run(&mut channel),
        "grow-disk" => grow_disk::run(&mut channel),
        _ => Err(Status::invalid("unknown-method", format!("unknown worker method: {method}"))),
    }
}

/// The agent sends SIGTERM to what lost its client. A worker sees that by itself, as the end of its input, and must live to
/// remove what it made; SIGKILL follows if it does not end.
fn outlive_the_client() {
    // SAFETY: plain system call.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}
