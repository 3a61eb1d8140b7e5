// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use std::fs;
use std::os::unix::fs::MetadataExt;
use support::{Agent, Client, End, run, trailer, upload};
use vm_agent::r#gen::agent::*;

async fn put(client: &mut Client, path: &str, data: &[u8], sent: Option<FileTrailer>) -> Result<PutFileResponse, End> {
    use put_file_request::Request;
    let file = Some(FileHeader { size: data.len() as u64, mode: 0o640, mtime: 1_000_000_000, ..FileHeader::default() });
    let mut parts = vec![Request::Header(PutFileHeader { path: path.into(), file, ..PutFileHeader::default() })];
    parts.extend(data.chunks(100_000).map(|chunk| Request::Data(Bytes::copy_from_slice(chunk))));
    parts.extend(sent.map(Request::Trailer));
    let messages = parts.into_iter().map(|request| PutFileRequest { request: Some(request) }).collect();
    upload(client, "PutFile", messages).await
}

async fn get(client: &mut Client, path: &str) -> Result<(FileHeader, Vec<u8>), End> {
    use get_file_response::Response;
    let mut call = client.call("GetFile").await;
    call.send(&GetFileRequest { path: path.into(), ..GetFileRequest::default() }).await;
    call.half_close();
    let (mut header, mut data, mut sent) = (None, Vec::new(), None);
    while let Some(message) = call.next::<GetFileResponse>().await {
        match message.response.unwrap() {
            Response::Header(found) => header = Some(found),
            Response::Data(chunk) => data.extend_from_slice(&chunk),
            Response::Trailer(found) => sent = Some(found),
            Response::Hole(size) => data.resize(data.len() + size as usize, 0),
        }
    }
    if call.end().code != 0 {
        return Err(call.end());
    }
    assert_eq!(sent, Some(trailer(&data)));
    Ok((header.unwrap(), data))
}

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
        let (header, back) = get(&mut client, &path).await.unwrap();
        assert!(back == data);
        assert_eq!((header.size, header.mode, header.mtime), (3_000_000, 0o640, 1_000_000_000));
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
        support::until("the worker has begun", || fs::metadata(&folder).is_ok()).await;
        drop((call, client));
        support::until("the worker is gone", || support::workers(&agent).is_empty()).await;
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
fn full_disk_says_so() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let disk = agent.folder.path("disk");
        let mounted = client.sh(&format!("mkdir {disk} && mount -t tmpfs -o size=64k tmpfs {disk}")).await;
        if mounted.exit != Some((0, 0)) {
            eprintln!("skipped: cannot mount");
            return;
        }
        let data = vec![1; 300_000];
        let full = put(&mut client, &format!("{disk}/f"), &data, Some(trailer(&data))).await.unwrap_err();
        client.sh(&format!("umount {disk}")).await;
        assert_eq!((full.code, &*full.reason), (8, "disk-full"));
    });
}
