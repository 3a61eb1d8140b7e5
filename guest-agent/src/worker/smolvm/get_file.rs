//! `get_file`: one regular file out, exactly as long as its header says.

use super::{Frames, chunk, os_text, path};
use crate::rpc::status::Status;
use crate::smolvm::frame::{self, DATA, EOF};
use crate::worker::target::PERMISSIONS;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const NOT_REGULAR: &str = "not a regular file";

pub fn run(frames: &mut Frames) -> Result<(), Status> {
    let request = frames.request()?;
    let named = request.string("path").ok().flatten();
    match path(&request).and_then(|path| open(&path).map_err(|error| os_text(&error, named))) {
        Ok(file) => send(frames, file),
        Err(sentence) => frames.reply(&frame::refusal(&sentence)),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::other(NOT_REGULAR);
    // Looked at before, because opening a device may do something, and after, because it may be another file by then.
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// After the header a failure is a refusal in the place of the end, which no client takes for one.
fn send(frames: &mut Frames, mut file: File) -> Result<(), Status> {
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return frames.reply(&frame::refusal(&os_text(&error, None))),
    };
    let size = metadata.size();
    frames.reply(&json!({ "ok": true, "mode": metadata.mode() & PERMISSIONS, "size": size }))?;
    let (mut sent, mut buffer) = (0, chunk());
    while sent < size {
        let wanted = usize::try_from(size - sent).unwrap_or(buffer.len()).min(buffer.len());
        let count = match file.read(buffer.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => return frames.reply(&frame::refusal("the file became shorter while it was read; try again")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return frames.reply(&frame::refusal(&os_text(&error, None))),
        };
        frames.send(DATA, buffer.get(..count).unwrap_or_default())?;
        sent += count as u64;
    }
    frames.send(EOF, &[])
}
