//! The line a failed worker leaves: code, reason, sentence.

use crate::rpc::status::{Code, Status};

/// The reasons a worker can give. A status carries its reason as a static word, so the agent looks the line's word up here.
const REASONS: &[&str] = &[
    "already-exists",
    "bad-archive",
    "bad-argument",
    "bad-glob",
    "bad-message",
    "bad-path",
    "bad-root",
    "busy",
    "checksum",
    "client-gone",
    "compressed",
    "disk-full",
    "file-changed",
    "io-error",
    "is-a-directory",
    "message-too-large",
    "name-too-long",
    "no-header",
    "no-request",
    "no-such-file",
    "not-a-directory",
    "not-a-regular-file",
    "not-empty",
    "no-root",
    "not-growable",
    "out-of-resources",
    "permission-denied",
    "read-only",
    "short-body",
    "symlink-loop",
    "torn-message",
    "unknown-method",
    "unknown-user",
    "unsafe-path",
    "unsupported-entry",
];

pub fn write(status: &Status) -> String {
    format!("{} {} {}", status.code as u8, status.reason, status.message.replace('\n', " "))
}

/// The status of a worker that ended without success.
pub fn parse(text: &str) -> Status {
    let mut words = text.trim().splitn(3, ' ');
    let code = words.next().and_then(|word| word.parse().ok()).map(Code::from_number);
    let reason = words.next().and_then(|word| REASONS.iter().find(|reason| **reason == word));
    match (code, reason) {
        (Some(code), Some(reason)) => Status::new(code, reason, words.next().unwrap_or_default()),
        _ => Status::new(Code::Internal, "worker-failed", format!("the file worker broke: {}", text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_survives_the_line() {
        let status = Status::new(Code::DataLoss, "checksum", "wrong sum: /a b");
        assert_eq!(parse(&write(&status)), status);
    }

    #[test]
    fn anything_else_is_a_broken_worker() {
        for text in ["", "thread panicked", "3 made-up x"] {
            assert_eq!(parse(text).reason, "worker-failed");
        }
    }
}
