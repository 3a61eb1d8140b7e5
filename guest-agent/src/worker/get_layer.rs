//! `GetLayer`: the upper directory of an overlay as a layer of an OCI image. What is gone is a file called `.wh.NAME` there, a
//! directory that hides what was below it has one called `.wh..wh..opq`: https://github.com/opencontainers/image-spec/blob/main/layer.md

use super::archive::{Archive, Stream, attributes, gone};
use super::channel::Channel;
use super::walk::unless_vanished;
use crate::r#gen::agent::{GetLayerRequest, GetLayerResponse, LayerTrailer, get_layer_response::Response};
use crate::image::mark;
use crate::init::mount;
use crate::rpc::status::Status;
use crate::xattr;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const OPAQUE: &CStr = c"trusted.overlay.opaque";
const REDIRECT: &CStr = c"trusted.overlay.redirect";

/// The three directories of an overlay, as the agent sees them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Overlay {
    /// What is seen in the end.
    pub merged: PathBuf,
    /// What was changed.
    pub upper: PathBuf,
    /// What it was before.
    pub lower: PathBuf,
    /// The disk to be mounted there first; empty when that was done.
    pub device: PathBuf,
}

pub fn run(channel: &mut Channel, overlay: &Overlay) -> Result<(), Status> {
    let request: GetLayerRequest = channel.request()?;
    if let Some(path) = request.exclude.iter().find(|path| !path.starts_with('/')) {
        return Err(Status::invalid("bad-path", format!("not an absolute path: {path:?}")));
    }
    mount_lower(overlay).map_err(|error| Status::from_io(&error, "the image's disk"))?;
    let mut stream = Stream::new(channel);
    let mut archive = Archive::new(&mut stream, false);
    let exclude = request.exclude.iter().map(|path| PathBuf::from(path.trim_matches('/'))).collect();
    Layer { archive: &mut archive, overlay, exclude, parents: Vec::new() }.all()?;
    archive.writer.finish().map_err(gone)?;
    let entries = archive.entries;
    let trailer = LayerTrailer { stream: Some(stream.sum.trailer()), entries };
    stream.channel.send(&GetLayerResponse { response: Some(Response::Trailer(trailer)) })
}

/// In a mount namespace of our own: it goes with this process.
fn mount_lower(overlay: &Overlay) -> io::Result<()> {
    if overlay.device.as_os_str().is_empty() {
        return Ok(());
    }
    // SAFETY: plain system call.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    mount::mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    fs::create_dir_all(&overlay.lower)?;
    mount::mount(&overlay.device.to_string_lossy(), &overlay.lower, "erofs", libc::MS_RDONLY, "")
}

struct Layer<'a, 'b> {
    archive: &'a mut Archive<'b>,
    overlay: &'a Overlay,
    exclude: Vec<PathBuf>,
    /// Directories above the current one that are only worth an entry if there is one below them.
    parents: Vec<(PathBuf, Metadata)>,
}

impl Layer<'_, '_> {
    fn all(&mut self) -> Result<(), Status> {
        let (upper, lower) = (&self.overlay.upper, &self.overlay.lower);
        let top = fs::symlink_metadata(upper).map_err(|error| failed(&error, upper))?;
        if !is_same(&top, lower) {
            self.entry(Path::new("."), upper, &top)?;
        }
        self.changed(Path::new(""))
    }

    /// What the upper directory has in this folder.
    fn changed(&mut self, folder: &Path) -> Result<(), Status> {
        for name in names(&self.overlay.upper.join(folder))? {
            let relative = folder.join(&name);
            let path = self.overlay.upper.join(&relative);
            let Some(metadata) = unless_vanished(fs::symlink_metadata(&path), &path)? else { continue };
            if self.exclude.contains(&relative) {
                continue;
            }
            if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
                self.whiteout(folder, &name, &metadata)?;
            } else if metadata.is_dir() {
                self.directory(&relative, &path, &metadata)?;
            } else if !mark::is_ours(&path) {
                self.entry(&relative, &path, &metadata)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        let before = self.overlay.lower.join(relative);
        // It was something else's name, so that all that is seen in it is new here.
        let was_elsewhere = xattr::get(path, REDIRECT).is_ok();
        let is_opaque = was_elsewhere || xattr::get(path, OPAQUE).is_ok_and(|value| value == b"y");
        let hides = is_opaque && fs::symlink_metadata(&before).is_ok_and(|before| before.is_dir());
        if was_elsewhere || hides || !mark::is_ours(path) && !is_same(metadata, &before) {
            self.entry(relative, path, metadata)?;
            if hides {
                self.whiteout(relative, OsStr::new(".wh..opq"), metadata)?;
            }
            return if was_elsewhere { self.whole(relative) } else { self.changed(relative) };
        }
        let depth = self.parents.len();
        self.parents.push((relative.to_owned(), metadata.clone()));
        self.changed(relative)?;
        self.parents.truncate(depth);
        Ok(())
    }

    /// All that is seen in this folder, what is mounted there left out.
    fn whole(&mut self, folder: &Path) -> Result<(), Status> {
        let merged = self.overlay.merged.join(folder);
        let Some(here) = unless_vanished(fs::symlink_metadata(&merged), &merged)? else { return Ok(()) };
        for name in names(&merged)? {
            let (relative, path) = (folder.join(&name), merged.join(&name));
            let Some(metadata) = unless_vanished(fs::symlink_metadata(&path), &path)? else { continue };
            // Of an overlay only directories have one device number.
            if self.exclude.contains(&relative) || metadata.is_dir() && metadata.dev() != here.dev() {
                continue;
            }
            self.entry(&relative, &path, &metadata)?;
            if metadata.is_dir() {
                self.whole(&relative)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, folder: &Path, name: &OsStr, of: &Metadata) -> Result<(), Status> {
        self.announce()?;
        let name = [b".wh.", name.as_bytes()].concat();
        let name = folder.join(OsStr::from_bytes(&name));
        let mut attributes = attributes(of);
        attributes.mode = 0o644;
        self.archive.entries += 1;
        self.archive.writer.file(name.as_os_str().as_bytes(), attributes, 0, &[]).map_err(gone)
    }

    fn entry(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        self.announce()?;
        self.write(relative, path, metadata)
    }

    /// The directories above, so that they keep their modes.
    fn announce(&mut self) -> Result<(), Status> {
        for (relative, metadata) in std::mem::take(&mut self.parents) {
            self.write(&relative, &self.overlay.upper.join(&relative), &metadata)?;
        }
        Ok(())
    }

    fn write(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        let (name, kind) = (relative.as_os_str().as_bytes(), metadata.file_type());
        if kind.is_socket() {
            return Ok(());
        }
        let writer = &mut self.archive.writer;
        if kind.is_symlink() {
            let Some(target) = unless_vanished(fs::read_link(path), path)? else { return Ok(()) };
            writer.symlink(name, target.as_os_str().as_bytes(), attributes(metadata)).map_err(gone)?;
        } else if kind.is_file() {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
            let Some(file) = unless_vanished(file, path)? else { return Ok(()) };
            self.describe(path)?;
            return self.archive.file(name, &file, path);
        } else if kind.is_dir() {
            self.describe(path)?;
            self.archive.writer.directory(name, attributes(metadata)).map_err(gone)?;
        } else {
            let kind = if kind.is_fifo() {
                b'6'
            } else if kind.is_block_device() {
                b'4'
            } else {
                b'3'
            };
            let device = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
            writer.device(kind, name, attributes(metadata), device).map_err(gone)?;
        }
        self.archive.entries += 1;
        Ok(())
    }

    /// The extended attributes that belong to an image. An overlay's own would steer the one that it becomes part of.
    fn describe(&mut self, path: &Path) -> Result<(), Status> {
        for name in unless_vanished(xattr::names(path), path)?.unwrap_or_default() {
            let bytes = name.as_bytes();
            // The record could not be read with a sign in its name.
            let is_kept = bytes == b"security.capability" || bytes.starts_with(b"user.") && !bytes.contains(&b'=');
            if let (true, Ok(value)) = (is_kept, xattr::get(path, &name)) {
                self.archive.writer.attribute(bytes, &value);
            }
        }
        Ok(())
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>, Status> {
    let Some(entries) = unless_vanished(fs::read_dir(folder), folder)? else { return Ok(Vec::new()) };
    let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut names = names.map_err(|error| failed(&error, folder))?;
    names.sort_unstable_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
    Ok(names)
}

/// Whether a directory says about itself what it said before.
fn is_same(metadata: &Metadata, before: &Path) -> bool {
    fs::symlink_metadata(before).is_ok_and(|before| {
        let of = |metadata: &Metadata| (metadata.mode(), metadata.uid(), metadata.gid());
        of(&before) == of(metadata)
    })
}

fn failed(error: &io::Error, path: &Path) -> Status {
    Status::from_io(error, &path.to_string_lossy())
}
