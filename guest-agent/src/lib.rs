//! The guest agent of vm-runner. One thread: nothing here may block, whatever touches disks is a process of its own.

pub mod agent;
pub mod cli;
pub mod disk;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod r#gen;
mod identity;
pub mod image;
pub mod init;
pub mod listen;
mod nonblocking;
pub mod process;
pub mod protocol;
pub mod proxy;
pub mod reset;
pub mod root;
pub mod rpc;
pub mod serve;
pub mod service;
pub mod smolvm;
mod system;
pub mod worker;
mod xattr;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
