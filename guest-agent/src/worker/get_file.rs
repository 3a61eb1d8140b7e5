//! `GetFile`: one regular file out, exactly as long as its header says. Its holes are told and not sent.

use super::channel::{CHUNK, Channel, Sum};
use super::holes::next_data;
use super::target::{PERMISSIONS, Time};
use crate::r#gen::agent::{FileHeader, GetFileRequest, GetFileResponse, get_file_response::Response};
use crate::rpc::status::{Code, Status};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GetFileRequest = channel.request()?;
    let path = channel.roots.enter_for(request.root, &request.path, "file")?;
    let failed = |error| Status::from_io(&error, &request.path);
    // Opening a pipe or a device may otherwise wait or do something.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(failed)?;
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
    let mtime = Time::of(&metadata);
    let mode = metadata.mode() & PERMISSIONS;
    send(channel, Response::Header(FileHeader { size, mode, mtime: mtime.seconds, mtime_nanos: mtime.nanos }))?;

    let mut sum = Sum::default();
    while sum.size() < size {
        let data = next_data(&file, sum.size(), size).map_err(|error| changed_or(&error, &request.path))?;
        let hole = data.map_or(size, |data| data.offset) - sum.size();
        if hole > 0 {
            sum.add_hole(hole);
            send(channel, Response::Hole(hole))?;
        }
        if let Some(data) = data {
            send_data(channel, &mut sum, &file, data.end()).map_err(|error| match error {
                Failure::Read(error) => changed_or(&error, &request.path),
                Failure::Sent(status) => status,
            })?;
        }
    }
    send(channel, Response::Trailer(sum.trailer()))
}

enum Failure {
    Read(io::Error),
    Sent(Status),
}

fn send_data(channel: &mut Channel, sum: &mut Sum, file: &File, end: u64) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK];
    while sum.size() < end {
        let wanted = usize::try_from(end - sum.size()).unwrap_or(CHUNK).min(CHUNK);
        let count = match file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), sum.size()) {
            Ok(0) => return Err(Failure::Read(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Read(error)),
        };
        let data = buffer.get(..count).unwrap_or_default();
        sum.add(data);
        channel.send_data(2, data).map_err(Failure::Sent)?;
    }
    Ok(())
}

fn send(channel: &mut Channel, response: Response) -> Result<(), Status> {
    channel.send(&GetFileResponse { response: Some(response) })
}

/// What a failed read of a file means that was open already.
pub fn changed_or(error: &io::Error, path: &str) -> Status {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return Status::from_io(error, path);
    }
    let message = format!("the file became shorter while it was read: {path}; try again");
    Status::new(Code::DataLoss, "file-changed", message)
}
