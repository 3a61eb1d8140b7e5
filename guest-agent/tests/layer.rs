//! What changed in an overlay, as a layer.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use support::{Folder, Mount, trailer, work};
use vm_agent::r#gen::agent::get_layer_response::Response;
use vm_agent::r#gen::agent::{GetLayerRequest, GetLayerResponse};
use vm_agent::image::mark;

/// A real overlay on a memory file system; the mounts go before the folder.
struct Overlay {
    _merged: Mount,
    _disk: Mount,
    folder: Folder,
}

impl Overlay {
    /// None, said aloud, where mounting is not allowed. `fill` makes what was there before.
    fn new(options: &str, fill: impl FnOnce(&str)) -> Option<Self> {
        let folder = Folder::new();
        let disk = Mount::tmpfs("64M", &folder.path("disk"))?;
        let path = |name: &str| folder.path(&format!("disk/{name}"));
        for name in ["lower", "upper", "work"] {
            fs::create_dir(path(name)).unwrap();
        }
        fill(&path("lower"));
        let options =
            format!("lowerdir={},upperdir={},workdir={},{options}", path("lower"), path("upper"), path("work"));
        let merged = Mount::new(&["-t", "overlay", "-o", &options, "overlay"], &folder.path("merged"))?;
        Some(Self { _merged: merged, _disk: disk, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(&format!("merged/{name}"))
    }

    fn layer(&self, exclude: &[&str]) -> Vec<u8> {
        let at = |name: &str| self.folder.path(name);
        let exclude = exclude.iter().map(|path| (*path).to_owned()).collect();
        let arguments = ["get-layer", &at("merged"), &at("disk/upper"), &at("disk/lower"), ""];
        let messages: Vec<GetLayerResponse> = work(&arguments, &GetLayerRequest { exclude, live: true }).unwrap();
        let (mut archive, mut end) = (Vec::new(), None);
        for message in messages {
            match message.response.unwrap() {
                Response::Data(data) => archive.extend_from_slice(&data),
                Response::Trailer(found) => end = Some(found),
            }
        }
        let end = end.unwrap();
        assert_eq!(end.stream, Some(trailer(&archive)));
        assert_eq!(end.entries, entries(&archive).len() as u64);
        archive
    }
}

/// Kind and content of every entry by its name; of a link, what it points to.
fn entries(archive: &[u8]) -> BTreeMap<String, (char, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let kind = entry.header().entry_type().as_byte() as char;
        let mut content = String::new();
        match entry.link_name_bytes() {
            Some(link) => content = String::from_utf8(link.into_owned()).unwrap(),
            None => drop(entry.read_to_string(&mut content)),
        }
        (name, (kind, content))
    });
    entries.collect()
}

fn names(archive: &[u8]) -> Vec<String> {
    entries(archive).into_keys().collect()
}

fn fill(lower: &str) {
    fs::create_dir_all(format!("{lower}/opt/app")).unwrap();
    fs::create_dir_all(format!("{lower}/var/data")).unwrap();
    fs::set_permissions(format!("{lower}/var"), fs::Permissions::from_mode(0o751)).unwrap();
    for name in ["opt/app/f", "opt/g", "var/data/old", "var/other"] {
        fs::write(format!("{lower}/{name}"), "before").unwrap();
    }
}

#[test]
fn layer_of_nothing_is_empty() {
    let Some(overlay) = Overlay::new("redirect_dir=off", fill) else { return };
    // A directory that was only copied up for what is gone again.
    fs::write(overlay.path("opt/app/new"), "x").unwrap();
    fs::remove_file(overlay.path("opt/app/new")).unwrap();
    assert!(names(&overlay.layer(&[])).is_empty());
}

#[test]
fn changes_are_files_and_whiteouts_below_directories_that_keep_their_modes() {
    let Some(overlay) = Overlay::new("redirect_dir=off", fill) else { return };
    fs::remove_file(overlay.path("opt/g")).unwrap();
    fs::write(overlay.path("opt/app/f"), "after").unwrap();
    fs::remove_dir_all(overlay.path("var/data")).unwrap();
    fs::create_dir(overlay.path("var/data")).unwrap();
    fs::write(overlay.path("var/data/new"), "new").unwrap();
    fs::create_dir(overlay.path("fresh")).unwrap();
    symlink("/no/where", overlay.path("fresh/link")).unwrap();
    let layer = overlay.layer(&[]);
    let text = |kind, content: &str| (kind, content.to_owned());
    let expected = [
        ("fresh", text('5', "")),
        ("fresh/link", text('2', "/no/where")),
        ("opt", text('5', "")),
        ("opt/.wh.g", text('0', "")),
        ("opt/app", text('5', "")),
        ("opt/app/f", text('0', "after")),
        ("var", text('5', "")),
        ("var/data", text('5', "")),
        ("var/data/.wh..wh..opq", text('0', "")),
        ("var/data/new", text('0', "new")),
    ];
    assert_eq!(entries(&layer), expected.map(|(name, what)| (name.to_owned(), what)).into());
    let mut archive = tar::Archive::new(&*layer);
    let var = archive.entries().unwrap().map(Result::unwrap).find(|entry| &*entry.path_bytes() == b"var").unwrap();
    assert_eq!(var.header().mode().unwrap(), 0o751);
}

#[test]
fn renamed_directory_is_whole_under_its_new_name() {
    let Some(overlay) = Overlay::new("redirect_dir=on", fill) else { return };
    fs::rename(overlay.path("opt"), overlay.path("moved")).unwrap();
    fs::write(overlay.path("moved/app/f"), "after").unwrap();
    let found = entries(&overlay.layer(&[]));
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, [".wh.opt", "moved", "moved/app", "moved/app/f", "moved/g"]);
    assert_eq!((&*found["moved/app/f"].1, &*found["moved/g"].1), ("after", "before"));
}

#[test]
fn special_files_links_and_attributes_are_kept_and_sockets_are_not() {
    let Some(overlay) = Overlay::new("redirect_dir=off", fill) else { return };
    let new = overlay.path("new");
    fs::create_dir(&new).unwrap();
    let script = "mkfifo p; mknod d c 5 6; mknod b b 7 8; echo x > f; ln f z; chmod 4711 f; touch -d @1234567890.5 f";
    assert!(Command::new("sh").args(["-ec", script]).current_dir(&new).status().unwrap().success());
    chown(format!("{new}/f"), Some(3_000_000), Some(12)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(format!("{new}/s")).unwrap();
    // What a file of root may do: version 2, one capability, effective.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(&format!("{new}/f"), c"security.capability", &capability);
    set_attribute(&format!("{new}/f"), c"trusted.overlay.mine", b"no");
    let layer = overlay.layer(&[]);
    assert_eq!(names(&layer), ["new", "new/b", "new/d", "new/f", "new/p", "new/z"]);
    let found = entries(&layer);
    assert_eq!((&found["new/z"], found["new/p"].0), (&('1', "new/f".to_owned()), '6'));
    let mut archive = tar::Archive::new(&*layer);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        match &*entry.path_bytes().into_owned() {
            b"new/d" => {
                let header = entry.header();
                let device = (header.device_major().unwrap(), header.device_minor().unwrap());
                assert_eq!((header.entry_type().as_byte(), device), (b'3', (Some(5), Some(6))));
            }
            b"new/f" => {
                assert_eq!(entry.header().uid().unwrap() & 0o7777777, 3_000_000 & 0o7777777);
                let records = entry.pax_extensions().unwrap().unwrap().map(Result::unwrap);
                let records: Vec<_> =
                    records.map(|record| (record.key().unwrap().to_owned(), record.value_bytes().to_vec())).collect();
                let of = |key: &str| records.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_slice());
                assert_eq!(of("SCHILY.xattr.security.capability"), Some(&capability[..]));
                assert_eq!(of("mtime"), Some(&b"1234567890.500000000"[..]));
                assert!(!records.iter().any(|(key, _)| key.contains("trusted")));
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_ours_or_excluded_is_left_out_until_the_job_changes_it() {
    let Some(overlay) = Overlay::new("redirect_dir=off", fill) else { return };
    for folder in ["run", "run/vm-runner", "builds", "skip"] {
        fs::create_dir(overlay.path(folder)).unwrap();
        if folder != "skip" {
            mark::made(Path::new(&overlay.path(folder)));
        }
    }
    fs::write(overlay.path("skip/f"), "x").unwrap();
    for name in ["opt/hosts", "opt/resolv.conf"] {
        fs::write(overlay.path(name), "ours").unwrap();
        mark::written(Path::new(&overlay.path(name)));
    }
    assert!(names(&overlay.layer(&["/skip"])).is_empty());
    fs::write(overlay.path("opt/hosts"), "ours").unwrap();
    fs::write(overlay.path("builds/f"), "the job's").unwrap();
    assert_eq!(names(&overlay.layer(&["/skip/"])), ["builds", "builds/f", "opt", "opt/hosts"]);
}

#[test]
fn excluded_path_is_absolute() {
    let request = GetLayerRequest { exclude: vec!["tmp".into()], live: true };
    let refused = work::<GetLayerResponse>(&["get-layer", "/m", "/u", "/l", ""], &request).unwrap_err();
    assert!(refused.starts_with("3 bad-path "), "{refused}");
}

fn set_attribute(path: &str, name: &std::ffi::CStr, value: &[u8]) {
    let path = std::ffi::CString::new(path).unwrap();
    // SAFETY: both strings and the value outlive the call, and the length is the value's.
    let set = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}
