//! `Stat`: what is known of one path.

use super::channel::Channel;
use super::file_info::{file_info, is_link};
use super::folder::{read_link_at, stat_at};
use crate::r#gen::agent::{StatRequest, StatResponse};
use crate::rpc::status::Status;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: StatRequest = channel.request()?;
    let path = channel.roots.enter_for(request.root, &request.path, "path")?;
    let failed = |error| Status::from_io(&error, &request.path);
    let text = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    let found = stat_at(libc::AT_FDCWD, &text, request.follow).map_err(failed)?;
    let target = if is_link(&found) { read_link_at(libc::AT_FDCWD, &text).map_err(failed)? } else { Vec::new() };
    // The root has no name in any directory.
    let name = path.file_name().unwrap_or(path.as_os_str()).as_bytes();
    channel.send(&StatResponse { info: Some(file_info(name, &found, target)) })
}
