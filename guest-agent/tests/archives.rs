//! Archives of other programs, and ours in their hands.
// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use support::{Agent, Download, get_tree, put_tree, run, tree};

const MIB: u64 = 1 << 20;

/// Everything that an archive may lose.
fn make_source(source: &Path) {
    let deep = source.join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(200)), "long name").unwrap();
    symlink("t".repeat(300), source.join("long-link")).unwrap();
    symlink("/no/where", source.join("dangling")).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("\u{fc}ml\u{e4}ut"), "utf-8").unwrap();
    fs::write(source.join(OsStr::from_bytes(b"not\xffutf-8")), "latin-1").unwrap();
    fs::write(source.join("one"), vec![7; 100_000]).unwrap();
    fs::hard_link(source.join("one"), source.join("two")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    for index in 0..20 {
        sparse.write_all_at(&[index as u8 + 1; 4096], index * MIB).unwrap();
    }
    sparse.set_len(30 * MIB).unwrap();
    fs::File::create(source.join("hole")).unwrap().set_len(9_000_000_000).unwrap();
    for (name, seconds) in [("empty", 1_234_567_890), ("one", 0)] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, 987_654_321);
        fs::File::options().write(true).open(source.join(name)).unwrap().set_modified(time).unwrap();
    }
    sh(source, "chmod 4711 empty; touch -d @-5 sparse");
}

/// How well a program keeps times.
#[derive(Clone, Copy)]
struct Kept {
    nanos: bool,
    /// Times before 1970.
    early: bool,
    /// Those of symbolic links.
    links: bool,
}

const ALL: Kept = Kept { nanos: true, early: true, links: true };

fn assert_same(source: &Path, target: &Path, kept: Kept) {
    eprintln!("comparing {}", target.display());
    let (from, to) = (listing(source), listing(target));
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(&to) {
        assert_eq!(from.strip_prefix(source).unwrap(), to.strip_prefix(target).unwrap());
        let (left, right) = (fs::symlink_metadata(from).unwrap(), fs::symlink_metadata(to).unwrap());
        assert_eq!((left.file_type(), left.mode()), (right.file_type(), right.mode()), "{from:?}");
        if left.is_dir() {
            continue;
        }
        assert_eq!(left.nlink(), right.nlink(), "{from:?}");
        if left.is_symlink() {
            assert_eq!(fs::read_link(from).unwrap(), fs::read_link(to).unwrap());
            assert!(!kept.links || left.mtime() == right.mtime(), "{from:?}");
            continue;
        }
        if kept.early || left.mtime() >= 0 {
            assert_eq!(left.mtime(), right.mtime(), "{from:?}");
        }
        if kept.nanos {
            assert_eq!(left.mtime_nsec(), right.mtime_nsec(), "{from:?}");
        }
        assert_eq!(left.size(), right.size(), "{from:?}");
        if left.size() > 250 * MIB {
            assert_eq!(right.blocks(), 0, "{to:?}");
            continue;
        }
        assert!(fs::read(from).unwrap() == fs::read(to).unwrap(), "{from:?}");
        assert!(right.blocks() * 512 <= left.blocks() * 512 + 8 * MIB, "{to:?} takes {} blocks", right.blocks());
    }
}

fn listing(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn sh(folder: &Path, command: &str) {
    let output = Command::new("sh").args(["-ec", command]).current_dir(folder).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.lines().all(|line| line.contains("implausibly old time stamp")), "{command}: {complaints}");
}

const PYTHON_PACK: &str = "
import tarfile, sys
with tarfile.open(sys.argv[1], 'w', format=getattr(tarfile, sys.argv[2])) as archive: archive.add('.')
";

const PYTHON_UNPACK: &str = "
import tarfile, sys
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        archive.extract(member, sys.argv[2], numeric_owner=True)
";

#[test]
fn archives_of_other_programs_are_unpacked_right() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.0.join("source");
        make_source(&source);
        fs::write(agent.folder.path("pack.py"), PYTHON_PACK).unwrap();
        let archive = agent.folder.path("archive");
        let coarse = Kept { nanos: false, ..ALL };
        for (name, command, kept) in [
            ("gnu", "tar --format=gnu -c -f ../archive .", coarse),
            ("posix", "tar --format=posix -c -f ../archive .", ALL),
            ("gnu sparse", "tar --format=gnu --sparse -c -f ../archive .", coarse),
            ("posix sparse", "tar --format=posix --sparse -c -f ../archive .", ALL),
            ("busybox", "busybox tar -c -f ../archive .", Kept { early: false, ..coarse }),
            ("python gnu", "python3 ../pack.py ../archive GNU_FORMAT", coarse),
            ("python pax", "python3 ../pack.py ../archive PAX_FORMAT", Kept { nanos: false, ..ALL }),
        ] {
            // Only these keep the large one small.
            let is_large = name.ends_with("sparse");
            if !is_large {
                fs::rename(source.join("hole"), agent.folder.0.join("hole")).unwrap();
            }
            sh(&source, command);
            let target = agent.folder.0.join(name);
            let packed = fs::read(&archive).unwrap();
            assert!(!is_large || packed.len() < 2 << 20, "{name}: {}", packed.len());
            let put = put_tree(&mut client, target.to_str().unwrap(), &packed).await;
            put.unwrap_or_else(|end| panic!("{name}: {end:?}"));
            assert_same(&source, &target, kept);
            fs::remove_dir_all(&target).unwrap();
            if !is_large {
                fs::rename(agent.folder.0.join("hole"), source.join("hole")).unwrap();
            }
        }
    });
}

#[test]
fn our_archives_are_unpacked_right_by_other_programs() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.0.join("source");
        make_source(&source);
        let Download { archive, .. } =
            get_tree(&mut client, tree(source.to_str().unwrap().to_owned(), &[], &[])).await.unwrap();
        assert!(archive.len() < 2 << 20, "{}", archive.len());
        fs::write(agent.folder.path("archive"), &archive).unwrap();
        let script = agent.folder.path("unpack.py");
        fs::write(&script, PYTHON_UNPACK).unwrap();
        // Its times are floating point numbers, and links have none.
        let python = Kept { nanos: false, links: false, ..ALL };
        for (name, command, kept) in [
            ("gnu", "mkdir gnu; tar -x -p -f archive -C gnu", ALL),
            ("python", "python3 unpack.py archive python", python),
        ] {
            sh(&agent.folder.0, command);
            assert_same(&source, &agent.folder.0.join(name), kept);
        }
        sh(&agent.folder.0, "tar -t -f archive >/dev/null");
        let ours = agent.folder.0.join("ours");
        put_tree(&mut client, ours.to_str().unwrap(), &archive).await.unwrap();
        assert_same(&source, &ours, ALL);
    });
}

#[test]
fn long_runs_of_zeros_become_holes() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.0.join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("zeros"), [vec![0; 20 * MIB as usize], vec![1; 10], vec![0; 5 * MIB as usize]].concat())
            .unwrap();
        sh(&source, "tar -c -f ../archive .");
        let target = agent.folder.path("target");
        put_tree(&mut client, &target, &fs::read(agent.folder.path("archive")).unwrap()).await.unwrap();
        let found = fs::metadata(format!("{target}/zeros")).unwrap();
        assert!(found.blocks() * 512 <= 128 << 10, "{}", found.blocks());
        assert!(fs::read(format!("{target}/zeros")).unwrap() == fs::read(source.join("zeros")).unwrap());
    });
}

#[test]
fn archive_that_lies_is_refused() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let source = agent.folder.0.join("source");
        make_source(&source);
        sh(&source, "tar --format=posix --sparse -c -f ../archive sparse empty");
        let whole = fs::read(agent.folder.path("archive")).unwrap();
        let target = agent.folder.path("target");
        put_tree(&mut client, &target, &whole).await.unwrap();
        // Whatever is broken: an error or an archive with other names, and never a hang or a dead worker.
        let mut seed = 1_u32;
        for _ in 0..300 {
            let mut broken = whole.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % 6000;
                broken[at] = (seed >> 3) as u8;
            }
            if let Err(end) = put_tree(&mut client, &target, &broken).await {
                assert_ne!(end.reason, "worker-failed", "{end:?}");
            }
        }
        for cut in [1, 511, 513, 1024, 1537, 3000, whole.len() / 2] {
            let torn = put_tree(&mut client, &target, &whole[..cut]).await.unwrap_err();
            assert_eq!(torn.reason, "bad-archive", "{cut}");
        }
    });
}
