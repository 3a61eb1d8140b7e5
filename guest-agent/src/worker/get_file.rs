//! `GetFile`: one regular file out, exactly as long as its header says.

use super::absolute;
use super::channel::{CHUNK, Channel, Sum};
use crate::r#gen::agent::{FileHeader, GetFileRequest, GetFileResponse, get_file_response::Response};
use crate::rpc::status::{Code, Status};
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GetFileRequest = channel.request()?;
    let path = absolute(&request.path, "file")?;
    let failed = |error| Status::from_io(&error, &request.path);
    // Opening a pipe or a device may otherwise wait or do something.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let mut file = file.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Status::new(
            Code::FailedPrecondition,
            "is-a-directory",
            format!("it is a directory: {}", request.path),
        ));
    }
    if !metadata.is_file() {
        let message = format!("not a regular file: {}; only those can be copied", request.path);
        return Err(Status::new(Code::FailedPrecondition, "not-a-regular-file", message));
    }
    let size = metadata.size();
    let header = FileHeader {
        size,
        mode: metadata.mode() & super::target::PERMISSIONS,
        mtime: metadata.mtime(),
        ..FileHeader::default()
    };
    channel.send(&GetFileResponse { response: Some(Response::Header(header)) })?;

    let mut sum = Sum::default();
    let mut buffer = vec![0; CHUNK];
    while sum.size() < size {
        let wanted = usize::try_from(size - sum.size()).unwrap_or(CHUNK).min(CHUNK);
        let count = file.read(buffer.get_mut(..wanted).unwrap_or_default()).map_err(failed)?;
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            let message = format!("the file became shorter while it was read: {}; try again", request.path);
            return Err(Status::new(Code::DataLoss, "file-changed", message));
        }
        sum.add(data);
        channel.send_data(2, data)?;
    }
    channel.send(&GetFileResponse { response: Some(Response::Trailer(sum.trailer())) })
}
