// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

//! Files over SmolVM's protocol.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::smolvm::{DATA, EOF, STDOUT, frame};
use support::{Agent, children, run, until};
use tokio::io::AsyncWriteExt;

/// Sends a whole upload as SmolVM's client does, its EOF frame too when told.
async fn put(agent: &Agent, mut request: Value, content: &[u8], with_end: bool) -> Value {
    let mut client = agent.smolvm().await;
    request["op"] = "put_file".into();
    request["size"] = content.len().into();
    client.send(&support::smolvm::json(&request)).await;
    for part in content.chunks(64 << 10) {
        client.send(&frame(DATA, part)).await;
    }
    if with_end {
        client.send(&frame(EOF, b"")).await;
    }
    client.reply().await
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn only_these(folder: &Path, names: &[&str]) -> bool {
    let mut found: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.retain(|name| !name.ends_with(".sock"));
    found.sort();
    found == names
}

#[test]
fn upload_gets_its_mode_or_is_private() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        let content: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
        for (wanted, with_end, expected) in [(json!(0o640), true, 0o640), (json!(null), false, 0o600)] {
            let reply = put(&agent, json!({ "path": path, "mode": wanted, "name": "other" }), &content, with_end).await;
            assert_eq!(reply, json!({ "ok": true }));
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(mode(&path), expected);
        }
        assert!(only_these(&agent.folder.0, &["f"]));
    });
}

#[test]
fn empty_upload_may_have_an_end_or_none() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("empty");
        for with_end in [true, false] {
            assert_eq!(put(&agent, json!({ "path": path }), b"", with_end).await, json!({ "ok": true }));
            assert_eq!(fs::read(&path).unwrap(), b"");
            fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn upload_into_a_directory_takes_the_name_without_its_folders() {
    run(async {
        let agent = Agent::start();
        let folder = agent.folder.path("d");
        fs::create_dir(&folder).unwrap();
        for (name, landed) in [("report.md", "report.md"), ("../escape", "escape")] {
            assert_eq!(put(&agent, json!({ "path": folder, "name": name }), b"x", true).await, json!({ "ok": true }));
            assert_eq!(fs::read(Path::new(&folder).join(landed)).unwrap(), b"x");
        }
        let refused = |error: String| json!({ "ok": false, "error": error });
        for name in [".", "..", "a/.."] {
            let expected = format!("destination filename is invalid: {name} (cannot be '.' or '..')");
            assert_eq!(put(&agent, json!({ "path": folder, "name": name }), b"x", true).await, refused(expected));
        }
        for request in
            [json!({ "path": folder }), json!({ "path": folder, "name": "" }), json!({ "path": folder, "name": "a/" })]
        {
            let expected = format!("destination is a directory and no filename was provided: {folder}");
            assert_eq!(put(&agent, request, b"x", true).await, refused(expected));
        }
        assert!(only_these(Path::new(&folder), &["escape", "report.md"]));
    });
}

#[test]
fn upload_that_cannot_be_written_is_taken_to_its_end_and_refused() {
    run(async {
        let agent = Agent::start();
        let missing = agent.folder.path("no/such");
        let reply = put(&agent, json!({ "path": missing }), &vec![0; 3_000_000], true).await;
        let folder = agent.folder.path("no");
        let error = format!("cannot create file: [Errno 2] No such file or directory: '{folder}'");
        assert_eq!(reply, json!({ "ok": false, "error": error }));
        for request in [json!({}), json!({ "path": null }), json!({ "path": "" })] {
            let reply = put(&agent, request, &[0; 100_000], true).await;
            assert_eq!(reply, json!({ "ok": false, "error": "missing 'path'" }));
        }
        let reply = put(&agent, json!({ "path": 7 }), b"x", true).await;
        assert_eq!(reply["error"], "agent error: 'path' is not a string: 7");
        let reply = put(&agent, json!({ "path": "/dev/full/x" }), b"x", true).await;
        assert!(reply["error"].as_str().unwrap().starts_with("cannot create file: [Errno 20]"), "{reply}");
    });
}

#[test]
fn short_upload_is_an_error_and_the_old_file_stays() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        fs::write(&path, "old").unwrap();
        for half_close in [false, true] {
            let mut client = agent.smolvm().await;
            client.send(&support::smolvm::json(&json!({ "op": "put_file", "path": path, "size": 10 }))).await;
            client.send(&frame(DATA, b"four")).await;
            if half_close {
                client.0.shutdown().await.unwrap();
            } else {
                client.send(&frame(EOF, b"")).await;
            }
            let error = "short upload: 4 of 10 bytes arrived; the old file stays";
            assert_eq!(client.reply().await, json!({ "ok": false, "error": error }));
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        assert!(only_these(&agent.folder.0, &["f"]));
    });
}

#[test]
fn other_frames_during_an_upload_are_refused() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        let mut client = agent.smolvm().await;
        client.send(&support::smolvm::json(&json!({ "op": "put_file", "path": path, "size": 10 }))).await;
        client.send(&[frame(DATA, b"four"), frame(STDOUT, b"x")].concat()).await;
        let error = "unexpected frame type 2 during upload";
        assert_eq!(client.reply().await, json!({ "ok": false, "error": error }));
        assert!(only_these(&agent.folder.0, &[]));
    });
}

#[test]
fn lost_client_leaves_nothing_half_written() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        fs::write(&path, "old").unwrap();
        let mut client = agent.smolvm().await;
        client.send(&support::smolvm::json(&json!({ "op": "put_file", "path": path, "size": 1_000_000 }))).await;
        client.send(&frame(DATA, &[1; 10_000])).await;
        // Cut inside a frame.
        client.send(&frame(DATA, &[1; 10_000])[..500]).await;
        until("the upload has begun", || !children(&agent).is_empty()).await;
        drop(client);
        until("the worker is gone", || children(&agent).is_empty()).await;
        assert!(only_these(&agent.folder.0, &["f"]));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    });
}

#[test]
fn stalled_upload_is_ended() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        let mut client = agent.smolvm().await;
        client.send(&support::smolvm::json(&json!({ "op": "put_file", "path": path, "size": 10 }))).await;
        client.send(&frame(DATA, b"four")).await;
        let reply = client.reply().await;
        assert!(reply["error"].as_str().unwrap().starts_with("the upload stalled"), "{reply}");
        assert_eq!(client.frame().await, None);
        until("nothing is left of it", || only_these(&agent.folder.0, &[])).await;
    });
}

#[test]
fn download_has_mode_size_content_and_an_end() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        let content: Vec<u8> = (0..200_000u32).map(|number| (number >> 3) as u8).collect();
        fs::write(&path, &content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
        std::os::unix::fs::symlink("f", agent.folder.path("link")).unwrap();
        for path in [path, agent.folder.path("link")] {
            let mut client = agent.smolvm().await;
            let header = client.ask(json!({ "op": "get_file", "path": path })).await;
            assert_eq!(header, json!({ "ok": true, "mode": 0o4750, "size": 200_000 }));
            assert_eq!(client.download().await, (content.clone(), None));
            assert_eq!(client.frame().await, None);
        }
    });
}

#[test]
fn download_that_cannot_be_is_refused_before_its_header() {
    run(async {
        let agent = Agent::start();
        let missing = agent.folder.path("it's");
        let fifo = agent.folder.path("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for (request, error) in [
            (json!({}), "missing 'path'".to_owned()),
            (json!({ "path": missing }), format!("[Errno 2] No such file or directory: \"{missing}\"")),
            (json!({ "path": "/tmp" }), "not a regular file".to_owned()),
            (json!({ "path": "tmp" }), "not a regular file".to_owned()),
            (json!({ "path": fifo }), "not a regular file".to_owned()),
            (json!({ "path": "/dev/zero" }), "not a regular file".to_owned()),
        ] {
            let mut request = request;
            request["op"] = "get_file".into();
            assert_eq!(agent.smolvm().await.ask(request).await, json!({ "ok": false, "error": error }));
        }
    });
}

#[test]
fn file_that_grows_or_shrinks_meanwhile_is_not_taken_for_whole() {
    run(async {
        let agent = Agent::start();
        let path = agent.folder.path("f");
        // More than what fits on the way to a client that does not read yet.
        let size = 16 << 20;
        for (then, end) in [(size * 2, None), (0, Some("the file became shorter while it was read; try again"))] {
            fs::write(&path, vec![7; size]).unwrap();
            let mut client = agent.smolvm().await;
            let header = client.ask(json!({ "op": "get_file", "path": path })).await;
            assert_eq!(header["size"], size);
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(then as u64).unwrap();
            let (content, refusal) = client.download().await;
            assert_eq!(content.len() == size, end.is_none());
            assert_eq!(refusal.map(|refusal| refusal["error"].clone()), end.map(Value::from));
        }
    });
}
