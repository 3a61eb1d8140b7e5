//! `GrowDisk`: in a worker, since growing a file system may take long.

use super::channel::Channel;
use crate::disk;
use crate::r#gen::agent::GrowDiskRequest;
use crate::rpc::status::Status;
use std::path::Path;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GrowDiskRequest = channel.request()?;
    let path = if request.path.is_empty() { "/" } else { &request.path };
    let path: &Path = channel.roots.enter_for(request.root, path, "path")?;
    channel.send(&disk::grow(path)?)
}
