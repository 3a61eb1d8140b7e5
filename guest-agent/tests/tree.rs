// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::{Agent, Client, End, run, trailer, upload};
use vm_agent::r#gen::agent::*;

async fn get_tree(client: &mut Client, request: GetTreeRequest) -> Result<(Vec<u8>, u64), End> {
    use get_tree_response::Response;
    let mut call = client.call("GetTree").await;
    call.send(&request).await;
    call.half_close();
    let (mut data, mut end) = (Vec::new(), None);
    while let Some(message) = call.next::<GetTreeResponse>().await {
        match message.response.unwrap() {
            Response::Data(chunk) => data.extend_from_slice(&chunk),
            Response::Trailer(found) => end = Some(found),
            Response::Totals(_) => {}
        }
    }
    if call.end().code != 0 {
        return Err(call.end());
    }
    let end = end.unwrap();
    assert_eq!(end.stream, Some(trailer(&data)));
    Ok((data, end.entries))
}

async fn put_tree(client: &mut Client, directory: &str, archive: &[u8]) -> Result<PutTreeResponse, End> {
    use put_tree_request::Request;
    let mut parts = vec![Request::Header(PutTreeHeader { directory: directory.into(), ..PutTreeHeader::default() })];
    parts.extend(archive.chunks(10_000).map(|chunk| Request::Data(Bytes::copy_from_slice(chunk))));
    parts.push(Request::Trailer(trailer(archive)));
    let messages = parts.into_iter().map(|request| PutTreeRequest { request: Some(request) }).collect();
    upload(client, "PutTree", messages).await
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
}

fn tree(directory: String, include: &[&str], exclude: &[&str]) -> GetTreeRequest {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    GetTreeRequest { directory, include: own(include), exclude: own(exclude), ..GetTreeRequest::default() }
}

/// An archive that no well-meaning program would write.
fn raw_archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let link = matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link);
        let data = if link { "" } else { content };
        if link {
            header.set_link_name_literal(content).unwrap();
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn tree_comes_back_from_a_round_trip_as_it_was() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.path("source");
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(130));
        fs::create_dir_all(format!("{source}/{}", "d".repeat(120))).unwrap();
        fs::create_dir_all(format!("{source}/closed/empty")).unwrap();
        fs::write(format!("{source}/{long}"), vec![3; 200_000]).unwrap();
        fs::write(format!("{source}/.hidden"), "dot").unwrap();
        fs::set_permissions(format!("{source}/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(format!("{source}/.hidden"), fs::Permissions::from_mode(0o4711)).unwrap();
        symlink("/no/where", format!("{source}/dangling")).unwrap();
        client.sh(&format!("mkfifo {source}/pipe; touch -d @1234567 {source}/closed")).await;

        let (archive, entries) = get_tree(&mut client, tree(source.clone(), &[], &[])).await.unwrap();
        let parent = "d".repeat(120);
        assert_eq!(names(&archive), [".hidden", "closed", "closed/empty", "dangling", &parent, &long]);
        assert_eq!(entries, 6);
        let again = get_tree(&mut client, tree(source, &[], &[])).await.unwrap();
        assert!(archive == again.0, "the order depends on names alone");

        let target = agent.folder.path("target/deep");
        assert_eq!(put_tree(&mut client, &target, &archive).await.unwrap().entries, 6);
        assert_eq!(fs::read(format!("{target}/{long}")).unwrap(), vec![3; 200_000]);
        assert_eq!(fs::read_link(format!("{target}/dangling")).unwrap().to_str(), Some("/no/where"));
        assert_eq!(fs::metadata(format!("{target}/.hidden")).unwrap().mode() & 0o7777, 0o4711);
        let closed = fs::metadata(format!("{target}/closed")).unwrap();
        assert_eq!((closed.mode() & 0o7777, closed.mtime()), (0o700, 1_234_567));
        // Again over what is there.
        assert_eq!(put_tree(&mut client, &target, &archive).await.unwrap().entries, 6);
    });
}

#[test]
fn globs_select_with_the_directories_above() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.path("s");
        client
            .sh(&format!("mkdir -p {source}/a/b {source}/c; cd {source}; touch a/b/x.log a/b/y.txt c/z.log top.log"))
            .await;
        let (archive, _) = get_tree(&mut client, tree(source.clone(), &["a/**/*.log", "nothing"], &[])).await.unwrap();
        assert_eq!(names(&archive), ["a", "a/b", "a/b/x.log"]);
        let (archive, _) = get_tree(&mut client, tree(source.clone(), &["a", "*.log"], &["**/y.txt"])).await.unwrap();
        assert_eq!(names(&archive), ["a", "a/b", "a/b/x.log", "top.log"]);
        let (archive, entries) = get_tree(&mut client, tree(source.clone(), &["no*"], &[])).await.unwrap();
        assert_eq!((names(&archive).len(), entries), (0, 0));
        assert_eq!(get_tree(&mut client, tree(source.clone(), &["{a"], &[])).await.unwrap_err().reason, "bad-glob");
        let missing = get_tree(&mut client, tree(format!("{source}/none"), &[], &[])).await.unwrap_err();
        assert_eq!((missing.code, &*missing.reason), (5, "no-such-file"));
        let (archive, _) = get_tree(&mut client, tree(source, &["c/z.log"], &[])).await.unwrap();
        let mut text = String::new();
        tar::Archive::new(&archive[..]).entries().unwrap().last().unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
    });
}

#[test]
fn archive_that_wants_out_of_its_directory_is_refused() {
    use tar::EntryType::{Fifo, Link, Regular, Symlink};
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let target = agent.folder.path("t");
        let outside = agent.folder.path("outside");
        fs::create_dir(&outside).unwrap();
        let linked = [("l", Symlink, &*outside), ("l/x", Regular, "gotcha")];
        let around = [("here", Symlink, "."), ("here/l", Symlink, "../outside")];
        for (entries, reason) in [
            (&[("/etc/x", Regular, "")][..], "unsafe-path"),
            (&[("a/../../x", Regular, "")], "unsafe-path"),
            (&linked, "unsafe-path"),
            (&around, "unsafe-path"),
            (&[("h", Link, "../outside/f")], "unsafe-path"),
            (&[("p", Fifo, "")], "unsupported-entry"),
        ] {
            let refused = put_tree(&mut client, &target, &raw_archive(entries)).await.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (3, reason), "{entries:?}");
        }
        // The link itself is replaced, what it points to is not touched.
        let replaced = [("r", Symlink, &*outside), ("r", Regular, "mine")];
        put_tree(&mut client, &target, &raw_archive(&replaced)).await.unwrap();
        assert_eq!(fs::read(format!("{target}/r")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let torn = raw_archive(&[("f", Regular, "content")]);
        assert_eq!(put_tree(&mut client, &target, &torn[..600]).await.unwrap_err().reason, "bad-archive");
    });
}
