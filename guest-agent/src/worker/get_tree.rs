//! `GetTree`: what the globs select, as a tar stream.

use super::archive::{Archive, Stream, attributes, gone};
use super::channel::Channel;
use super::globs::Globs;
use super::totals::Totals;
use super::walk::{Visitor, unless_vanished, walk};
use crate::r#gen::agent::{GetTreeRequest, GetTreeResponse, TreeTrailer, get_tree_response::Response};
use crate::rpc::status::{Code, Status};
use std::fs::{self, Metadata, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GetTreeRequest = channel.request()?;
    let base = channel.roots.enter_for(request.root, &request.directory, "directory")?;
    let globs = Globs::new(&request.include, &request.exclude)?;
    let metadata = fs::metadata(base).map_err(|error| Status::from_io(&error, &request.directory))?;
    if !metadata.is_dir() {
        let message = format!("not a directory: {}", request.directory);
        return Err(Status::new(Code::FailedPrecondition, "not-a-directory", message));
    }
    if request.totals {
        let mut totals = Totals::default();
        walk(base, &globs, &mut totals)?;
        channel.send(&GetTreeResponse { response: Some(Response::Totals(totals.totals)) })?;
    }
    let mut stream = Stream::new(channel);
    let mut archive = Archive::new(&mut stream, true);
    walk(base, &globs, &mut archive)?;
    archive.writer.finish().map_err(gone)?;
    let entries = archive.entries;
    let trailer = TreeTrailer { stream: Some(stream.sum.trailer()), entries };
    stream.channel.send(&GetTreeResponse { response: Some(Response::Trailer(trailer)) })
}

impl Visitor for Archive<'_> {
    fn visit(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        let name = relative.as_os_str().as_bytes();
        if metadata.is_dir() {
            self.writer.directory(name, attributes(metadata)).map_err(gone)?;
        } else if metadata.is_symlink() {
            let Some(target) = unless_vanished(fs::read_link(path), path)? else { return Ok(()) };
            self.writer.symlink(name, target.as_os_str().as_bytes(), attributes(metadata)).map_err(gone)?;
        } else {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
            let Some(file) = unless_vanished(file, path)? else { return Ok(()) };
            return self.file(name, &file, path);
        }
        self.entries += 1;
        Ok(())
    }
}
