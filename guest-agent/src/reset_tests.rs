use super::*;

const CLIENT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn preamble(version: u8, nonce: u8) -> Vec<u8> {
    [&MAGIC[..], &[version], &[nonce; NONCE]].concat()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[0, 0, 0, 0, 0, 1], payload].concat()
}

fn smolvm(json: &str) -> Vec<u8> {
    [&[1, 0, 0, 0, json.len() as u8], json.as_bytes()].concat()
}

#[test]
fn preamble_is_found_when_split_at_every_byte() {
    let wire = preamble(1, 7);
    for cut in 0..wire.len() {
        let mut unread = BytesMut::from(&wire[..cut]);
        assert_eq!(take_start(&mut unread, Protocol::Grpc), None);
        unread.extend_from_slice(&wire[cut..]);
        unread.extend_from_slice(b"PRI");
        assert_eq!(
            take_start(&mut unread, Protocol::Grpc),
            Some(Start::Preamble(Preamble { version: 1, nonce: [7; NONCE] }))
        );
        assert_eq!(&unread[..], b"PRI");
    }
}

#[test]
fn garbage_before_the_magic_is_dropped_even_when_it_resembles_the_magic() {
    for garbage in [&b"x"[..], &MAGIC[..15], &[0xff; 40], &MAGIC[..1]] {
        let mut unread = BytesMut::from(garbage);
        assert_eq!(take_start(&mut unread, Protocol::Grpc), None);
        unread.extend_from_slice(&preamble(1, 9));
        assert_eq!(
            take_start(&mut unread, Protocol::Grpc),
            Some(Start::Preamble(Preamble { version: 1, nonce: [9; NONCE] }))
        );
        assert!(unread.is_empty());
    }
}

#[test]
fn garbage_without_a_magic_is_not_kept() {
    let mut unread = BytesMut::from(&vec![0u8; 100_000][..]);
    assert_eq!(take_start(&mut unread, Protocol::Grpc), None);
    assert!(unread.is_empty());
}

#[test]
fn session_ends_at_a_preamble_on_a_frame_border_wherever_reads_are_cut() {
    let session = [CLIENT, &frame(b""), &frame(&[0xff; 300])].concat();
    let wire = [&session[..], &preamble(1, 3)].concat();
    for cut in 0..wire.len() {
        let mut frames = FrameWatch::new(Protocol::Grpc);
        let first = frames.belonging(&wire[..cut]);
        let taken = if first < cut { first } else { cut + frames.belonging(&wire[cut..]) };
        assert_eq!(taken, session.len(), "cut at {cut}");
    }
}

#[test]
fn session_ends_at_a_preamble_inside_the_client_preface() {
    for told in 0..CLIENT.len() {
        let wire = [&CLIENT[..told], &preamble(1, 3)].concat();
        assert_eq!(FrameWatch::new(Protocol::Grpc).belonging(&wire), told);
    }
}

#[test]
fn magic_inside_a_frame_belongs_to_the_session() {
    let wire = [CLIENT, &frame(&preamble(1, 1)), &frame(b"x")].concat();
    assert_eq!(FrameWatch::new(Protocol::Grpc).belonging(&wire), wire.len());
}

#[test]
fn request_of_smolvm_starts_a_session_when_split_at_every_byte() {
    let wire = smolvm(r#"{"op":"ping"}"#);
    for cut in 0..wire.len() {
        let mut unread = BytesMut::from(&[b"\x01\x00garbage\xff\x74", &wire[..cut]].concat()[..]);
        let start = take_start(&mut unread, Protocol::SmolVm);
        assert_eq!(start, (cut >= frame::REQUEST_START).then_some(Start::Request), "cut at {cut}");
        unread.extend_from_slice(&wire[cut..]);
        assert_eq!(take_start(&mut unread, Protocol::SmolVm), Some(Start::Request));
        assert_eq!(&unread[..], wire);
        assert_eq!(take_start(&mut unread, Protocol::Grpc), None);
    }
}

#[test]
fn session_of_smolvm_ends_at_a_preamble_on_a_frame_border_wherever_reads_are_cut() {
    let session = [&smolvm("{}")[..], &[4, 0, 0, 1, 0], &[0xff; 256], &[5, 0, 0, 0, 0]].concat();
    let wire = [&session[..], &preamble(1, 3)].concat();
    for cut in 0..wire.len() {
        let mut frames = FrameWatch::new(Protocol::SmolVm);
        let first = frames.belonging(&wire[..cut]);
        let taken = if first < cut { first } else { cut + frames.belonging(&wire[cut..]) };
        assert_eq!(taken, session.len(), "cut at {cut}");
    }
}
