//! `List`: what is in one directory, told while it is read.

use super::channel::Channel;
use super::file_info::{file_info, is_link};
use super::folder::Folder;
use crate::r#gen::agent::{ListRequest, ListResponse};
use crate::rpc::status::Status;
use prost::Message;
use std::io;

/// A message is sent when its entries have reached this; one entry more is at most some 5 KiB.
const ENOUGH: usize = 32 << 10;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: ListRequest = channel.request()?;
    let path = channel.roots.enter_for(request.root, &request.path, "directory")?;
    let failed = |error| Status::from_io(&error, &request.path);
    let mut folder = Folder::open(path).map_err(failed)?;
    let (mut response, mut size) = (ListResponse::default(), 0);
    while let Some(entry) = folder.next_name().map_err(failed)? {
        let found = match folder.stat(&entry.name) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        // One that became something else meanwhile is told without its target.
        let target = if is_link(&found) { folder.read_link(&entry.name).unwrap_or_default() } else { Vec::new() };
        let info = file_info(entry.name.to_bytes(), &found, target);
        size += info.encoded_len();
        response.entries.push(info);
        if size >= ENOUGH {
            channel.send(&response)?;
            response.entries.clear();
            size = 0;
        }
    }
    if response.entries.is_empty() { Ok(()) } else { channel.send(&response) }
}
