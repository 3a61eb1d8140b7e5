//! `PutTree`: a tar stream unpacked below a directory, and nowhere else.

use super::channel::{Channel, Sum, no_content, short_body};
use super::owner::Owner;
use super::target;
use super::unpack::Tree;
use crate::r#gen::agent::{FileTrailer, PutTreeRequest, PutTreeResponse, put_tree_request::Request};
use crate::rpc::status::Status;
use bytes::Bytes;
use std::io::{self, Read};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let first: PutTreeRequest = channel.request()?;
    let Some(Request::Header(header)) = first.request else {
        return Err(Status::invalid("no-header", "the first message is not a header; send PutTreeHeader first"));
    };
    let base = channel.roots.enter_for(header.root, &header.directory, "directory")?;
    let owner = Owner::find(&header.owner)?;
    target::make_directories(base, owner).map_err(|error| Status::from_io(&error, &header.directory))?;
    let mut stream = Stream { channel, data: Bytes::new(), sum: Sum::default(), trailer: None, failure: None };
    let mut tree = Tree::new(base, owner);
    let unpacked = tree.unpack(&mut stream);
    // The tree only knows that reading failed; the stream knows why.
    if let Some(failure) = stream.failure.take() {
        return Err(failure);
    }
    unpacked?;
    stream.finish()?;
    tree.finish_directories()?;
    channel.send(&PutTreeResponse { entries: tree.entries })
}

/// The archive's bytes as they arrive, until the trailer.
struct Stream<'a> {
    channel: &'a mut Channel,
    data: Bytes,
    sum: Sum,
    trailer: Option<FileTrailer>,
    failure: Option<Status>,
}

impl Stream<'_> {
    /// The next bytes; none once the trailer is there.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        match self.channel.next::<PutTreeRequest>()?.ok_or_else(short_body)?.request {
            Some(Request::Data(data)) => {
                self.sum.add(&data);
                Ok(Some(data))
            }
            Some(Request::Trailer(trailer)) => {
                self.trailer = Some(trailer);
                Ok(None)
            }
            _ => Err(no_content()),
        }
    }

    /// Reads what comes after the archive's end, and checks the whole.
    fn finish(&mut self) -> Result<(), Status> {
        while self.next()?.is_some() {}
        self.sum.check(&self.trailer.unwrap_or_default())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.data.is_empty() {
            match self.next() {
                Ok(Some(data)) => self.data = data,
                Ok(None) => return Ok(0),
                Err(status) => {
                    self.failure = Some(status);
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        let count = self.data.len().min(buffer.len());
        let data = self.data.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&data);
        Ok(count)
    }
}
