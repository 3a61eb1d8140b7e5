//! The guest agent of vm-runner. One thread: nothing here may block, whatever touches disks is a process of its own.

pub mod agent;
pub mod cli;
pub mod r#gen;
mod identity;
pub mod init;
pub mod listen;
mod nonblocking;
pub mod process;
pub mod protocol;
pub mod proxy;
pub mod reset;
mod root;
pub mod rpc;
pub mod serve;
pub mod service;
pub mod smolvm;
mod system;
pub mod worker;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
