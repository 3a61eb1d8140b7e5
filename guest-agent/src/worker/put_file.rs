//! `PutFile`: one regular file in. It gets its name only when it is whole, so the old one stays until then.

use super::absolute;
use super::channel::{Channel, Part, Sum, short_body};
use super::owner::Owner;
use super::target;
use crate::r#gen::agent::{PutFileHeader, PutFileRequest, PutFileResponse, put_file_request::Request};
use crate::rpc::status::{Code, Status};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let first: PutFileRequest = channel.request()?;
    let Some(Request::Header(header)) = first.request else {
        return Err(Status::invalid("no-header", "the first message is not a header; send PutFileHeader first"));
    };
    let path = absolute(&header.path, "file")?;
    let owner = Owner::find(&header.owner)?;
    let failed = |error| Status::from_io(&error, &header.path);
    let (Some(folder), Some(_), false) = (path.parent(), path.file_name(), header.path.ends_with('/')) else {
        return Err(is_a_directory(&header.path));
    };
    if path.is_dir() {
        return Err(is_a_directory(&header.path));
    }
    target::make_directories(folder, owner).map_err(failed)?;
    let mut temporary = Temporary::create(folder).map_err(failed)?;
    let size = receive(channel, &header, &mut temporary.file)?;
    let file = header.file.unwrap_or_default();
    target::finish(&temporary.path, owner, file.mode, file.mtime).map_err(failed)?;
    temporary.rename(path).map_err(failed)?;
    channel.send(&PutFileResponse { size })
}

fn receive(channel: &mut Channel, header: &PutFileHeader, file: &mut File) -> Result<u64, Status> {
    let announced = header.file.unwrap_or_default().size;
    let mut sum = Sum::default();
    loop {
        match next_part(channel)? {
            Part::Data(data) => {
                sum.add(&data);
                if sum.size() > announced {
                    return Err(wrong_size(announced, "more"));
                }
                file.write_all(&data).map_err(|error| Status::from_io(&error, &header.path))?;
            }
            Part::Trailer(trailer) => {
                sum.check(&trailer)?;
                if sum.size() != announced {
                    return Err(wrong_size(announced, "fewer"));
                }
                return Ok(sum.size());
            }
        }
    }
}

fn next_part(channel: &mut Channel) -> Result<Part, Status> {
    match channel.next::<PutFileRequest>()?.map(|message| message.request) {
        Some(Some(Request::Data(data))) => Ok(Part::Data(data)),
        Some(Some(Request::Trailer(trailer))) => Ok(Part::Trailer(trailer)),
        Some(_) => Err(Status::invalid("bad-message", "neither data nor a trailer came after the header")),
        None => Err(short_body()),
    }
}

fn wrong_size(announced: u64, than: &str) -> Status {
    Status::new(
        Code::DataLoss,
        "checksum",
        format!("{than} bytes arrived than the header's {announced}; the old file stays"),
    )
}

fn is_a_directory(path: &str) -> Status {
    let message = format!("it is a directory: {path}; name the new file itself");
    Status::new(Code::FailedPrecondition, "is-a-directory", message)
}

/// A file beside its final place, removed unless it was renamed.
pub struct Temporary {
    pub file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".vm-agent-{}", std::process::id()));
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = create().or_else(|error| match error.kind() {
            // Of a worker that was killed, since no live one has our pid.
            io::ErrorKind::AlreadyExists => fs::remove_file(&path).and_then(|()| create()),
            _ => Err(error),
        })?;
        Ok(Self { file, path, renamed: false })
    }

    pub fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}
