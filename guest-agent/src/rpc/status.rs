//! How a call ended, and how that is written into HTTP/2 headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// The gRPC status codes that this agent uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    DataLoss = 15,
}

impl Code {
    /// The code with this number; what the agent never sends reads as `Internal`.
    pub fn from_number(number: u8) -> Self {
        const ALL: [Code; 11] = [
            Code::Ok,
            Code::Cancelled,
            Code::Unknown,
            Code::InvalidArgument,
            Code::DeadlineExceeded,
            Code::NotFound,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Unimplemented,
            Code::DataLoss,
        ];
        ALL.into_iter().find(|code| *code as u8 == number).unwrap_or(Code::Internal)
    }
}

/// The end of a call. `reason` is one word for programs, `message` a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    pub code: Code,
    pub reason: &'static str,
    pub message: String,
}

impl Status {
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    pub fn ok() -> Self {
        Self::new(Code::Ok, "", "")
    }

    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, reason, message)
    }

    /// Nobody reads it: the client is gone.
    pub fn gone() -> Self {
        Self::new(Code::Cancelled, "client-gone", "the client went away")
    }

    /// The client neither sends nor reads.
    pub fn slow(deadline: Duration) -> Self {
        let message = format!("the client did nothing for {} s; the call is given up", deadline.as_secs());
        Self::new(Code::DeadlineExceeded, "slow-client", message)
    }

    /// What a failed system call means to the client.
    pub fn from_io(error: &io::Error, subject: &str) -> Self {
        let (code, reason, words) = match error.raw_os_error() {
            Some(libc::ENOENT) => (Code::NotFound, "no-such-file", "no such file or directory"),
            Some(libc::ENOTDIR) => {
                (Code::FailedPrecondition, "not-a-directory", "a part of the path is not a directory")
            }
            Some(libc::EISDIR) => (Code::FailedPrecondition, "is-a-directory", "it is a directory"),
            Some(libc::EACCES | libc::EPERM) => (Code::PermissionDenied, "permission-denied", "permission denied"),
            Some(libc::ENOSPC | libc::EDQUOT) => {
                (Code::ResourceExhausted, "disk-full", "no space left on the guest's disk")
            }
            Some(libc::EROFS) => (Code::FailedPrecondition, "read-only", "the file system is read-only"),
            Some(libc::ELOOP) => (Code::FailedPrecondition, "symlink-loop", "too many symbolic links"),
            Some(libc::ENAMETOOLONG) => (Code::InvalidArgument, "name-too-long", "a name in the path is too long"),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN) => {
                (Code::ResourceExhausted, "out-of-resources", "the guest is out of memory, processes or files")
            }
            _ => return Self::new(Code::Internal, "io-error", format!("{error}: {subject}")),
        };
        Self::new(code, reason, format!("{words}: {subject}"))
    }

    /// The trailers that carry this status.
    pub fn trailers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(self.code as u8 as u16));
        if !self.message.is_empty()
            && let Ok(value) = HeaderValue::from_str(&percent_encode(&self.message))
        {
            map.insert(HeaderName::from_static("grpc-message"), value);
        }
        if !self.reason.is_empty() {
            map.insert(HeaderName::from_static("vm-runner-reason"), HeaderValue::from_static(self.reason));
        }
        map
    }
}

/// Percent-encoding as gRPC wants it, cut so that the trailers stay well below the header list limit of any client.
fn percent_encode(text: &str) -> String {
    const LONGEST: usize = 4096;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if encoded.len() >= LONGEST {
            break;
        }
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_percent_encoded() {
        assert_eq!(percent_encode("50% of \u{fc}\n"), "50%25 of %C3%BC%0A");
    }

    #[test]
    fn trailers_carry_code_reason_and_message() {
        let trailers = Status::new(Code::NotFound, "command-not-found", "command not found: x").trailers();
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["vm-runner-reason"], "command-not-found");
        assert_eq!(trailers["grpc-message"], "command not found: x");
    }

    #[test]
    fn unknown_code_numbers_read_as_internal() {
        assert_eq!(Code::from_number(99), Code::Internal);
        assert_eq!(Code::from_number(5), Code::NotFound);
    }
}
