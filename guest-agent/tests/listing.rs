// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use prost::Message;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::{Agent, Client, End, Mount, refusal, run};
use vm_agent::r#gen::agent::*;

async fn stat(client: &mut Client, path: &str, follow: bool) -> Result<FileInfo, End> {
    let request = StatRequest { path: path.into(), follow, ..StatRequest::default() };
    client.unary::<_, StatResponse>("Stat", &request).await.map(|response| response.info.unwrap())
}

/// The entries, and the size of the largest message.
async fn list(client: &mut Client, path: &str) -> Result<(Vec<FileInfo>, usize), End> {
    let mut call = client.call("List").await;
    call.send(&ListRequest { path: path.into(), ..ListRequest::default() }).await;
    call.half_close();
    let (mut entries, mut largest) = (Vec::new(), 0);
    while let Some(message) = call.next::<ListResponse>().await {
        largest = largest.max(message.encoded_len());
        entries.extend(message.entries);
    }
    if call.end().code == 0 { Ok((entries, largest)) } else { Err(call.end()) }
}

fn make(path: &str) -> MakeDirRequest {
    MakeDirRequest { path: path.into(), ..MakeDirRequest::default() }
}

fn removal(path: &str, recursive: bool) -> RemoveRequest {
    RemoveRequest { path: path.into(), recursive, ..RemoveRequest::default() }
}

async fn remove(client: &mut Client, request: RemoveRequest) -> Result<u64, End> {
    client.unary::<_, RemoveResponse>("Remove", &request).await.map(|response| response.removed)
}

#[test]
fn stat_tells_what_a_path_is() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let file = agent.folder.path("file");
        let link = agent.folder.path("link");
        client
            .sh(&format!("truncate -s 1M {file}; chmod 4750 {file}; touch -d @12.000000345 {file}; ln {file} {file}2"))
            .await;
        symlink("file", &link).unwrap();
        let info = stat(&mut client, &file, false).await.unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((&info.name[..], info.r#type()), (&b"file"[..], FileType::Regular));
        assert_eq!((info.size, info.disk_bytes, info.mode, info.links), (1 << 20, 0, 0o4750, 2));
        assert_eq!((info.mtime, info.mtime_nanos), (12, 345));
        assert_eq!((info.uid, info.gid), (metadata.uid(), metadata.gid()));

        let info = stat(&mut client, &link, false).await.unwrap();
        assert_eq!((info.r#type(), &info.link_target[..]), (FileType::Symlink, &b"file"[..]));
        let info = stat(&mut client, &link, true).await.unwrap();
        assert_eq!((info.r#type(), &info.name[..], info.size), (FileType::Regular, &b"link"[..], 1 << 20));
        let info = stat(&mut client, "/", false).await.unwrap();
        assert_eq!((info.r#type(), &info.name[..]), (FileType::Directory, &b"/"[..]));
        assert_eq!(stat(&mut client, "/dev/null", false).await.unwrap().r#type(), FileType::CharacterDevice);
        let socket = agent.socket();
        assert_eq!(stat(&mut client, socket.to_str().unwrap(), false).await.unwrap().r#type(), FileType::Socket);

        assert_eq!(stat(&mut client, "/no/such", false).await.unwrap_err().code, 5);
        assert_eq!(stat(&mut client, "relative", false).await.unwrap_err().reason, "bad-path");
        assert_eq!(stat(&mut client, &format!("{file}/x"), false).await.unwrap_err().reason, "not-a-directory");
        symlink("loop", agent.folder.path("loop")).unwrap();
        let looped = stat(&mut client, &agent.folder.path("loop"), true).await.unwrap_err();
        assert_eq!(looped.reason, "symlink-loop");
        let long = format!("/{}", "x".repeat(300));
        assert_eq!(stat(&mut client, &long, false).await.unwrap_err().reason, "name-too-long");
    });
}

#[test]
fn directory_of_any_size_is_listed_in_bounded_messages() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let folder = agent.folder.path("many");
        fs::create_dir(&folder).unwrap();
        assert_eq!(list(&mut client, &folder).await.unwrap().0, []);
        // Names of one file, since that many files take some disks longer than the test may.
        fs::File::create(format!("{folder}/0")).unwrap();
        for index in 1..50_000 {
            fs::hard_link(format!("{folder}/0"), format!("{folder}/{index}")).unwrap();
        }
        fs::File::create(agent.folder.0.join("many").join(OsStr::from_bytes(b"\xff\xfe"))).unwrap();
        symlink("t".repeat(4000), format!("{folder}/long")).unwrap();
        let (entries, largest) = list(&mut client, &folder).await.unwrap();
        let names: HashSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!((entries.len(), names.len()), (50_002, 50_002));
        assert!(names.contains(&b"\xff\xfe"[..]) && names.contains(&b"49999"[..]));
        assert!(largest < 64 << 10, "{largest}");
        let long = entries.iter().find(|entry| &entry.name[..] == b"long").unwrap();
        assert_eq!(long.link_target.len(), 4000);

        let file = format!("{folder}/1");
        assert_eq!(list(&mut client, &file).await.unwrap_err().reason, "not-a-directory");
        assert_eq!(list(&mut client, "/no/such").await.unwrap_err().reason, "no-such-file");
        assert_eq!(remove(&mut client, removal(&folder, true)).await.unwrap(), 50_003);
    });
}

#[test]
fn directory_is_made_with_what_is_asked_for() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("a/b/c");
        assert_eq!(refusal(&mut client, "MakeDir", &make(&path)).await.reason, "no-such-file");
        let request = MakeDirRequest { parents: true, mode: 0o2770, ..make(&path) };
        assert!(client.unary::<_, MakeDirResponse>("MakeDir", &request).await.unwrap().made);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o2770);
        assert_eq!(fs::metadata(agent.folder.path("a/b")).unwrap().mode() & 0o7777, 0o755);
        let request = MakeDirRequest { parents: true, mode: 0o700, ..make(&path) };
        assert!(!client.unary::<_, MakeDirResponse>("MakeDir", &request).await.unwrap().made);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o2770, "what is there stays as it is");
        let again = refusal(&mut client, "MakeDir", &make(&path)).await;
        assert_eq!((again.code, &*again.reason), (6, "already-exists"));

        let file = agent.folder.path("file");
        fs::write(&file, "").unwrap();
        assert_eq!(refusal(&mut client, "MakeDir", &make(&file)).await.reason, "already-exists");
        let over = MakeDirRequest { parents: true, ..make(&file) };
        assert_eq!(refusal(&mut client, "MakeDir", &over).await.reason, "not-a-directory");
        let below = MakeDirRequest { parents: true, ..make(&format!("{file}/x")) };
        assert_eq!(refusal(&mut client, "MakeDir", &below).await.reason, "not-a-directory");
        let nobody = MakeDirRequest { owner: "no-such-user".into(), ..make(&agent.folder.path("n")) };
        assert_eq!(refusal(&mut client, "MakeDir", &nobody).await.reason, "unknown-user");
        assert!(fs::metadata(agent.folder.path("n")).is_err());
    });
}

#[test]
fn removal_takes_the_name_and_never_what_it_points_to() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let kept = agent.folder.path("kept");
        let doomed = agent.folder.path("doomed");
        client
            .sh(&format!(
                "mkdir -p {kept} {doomed}/deep/er; echo x >{kept}/x; ln -s {kept} {doomed}/deep/link; \
                 ln -s {doomed} {kept}-link; mkfifo {doomed}/pipe; touch {doomed}/deep/er/1 {doomed}/2"
            ))
            .await;
        let full = remove(&mut client, removal(&doomed, false)).await.unwrap_err();
        assert_eq!((full.code, &*full.reason), (9, "not-empty"));
        assert_eq!(remove(&mut client, removal(&format!("{kept}-link"), true)).await.unwrap(), 1);
        assert_eq!(remove(&mut client, removal(&format!("{doomed}/"), true)).await.unwrap(), 7);
        assert!(fs::symlink_metadata(&doomed).is_err());
        assert_eq!(fs::read(format!("{kept}/x")).unwrap(), b"x\n");

        assert_eq!(remove(&mut client, removal(&doomed, true)).await.unwrap_err().reason, "no-such-file");
        let ignoring = RemoveRequest { ignore_missing: true, ..removal(&doomed, true) };
        assert_eq!(remove(&mut client, ignoring).await.unwrap(), 0);
        for path in ["/", "//", "/.", "/..", "/tmp/.", "/tmp/..", "/tmp/../", "relative"] {
            let refused = remove(&mut client, removal(path, true)).await.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (3, "bad-path"), "{path}");
        }
        assert_eq!(remove(&mut client, removal(&format!("{kept}/x"), false)).await.unwrap(), 1);
        assert_eq!(remove(&mut client, removal(&kept, false)).await.unwrap(), 1);
    });
}

#[test]
fn removal_does_not_enter_other_file_systems() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let disk = agent.folder.path("d/disk");
        let Some(mount) = Mount::tmpfs("64k", &disk) else { return };
        fs::write(format!("{disk}/kept"), "").unwrap();
        fs::create_dir(agent.folder.path("d/bound")).unwrap();
        let bound = Mount::new(&["--bind", &disk], &agent.folder.path("d/bound")).unwrap();
        for path in [agent.folder.path("d"), disk.clone(), agent.folder.path("d/bound")] {
            let refused = remove(&mut client, removal(&path, true)).await.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (9, "busy"), "{refused:?}");
        }
        assert!(fs::metadata(format!("{disk}/kept")).is_ok());
        mount.remount("ro");
        let refused = remove(&mut client, removal(&format!("{disk}/kept"), false)).await.unwrap_err();
        assert_eq!(refused.reason, "read-only");
        drop(bound);
    });
}

#[test]
fn tree_as_deep_as_no_path_can_say_is_removed() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let top = agent.folder.path("top");
        fs::create_dir(&top).unwrap();
        let mut folder = OwnedFd::from(fs::File::open(&top).unwrap());
        for _ in 0..3000 {
            // SAFETY: plain system calls; the descriptor was just made and belongs to nobody else.
            folder = unsafe {
                assert_eq!(libc::mkdirat(folder.as_raw_fd(), c"ddddd".as_ptr(), 0o755), 0);
                let below = libc::openat(folder.as_raw_fd(), c"ddddd".as_ptr(), libc::O_DIRECTORY | libc::O_CLOEXEC);
                OwnedFd::from_raw_fd(below)
            };
        }
        assert_eq!(remove(&mut client, removal(&top, true)).await.unwrap(), 3001);
    });
}

#[test]
fn directory_that_may_not_be_read_is_told_as_such() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        // SAFETY: plain system call.
        if unsafe { libc::geteuid() } == 0 {
            // Root may read everything, except what the kernel keeps from it.
            let refused = remove(&mut client, removal("/proc/self/status", false)).await.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (7, "permission-denied"));
            return;
        }
        let closed = agent.folder.path("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
        assert_eq!(list(&mut client, &closed).await.unwrap_err().reason, "permission-denied");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    });
}
