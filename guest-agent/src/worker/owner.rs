//! Whom files that come in belong to.

use crate::process::user;
use crate::rpc::status::{Code, Status};
use crate::system;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{fchown, lchown};
use std::path::Path;

/// None when the agent is an ordinary user and nobody was named: files are its own then.
#[derive(Clone, Copy)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    pub fn find(wanted: &str) -> Result<Self, Status> {
        if wanted.is_empty() && !system::is_root() {
            return Ok(Self(None));
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let account = user::find(wanted, &read("/etc/passwd"), &read("/etc/group")).map_err(|unknown| {
            let message = format!("unknown {unknown}: not in the guest's /etc/passwd and /etc/group");
            Status::new(Code::FailedPrecondition, "unknown-user", message)
        })?;
        Ok(Self(Some((account.uid, account.gid))))
    }

    pub fn give(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some((uid, gid)) => lchown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    pub fn give_file(self, file: &File) -> io::Result<()> {
        match self.0 {
            Some((uid, gid)) => fchown(file, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}
