// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::{Agent, Download, Mount, get_tree, put_tree, run, tree};
use vm_agent::r#gen::agent::*;

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
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

        let Download { archive, entries, .. } = get_tree(&mut client, tree(source.clone(), &[], &[])).await.unwrap();
        let parent = "d".repeat(120);
        assert_eq!(names(&archive), [".hidden", "closed", "closed/empty", "dangling", &parent, &long]);
        assert_eq!(entries, 6);
        let again = get_tree(&mut client, tree(source, &[], &[])).await.unwrap();
        assert!(archive == again.archive, "the order depends on names alone");

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
        let Download { archive, .. } =
            get_tree(&mut client, tree(source.clone(), &["a/**/*.log", "nothing"], &[])).await.unwrap();
        assert_eq!(names(&archive), ["a", "a/b", "a/b/x.log"]);
        let Download { archive, .. } =
            get_tree(&mut client, tree(source.clone(), &["a", "*.log"], &["**/y.txt"])).await.unwrap();
        assert_eq!(names(&archive), ["a", "a/b", "a/b/x.log", "top.log"]);
        let Download { archive, entries, .. } =
            get_tree(&mut client, tree(source.clone(), &["no*"], &[])).await.unwrap();
        assert_eq!((names(&archive).len(), entries), (0, 0));
        assert_eq!(get_tree(&mut client, tree(source.clone(), &["{a"], &[])).await.err().unwrap().reason, "bad-glob");
        let missing = get_tree(&mut client, tree(format!("{source}/none"), &[], &[])).await.err().unwrap();
        assert_eq!((missing.code, &*missing.reason), (5, "no-such-file"));
        let Download { archive, .. } = get_tree(&mut client, tree(source, &["c/z.log"], &[])).await.unwrap();
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

#[test]
fn second_name_of_a_file_comes_back_as_one() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.path("s");
        let made = client
            .sh(&format!("mkdir -p {source}/d; cd {source}; echo hi >d/one; ln d/one a; ln d/one d/two; echo x >other"))
            .await;
        assert_eq!(made.exit, Some((0, 0)));
        let request = GetTreeRequest { totals: true, ..tree(source.clone(), &[], &[]) };
        let Download { archive, entries, totals } = get_tree(&mut client, request).await.unwrap();
        assert_eq!(names(&archive), ["a", "d", "d/one", "d/two", "other"]);
        assert_eq!((entries, totals), (5, Some(TreeTotals { entries: 5, bytes: 5 })));
        let target = agent.folder.path("t");
        for _ in 0..2 {
            put_tree(&mut client, &target, &archive).await.unwrap();
            let inode = |name: &str| fs::metadata(format!("{target}/{name}")).unwrap().ino();
            assert_eq!((inode("a"), inode("a")), (inode("d/one"), inode("d/two")));
            assert_ne!(inode("a"), inode("other"));
            assert_eq!(fs::read(format!("{target}/d/two")).unwrap(), b"hi\n");
        }
        // Only its second name is selected: it comes as a file.
        let Download { archive, .. } = get_tree(&mut client, tree(source, &["d/two"], &[])).await.unwrap();
        put_tree(&mut client, &agent.folder.path("u"), &archive).await.unwrap();
        assert_eq!(fs::read(agent.folder.path("u/d/two")).unwrap(), b"hi\n");
    });
}

#[test]
fn exclamation_mark_in_include_leaves_out() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.path("s");
        client.sh(&format!("mkdir -p {source}/a {source}/b; cd {source}; touch a/x.c a/x.o b/y.o z.o")).await;
        let Download { archive, .. } = get_tree(&mut client, tree(source.clone(), &["!**/*.o"], &[])).await.unwrap();
        assert_eq!(names(&archive), ["a", "a/x.c", "b"]);
        let request = GetTreeRequest { totals: true, ..tree(source, &["!a", "**/*.o"], &[]) };
        let Download { archive, totals, .. } = get_tree(&mut client, request).await.unwrap();
        assert_eq!(names(&archive), ["b", "b/y.o", "z.o"]);
        assert_eq!(totals.unwrap().entries, 3);
    });
}

#[test]
fn lost_client_leaves_no_half_file() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let target = agent.folder.path("t");
        fs::create_dir(&target).unwrap();
        fs::write(format!("{target}/b"), "old").unwrap();
        let archive = raw_archive(&[("a", tar::EntryType::Regular, "whole"), ("b", tar::EntryType::Regular, "new")]);
        let mut call = client.call("PutTree").await;
        let header = PutTreeHeader { directory: target.clone(), ..PutTreeHeader::default() };
        call.send(&PutTreeRequest { request: Some(put_tree_request::Request::Header(header)) }).await;
        // Up to the header of the second file and one byte of it.
        let data = archive[..3 * 512 + 1].to_vec().into();
        call.send(&PutTreeRequest { request: Some(put_tree_request::Request::Data(data)) }).await;
        support::until("the first file is there", || fs::metadata(format!("{target}/a")).is_ok()).await;
        drop((call, client));
        support::until("the worker is gone", || support::children(&agent).is_empty()).await;
        assert_eq!(fs::read(format!("{target}/a")).unwrap(), b"whole");
        assert_eq!(fs::read(format!("{target}/b")).unwrap(), b"old");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "nothing temporary is left");
    });
}

#[test]
fn full_and_read_only_disks_say_so() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let disk = agent.folder.path("disk");
        let Some(mount) = Mount::tmpfs("128k", &disk) else { return };
        let content = "x".repeat(300_000);
        let archive = raw_archive(&[("a", tar::EntryType::Regular, "fits"), ("b", tar::EntryType::Regular, &content)]);
        let full = put_tree(&mut client, &disk, &archive).await.unwrap_err();
        assert_eq!((full.code, &*full.reason), (8, "disk-full"));
        assert_eq!(fs::read_dir(&disk).unwrap().count(), 1, "the file that fitted, nothing half");
        mount.remount("ro");
        let refused = put_tree(&mut client, &disk, &archive).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (9, "read-only"));
    });
}
