//! gRPC over HTTP/2, by hand: framing, statuses, flow control and the connection.

pub mod frame;
pub mod receiver;
pub mod sender;
pub mod server;
pub mod status;
