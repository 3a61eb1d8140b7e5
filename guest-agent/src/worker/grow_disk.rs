//! `GrowDisk`: in a worker, since growing a file system may take long.

use super::channel::Channel;
use crate::disk;
use crate::r#gen::agent::GrowDiskRequest;
use crate::rpc::status::{Code, Status};
use std::path::Path;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GrowDiskRequest = channel.request()?;
    let path = if request.path.is_empty() { "/" } else { &request.path };
    let path: &Path = channel.roots.enter_for(request.root, path, "path")?;
    if !Path::new("/proc/self").exists() {
        let message =
            "no /proc/self tells what the path is on; an image root lies on the scratch disk, which has its size";
        return Err(Status::new(Code::FailedPrecondition, "not-growable", message));
    }
    channel.send(&disk::grow(path)?)
}
