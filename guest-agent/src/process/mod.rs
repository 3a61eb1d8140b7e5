//! Programs: starting them as the right user in the right root, their bytes, their whole trees, and their end.

mod command;
pub mod ends;
mod environment;
pub mod group;
pub mod hold;
pub mod keeper;
pub mod launch;
pub mod lookup;
pub mod output;
pub mod pty;
pub mod pump;
pub mod reap;
mod refusal;
pub mod script;
pub mod spawn;
pub mod tree;
pub mod user;
