//! The file operations of SmolVM's protocol: its own frames on standard input and output, its own words in errors.

pub mod get_file;
pub mod put_file;

use crate::rpc::status::Status;
use crate::smolvm::frame::{self, CHUNK, HEADER, Header, MAX_PAYLOAD};
use crate::smolvm::python;
use crate::smolvm::request::Request;
use serde_json::Value;
use std::io::{self, Read, StdinLock, StdoutLock, Write};
use std::path::PathBuf;

pub struct Frames {
    input: StdinLock<'static>,
    output: StdoutLock<'static>,
}

impl Frames {
    pub fn new() -> Self {
        Self { input: io::stdin().lock(), output: io::stdout().lock() }
    }

    /// The next header, or none at the end of the input.
    fn header(&mut self) -> Option<Header> {
        let mut bytes = [0; HEADER];
        self.input.read_exact(&mut bytes).ok()?;
        Header::read(&bytes)
    }

    fn request(&mut self) -> Result<Request, Status> {
        let torn = || Status::invalid("no-request", "the call ended before its request");
        let length = self.header().map(|header| header.length).filter(|length| *length <= MAX_PAYLOAD);
        let mut payload = vec![0; length.ok_or_else(torn)?];
        self.input.read_exact(&mut payload).map_err(|_| torn())?;
        frame::object(&payload).ok_or_else(torn)
    }

    fn send(&mut self, kind: u8, payload: &[u8]) -> Result<(), Status> {
        let header = Header { kind, length: payload.len() }.write();
        self.write(&header).and_then(|()| self.write(payload))
    }

    fn reply(&mut self, reply: &Value) -> Result<(), Status> {
        self.write(&frame::json(reply))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.output.write_all(bytes).and_then(|()| self.output.flush()).map_err(|_| Status::gone())
    }
}

/// The path of a request, from the root's top when it is relative: that is where a worker stands.
fn path(request: &Request) -> Result<PathBuf, String> {
    match request.string("path") {
        Ok(Some(path)) => Ok(PathBuf::from("/").join(path)),
        Ok(None) => Err("missing 'path'".to_owned()),
        Err(sentence) => Err(format!("agent error: {sentence}")),
    }
}

/// The operating system's own text, as the first server of this protocol wrote it.
fn os_text(error: &io::Error, path: Option<&str>) -> String {
    let text = error.to_string();
    let Some(number) = error.raw_os_error() else { return text };
    let text = text.split(" (os error").next().unwrap_or_default();
    let path = path.map(|path| format!(": {}", python::repr_str(path))).unwrap_or_default();
    format!("[Errno {number}] {text}{path}")
}

/// A buffer for one frame's payload.
fn chunk() -> Vec<u8> {
    vec![0; CHUNK]
}
