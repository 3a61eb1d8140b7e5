//! Tar streams: ustar, PAX and GNU in, PAX out, sparse files both ways. Our own, since holes and times with nanoseconds are
//! what the archives of others lose.

mod header;
mod pax;
mod read;
mod sparse;
mod write;

pub use read::{Entry, Kind, Reader};
pub use write::{Attributes, Writer};

use crate::rpc::status::Status;

/// Headers and content are padded to these.
const BLOCK: usize = 512;

/// Bytes that fill the last block of content of this size.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn bad_archive(why: &str) -> Status {
    Status::invalid("bad-archive", format!("not a whole tar stream: {why}"))
}
