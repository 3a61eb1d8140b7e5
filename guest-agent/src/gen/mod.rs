//! Messages generated from the .proto files by `cargo xtask generate`.

#[allow(clippy::all)]
#[rustfmt::skip]
#[path = "vmrunner.agent.v1.rs"]
pub mod agent;

#[allow(clippy::all)]
#[rustfmt::skip]
pub mod tart;
