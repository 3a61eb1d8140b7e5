//! `put_file`: one regular file in. It gets its name only when it is whole, so the old one stays until then.

use super::{Frames, chunk, os_text, path};
use crate::rpc::status::Status;
use crate::smolvm::frame::{self, DATA, EOF};
use crate::smolvm::request::Request;
use crate::worker::put_file::Temporary;
use crate::worker::target::PERMISSIONS;
use serde_json::json;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub fn run(frames: &mut Frames) -> Result<(), Status> {
    let request = frames.request()?;
    match put(frames, &request) {
        Ok(()) => frames.reply(&json!({ "ok": true })),
        Err(sentence) => frames.reply(&frame::refusal(&sentence)),
    }
}

/// The agent takes the rest of the upload from the client when this fails before its end.
fn put(frames: &mut Frames, request: &Request) -> Result<(), String> {
    let agent_error = |sentence| format!("agent error: {sentence}");
    let target = target(request)?;
    let mode = request.number("mode", None).map_err(agent_error)?;
    let size = request.size().map_err(agent_error)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let in_folder = folder.to_str();
    let mut temporary =
        Temporary::create(folder).map_err(|error| format!("cannot create file: {}", os_text(&error, in_folder)))?;
    receive(frames, size, &mut temporary)?;
    if let Some(mode) = mode {
        let permissions = Permissions::from_mode(mode as u32 & PERMISSIONS);
        temporary.file.set_permissions(permissions).map_err(|error| os_text(&error, target.to_str()))?;
    }
    temporary.rename(&target).map_err(|error| os_text(&error, target.to_str()))
}

/// Where the file goes: below the path when that is a directory, under the name that it had at the client.
fn target(request: &Request) -> Result<PathBuf, String> {
    let target = path(request)?;
    if !target.is_dir() {
        return Ok(target);
    }
    let name = request.string("name").map_err(|sentence| format!("agent error: {sentence}"))?.unwrap_or_default();
    match name.rsplit('/').next().unwrap_or_default() {
        "" => {
            let given = request.string("path").ok().flatten().unwrap_or_default();
            Err(format!("destination is a directory and no filename was provided: {given}"))
        }
        "." | ".." => Err(format!("destination filename is invalid: {name} (cannot be '.' or '..')")),
        base => Ok(target.join(base)),
    }
}

fn receive(frames: &mut Frames, size: u64, temporary: &mut Temporary) -> Result<(), String> {
    let (mut received, mut buffer) = (0, chunk());
    let short = |received| format!("short upload: {received} of {size} bytes arrived; the old file stays");
    while received < size {
        let header = match frames.header() {
            Some(header) if header.kind == DATA => header,
            Some(header) if header.kind != EOF => {
                return Err(format!("unexpected frame type {} during upload", header.kind));
            }
            _ => return Err(short(received)),
        };
        let mut left = header.length;
        while left > 0 {
            let wanted = left.min(buffer.len());
            let count = frames.input.read(buffer.get_mut(..wanted).unwrap_or_default()).unwrap_or(0);
            let data = buffer.get(..count).unwrap_or_default();
            if data.is_empty() {
                return Err(short(received));
            }
            temporary.file.write_all(data).map_err(|error| os_text(&error, None))?;
            left -= count.min(left);
            received += count as u64;
        }
    }
    Ok(())
}
