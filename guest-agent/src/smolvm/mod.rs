//! SmolVM's framed protocol, version 1: one request, one reply, no authentication. Paths and programs mean the image's root;
//! relative paths start at `/`.

mod client;
mod files;
pub mod frame;
pub mod python;
pub mod request;
mod run;
mod session;

pub use session::{MAX_REQUESTS, serve_connection, serve_session};
