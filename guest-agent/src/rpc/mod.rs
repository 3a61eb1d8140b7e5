//! gRPC over HTTP/2, by hand: framing, statuses, flow control and the connection.

pub mod frame;
mod gather;
pub mod receiver;
pub mod sender;
pub mod server;
pub mod status;
