//! What is refused. Real disks grow in test/e2e/grow-disk.test.ts, in a guest of their own.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use support::{Agent, refusal, run};
use vm_agent::r#gen::agent::GrowDiskRequest;

#[test]
fn file_system_that_is_on_no_disk_is_refused() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        for (root, path, code, reason) in [
            (0, "/proc", 9, "not-growable"),
            (2, "/proc/self/status", 9, "not-growable"),
            (1, "/no/such", 5, "no-such-file"),
            (0, "proc", 3, "bad-path"),
            (3, "/proc", 3, "bad-root"),
        ] {
            let end = refusal(&mut client, "GrowDisk", &GrowDiskRequest { root, path: path.into() }).await;
            assert_eq!((end.code, &*end.reason), (code, reason), "{path}: {end:?}");
        }
    });
}

#[test]
fn command_says_in_a_sentence_why_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_vm-agent")).args(["grow-disk", "/proc"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "vm-agent: on no disk but a proc file system: /proc\n");
    let output = Command::new(env!("CARGO_BIN_EXE_vm-agent")).args(["grow-disk", "/proc", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
