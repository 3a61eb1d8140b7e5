//! `PutFile`: one regular file in. It gets its name only when it is whole, so the old one stays until then.

use super::channel::{Channel, Sum, no_content, short_body};
use super::owner::Owner;
use super::target::{self, Time};
use super::temporary::Temporary;
use crate::r#gen::agent::{PutFileHeader, PutFileRequest, PutFileResponse, put_file_request::Request};
use crate::rpc::status::{Code, Status};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let first: PutFileRequest = channel.request()?;
    let Some(Request::Header(header)) = first.request else {
        return Err(Status::invalid("no-header", "the first message is not a header; send PutFileHeader first"));
    };
    let path = channel.roots.enter_for(header.root, &header.path, "file")?;
    let owner = Owner::find(&header.owner)?;
    let failed = |error| Status::from_io(&error, &header.path);
    let (Some(folder), Some(_), false) = (path.parent(), path.file_name(), header.path.ends_with('/')) else {
        return Err(is_a_directory(&header.path));
    };
    if path.is_dir() {
        return Err(is_a_directory(&header.path));
    }
    let file = header.file.unwrap_or_default();
    if file.mtime_nanos >= 1_000_000_000 {
        let message = format!("mtime_nanos is more than a second: {}", file.mtime_nanos);
        return Err(Status::invalid("bad-argument", message));
    }
    target::make_directories(folder, owner).map_err(failed)?;
    let mut temporary = Temporary::create(folder).map_err(failed)?;
    let size = receive(channel, &header, &mut temporary.file)?;
    let mtime = Time { seconds: file.mtime, nanos: file.mtime_nanos };
    target::finish_file(&temporary.file, owner, file.mode, mtime).map_err(failed)?;
    temporary.place(path).map_err(failed)?;
    channel.send(&PutFileResponse { size })
}

fn receive(channel: &mut Channel, header: &PutFileHeader, file: &mut File) -> Result<u64, Status> {
    let failed = |error| Status::from_io(&error, &header.path);
    let announced = header.file.unwrap_or_default().size;
    let mut sum = Sum::default();
    loop {
        match next_part(channel)? {
            Request::Data(data) => {
                sum.add(&data);
                if sum.size() > announced {
                    return Err(wrong_size(announced, "more"));
                }
                file.write_all(&data).map_err(failed)?;
            }
            Request::Hole(size) => {
                sum.add_hole(size);
                if sum.size() > announced {
                    return Err(wrong_size(announced, "more"));
                }
                file.seek(SeekFrom::Start(sum.size())).map_err(failed)?;
            }
            Request::Trailer(trailer) => {
                sum.check(&trailer)?;
                if sum.size() != announced {
                    return Err(wrong_size(announced, "fewer"));
                }
                // It may end in a hole.
                file.set_len(announced).map_err(failed)?;
                return Ok(announced);
            }
            Request::Header(_) => return Err(no_content()),
        }
    }
}

fn next_part(channel: &mut Channel) -> Result<Request, Status> {
    channel.next::<PutFileRequest>()?.ok_or_else(short_body)?.request.ok_or_else(no_content)
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
