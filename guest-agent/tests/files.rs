// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use support::{Agent, Folder, Mount, children, get, put, run, trailer, until};
use vm_agent::r#gen::agent::*;

#[test]
fn file_goes_in_and_comes_out_the_same() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("new/deep/file");
        let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        assert_eq!(put(&mut client, &path, &data, Some(trailer(&data))).await.unwrap().size, 3_000_000);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o640, 1_000_000_000));
        assert_eq!(metadata.mtime_nsec(), 123_456_789);
        let (header, back) = get(&mut client, &path).await.unwrap();
        assert!(back == data);
        assert_eq!((header.size, header.mode, header.mtime), (3_000_000, 0o640, 1_000_000_000));
        assert_eq!(header.mtime_nanos, 123_456_789);
        put(&mut client, &path, b"", Some(trailer(b""))).await.unwrap();
        assert_eq!(get(&mut client, &path).await.unwrap().1, b"");
    });
}

#[test]
fn old_file_stays_when_the_new_one_is_not_whole() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("d/file");
        put(&mut client, &path, b"old", Some(trailer(b"old"))).await.unwrap();
        let wrong = FileTrailer { size: 3, crc32: 1 };
        assert_eq!(put(&mut client, &path, b"new", Some(wrong)).await.unwrap_err().reason, "checksum");
        assert_eq!(put(&mut client, &path, b"new", None).await.unwrap_err().reason, "short-body");
        assert_eq!(put(&mut client, &path, b"new", Some(trailer(b"ne"))).await.unwrap_err().code, 15);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(agent.folder.path("d")).unwrap().count(), 1, "nothing temporary is left");
    });
}

#[test]
fn lost_client_leaves_nothing_behind() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("d/file");
        let mut call = client.call("PutFile").await;
        let file = Some(FileHeader { size: 100, ..FileHeader::default() });
        let header = PutFileHeader { path, file, ..PutFileHeader::default() };
        call.send(&PutFileRequest { request: Some(put_file_request::Request::Header(header)) }).await;
        let folder = agent.folder.path("d");
        until("the worker has begun", || fs::metadata(&folder).is_ok()).await;
        drop((call, client));
        until("the worker is gone", || children(&agent).is_empty()).await;
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    });
}

#[test]
fn what_is_no_regular_file_is_refused_with_a_reason() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let folder = agent.folder.path("");
        assert_eq!(get(&mut client, &folder).await.unwrap_err().reason, "is-a-directory");
        assert_eq!(get(&mut client, "/dev/zero").await.unwrap_err().reason, "not-a-regular-file");
        assert_eq!(get(&mut client, "/no/such").await.unwrap_err().reason, "no-such-file");
        assert_eq!(get(&mut client, "relative").await.unwrap_err().reason, "bad-path");
        let pipe = agent.folder.path("pipe");
        client.sh(&format!("mkfifo {pipe}")).await;
        assert_eq!(get(&mut client, &pipe).await.unwrap_err().reason, "not-a-regular-file");
        let directory = agent.folder.path("dir");
        fs::create_dir(&directory).unwrap();
        assert_eq!(put(&mut client, &directory, b"x", Some(trailer(b"x"))).await.unwrap_err().reason, "is-a-directory");
        let below_a_file = agent.folder.path("file/x");
        fs::write(agent.folder.path("file"), "").unwrap();
        assert_eq!(
            put(&mut client, &below_a_file, b"", Some(trailer(b""))).await.unwrap_err().reason,
            "not-a-directory"
        );
    });
}

#[test]
fn killed_worker_leaves_nothing_behind() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("d/file");
        put(&mut client, &path, b"old", Some(trailer(b"old"))).await.unwrap();
        let mut call = client.call("PutFile").await;
        let file = Some(FileHeader { size: 100, ..FileHeader::default() });
        let header = PutFileHeader { path: path.clone(), file, ..PutFileHeader::default() };
        call.send(&PutFileRequest { request: Some(put_file_request::Request::Header(header)) }).await;
        let is_open = |pid: &i32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
            targets.any(|target| target.starts_with(agent.folder.path("d")))
        };
        until("the worker has its file", || children(&agent).first().is_some_and(is_open)).await;
        // SAFETY: plain system call on a child of our child.
        unsafe { libc::kill(children(&agent)[0], libc::SIGKILL) };
        assert_eq!(call.next::<PutFileResponse>().await, None);
        assert_eq!((call.end().code, &*call.end().reason), (13, "worker-failed"));
        assert_eq!(fs::read_dir(agent.folder.path("d")).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    });
}

#[test]
fn file_that_became_shorter_while_it_was_read_is_told_as_such() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("file");
        for (cut, is_error) in [(5_000_000, true), (60_000_000, false)] {
            fs::write(&path, vec![7; 40_000_000]).unwrap();
            let mut call = client.call("GetFile").await;
            call.send(&GetFileRequest { path: path.clone(), ..GetFileRequest::default() }).await;
            call.half_close();
            // The rest does not fit between the two.
            let first: GetFileResponse = call.next().await.unwrap();
            assert!(
                matches!(first.response, Some(get_file_response::Response::Header(header)) if header.size == 40_000_000)
            );
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let mut size = 0;
            while let Some(message) = call.next::<GetFileResponse>().await {
                if let Some(get_file_response::Response::Data(data)) = message.response {
                    size += data.len();
                }
            }
            let end = call.end();
            if is_error {
                assert_eq!((end.code, &*end.reason), (15, "file-changed"));
            } else {
                assert_eq!((end.code, size), (0, 40_000_000), "what was appended is left out");
            }
        }
    });
}

#[test]
fn root_that_does_not_exist_is_refused() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        for root in 0..=2 {
            let request = StatRequest { root, path: "/".into(), follow: false };
            client.unary::<_, StatResponse>("Stat", &request).await.unwrap();
        }
        let request = StatRequest { root: 3, path: "/".into(), follow: false };
        let end = client.unary::<_, StatResponse>("Stat", &request).await.unwrap_err();
        assert_eq!((end.code, &*end.reason), (3, "bad-root"));
    });
}

#[test]
fn full_disk_says_so_and_keeps_the_old_file() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let disk = agent.folder.path("disk");
        let Some(_mount) = Mount::tmpfs("128k", &disk) else { return };
        let path = format!("{disk}/f");
        put(&mut client, &path, b"old", Some(trailer(b"old"))).await.unwrap();
        let data = vec![1; 300_000];
        let full = put(&mut client, &path, &data, Some(trailer(&data))).await.unwrap_err();
        assert_eq!((full.code, &*full.reason), (8, "disk-full"));
        assert_eq!((fs::read(&path).unwrap(), fs::read_dir(&disk).unwrap().count()), (b"old".to_vec(), 1));
        until("the room is free again", || {
            let output = Command::new("df").args(["--output=used", &disk]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().lines().last().unwrap().trim() == "4"
        })
        .await;
    });
}

#[test]
fn read_only_target_says_so() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let disk = agent.folder.path("disk");
        let Some(mount) = Mount::tmpfs("64k", &disk) else { return };
        mount.remount("ro");
        let refused = put(&mut client, &format!("{disk}/f"), b"x", Some(trailer(b"x"))).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (9, "read-only"));
        let refused = put(&mut client, &format!("{disk}/d/f"), b"x", Some(trailer(b"x"))).await.unwrap_err();
        assert_eq!(refused.reason, "read-only");
    });
}

/// A root without /proc, as on a file system that knows no files without a name.
#[test]
fn file_has_a_hidden_name_where_it_cannot_be_without_one() {
    let root = Folder::new();
    // SAFETY: plain system call.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("NOT TESTED, another root needs root");
        return;
    }
    let put = |data: &[u8], sent: Option<FileTrailer>| {
        use put_file_request::Request;
        let file = Some(FileHeader { size: data.len() as u64, mode: 0o600, ..FileHeader::default() });
        let mut parts = vec![Request::Header(PutFileHeader { path: "/f".into(), file, ..PutFileHeader::default() })];
        parts.push(Request::Data(data.to_vec().into()));
        parts.extend(sent.map(Request::Trailer));
        let mut worker = Command::new(env!("CARGO_BIN_EXE_vm-agent"))
            .args(["worker", "put-file", root.0.to_str().unwrap(), "there is no base root"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = worker.stdin.take().unwrap();
        for request in parts {
            input.write_all(&vm_agent::rpc::frame::encode(&PutFileRequest { request: Some(request) })).unwrap();
        }
        drop(input);
        worker.wait().unwrap().success()
    };
    let abandoned = fs::File::create(root.path(".vm-agent-999999999")).unwrap();
    abandoned.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    fs::write(root.path(".vm-agent-999999998"), "of somebody who lives").unwrap();
    assert!(put(b"new", Some(trailer(b"new"))));
    assert!(put(b"newer", Some(trailer(b"newer"))));
    assert!(!put(b"newest", None));
    assert_eq!(fs::read(root.path("f")).unwrap(), b"newer");
    let mut names: Vec<_> = fs::read_dir(&root.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".vm-agent-999999998", "f"]);
}
