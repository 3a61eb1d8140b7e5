// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use support::{Agent, Piece, get_pieces, put_pieces, run, trailer_of};
use vm_agent::r#gen::agent::*;

const MIB: u64 = 1 << 20;

fn header(size: u64) -> FileHeader {
    FileHeader { size, mode: 0o600, ..FileHeader::default() }
}

#[test]
fn holes_go_in_and_come_out_as_holes() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("file");
        let (hole, data) = (Piece::Hole, |byte| Piece::Data(vec![byte; MIB as usize]));
        for pieces in [
            vec![hole(8 * MIB), data(1), hole(4096 * MIB), data(2), hole(3 * MIB)],
            vec![data(1), hole(MIB), data(2)],
            vec![hole(1 << 40)],
            vec![hole(5)],
        ] {
            let sent = trailer_of(&pieces);
            let put = put_pieces(&mut client, &path, header(sent.size), &pieces, Some(sent)).await;
            assert_eq!(put.unwrap().size, sent.size);
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(metadata.size(), sent.size);
            assert!(metadata.blocks() * 512 <= 3 * MIB, "{} blocks", metadata.blocks());
            let (back, found) = get_pieces(&mut client, &path).await.unwrap();
            assert_eq!(back.size, sent.size);
            assert!(found == pieces, "{:?}", found.len());
        }
    });
}

#[test]
fn hole_is_no_larger_than_the_file() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("file");
        for pieces in
            [vec![Piece::Hole(11)], vec![Piece::Data(vec![1; 5]), Piece::Hole(u64::MAX)], vec![Piece::Hole(9)]]
        {
            let sent = FileTrailer { size: 10, ..trailer_of(&[]) };
            let refused = put_pieces(&mut client, &path, header(10), &pieces, Some(sent)).await.unwrap_err();
            assert_eq!((refused.code, &*refused.reason), (15, "checksum"));
        }
        let endless = [Piece::Hole(u64::MAX)];
        let refused = put_pieces(&mut client, &path, header(u64::MAX), &endless, None).await.unwrap_err();
        assert_eq!(refused.code, 13, "{refused:?}");
        let left = fs::read_dir(&agent.folder.0).unwrap().flatten().map(|entry| entry.file_name());
        assert_eq!(left.filter(|name| !name.to_string_lossy().ends_with(".sock")).count(), 0);
    });
}

#[test]
fn file_that_loses_its_end_while_a_hole_is_told_is_an_error() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("file");
        let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
        // Far more than fits between the two, so that the worker is still at it.
        file.write_all_at(&vec![1; 40 * MIB as usize], 0).unwrap();
        file.set_len(100 * MIB).unwrap();
        let mut call = client.call("GetFile").await;
        call.send(&GetFileRequest { path: path.clone(), ..GetFileRequest::default() }).await;
        call.half_close();
        call.next::<GetFileResponse>().await.unwrap();
        file.set_len(40 * MIB).unwrap();
        while call.next::<GetFileResponse>().await.is_some() {}
        assert_eq!((call.end().code, &*call.end().reason), (15, "file-changed"));
    });
}

#[test]
fn time_has_no_more_nanoseconds_than_a_second() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let path = agent.folder.path("file");
        let wrong = FileHeader { mtime_nanos: 1_000_000_000, ..header(0) };
        let refused = put_pieces(&mut client, &path, wrong, &[], Some(trailer_of(&[]))).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (3, "bad-argument"));
        assert!(File::open(&path).is_err());
        let early = FileHeader { mtime: -2, mtime_nanos: 999_999_999, ..header(0) };
        put_pieces(&mut client, &path, early, &[], Some(trailer_of(&[]))).await.unwrap();
        let (back, _) = get_pieces(&mut client, &path).await.unwrap();
        assert_eq!((back.mtime, back.mtime_nanos), (-2, 999_999_999));
    });
}
