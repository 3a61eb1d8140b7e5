//! `MakeDir`: a directory, with what is missing above it when that is asked for.

use super::channel::Channel;
use super::owner::Owner;
use super::target::{self, NEW_FOLDER, PERMISSIONS};
use crate::r#gen::agent::{MakeDirRequest, MakeDirResponse};
use crate::rpc::status::Status;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: MakeDirRequest = channel.request()?;
    let path = channel.roots.enter_for(request.root, &request.path, "directory")?;
    let owner = Owner::find(&request.owner)?;
    let failed = |error| Status::from_io(&error, &request.path);
    if request.parents
        && let Some(parent) = path.parent()
    {
        target::make_directories(parent, owner).map_err(failed)?;
    }
    // Closed until it has its owner.
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if request.parents && error.kind() == io::ErrorKind::AlreadyExists => {
            // Says so when it is something else than a directory.
            target::make_directories(path, owner).map_err(failed)?;
            return channel.send(&MakeDirResponse { made: false });
        }
        Err(error) => return Err(failed(error)),
    }
    let mode = if request.mode == 0 { NEW_FOLDER } else { request.mode & PERMISSIONS };
    owner.give(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))).map_err(failed)?;
    channel.send(&MakeDirResponse { made: true })
}
