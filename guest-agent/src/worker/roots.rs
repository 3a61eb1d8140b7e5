//! The roots that a worker may enter.

use crate::r#gen::agent::Root;
use crate::root;
use crate::rpc::status::{Code, Status};
use std::os::unix::fs::chroot;
use std::path::Path;

/// Each an absolute path, or else the sentence why there is no such root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roots {
    pub image: String,
    pub base: String,
}

impl Roots {
    pub fn enter(&self, wanted: Root) -> Result<(), Status> {
        let root = if wanted == Root::Base { &self.base } else { &self.image };
        let no_root = |why: &str| Status::new(Code::FailedPrecondition, "no-root", why);
        if !root.starts_with('/') {
            return Err(no_root(root));
        }
        let entered = if root == "/" { Ok(()) } else { chroot(root) };
        entered
            .and_then(|()| std::env::set_current_dir("/"))
            .map_err(|error| no_root(&format!("no root: {root}: {error}")))
    }

    /// Enters the root that a request names by its number, for this path in it: absolute, as all paths on the wire are.
    pub fn enter_for<'a>(&self, root: i32, path: &'a str, what: &str) -> Result<&'a Path, Status> {
        let root = root::named(root)?;
        if !path.starts_with('/') || path.contains('\0') {
            return Err(Status::invalid("bad-path", format!("the {what} is not an absolute path: {path:?}")));
        }
        self.enter(root)?;
        Ok(Path::new(path))
    }
}
