use super::*;

const CLIENT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn preamble(version: u8, nonce: u8) -> Vec<u8> {
    [&MAGIC[..], &[version], &[nonce; NONCE]].concat()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[0, 0, 0, 0, 0, 1], payload].concat()
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

/// Runs the channel over a socket pair and returns the client's end.
fn with_channel<F: Future<Output = ()>>(client: impl FnOnce(tokio::net::UnixStream) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let agent = Agent::service();
        let server = tokio::task::spawn_local(async move { serve(&mut theirs, Protocol::Grpc, &agent).await });
        client(ours).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), server).await;
        assert!(ended.unwrap().unwrap().is_err());
    });
}

async fn expect_answer(stream: &mut tokio::net::UnixStream, nonce: u8) {
    let wanted = preamble(VERSION, nonce);
    let mut seen = Vec::new();
    let deadline = std::time::Duration::from_secs(10);
    while !seen.ends_with(&wanted) {
        let byte = tokio::time::timeout(deadline, stream.read_u8()).await.unwrap().unwrap();
        seen.push(byte);
    }
}

#[test]
fn answer_echoes_the_nonce_with_our_version_and_looks_on_after_an_unknown_version() {
    with_channel(async |mut stream| {
        stream.write_all(b"stale bytes").await.unwrap();
        stream.write_all(&preamble(9, 4)).await.unwrap();
        expect_answer(&mut stream, 4).await;
        stream.write_all(&preamble(1, 5)).await.unwrap();
        expect_answer(&mut stream, 5).await;
    });
}

#[test]
fn preamble_in_an_open_session_starts_the_next_one() {
    with_channel(async |mut stream| {
        for nonce in 1..4 {
            stream.write_all(&preamble(1, nonce)).await.unwrap();
            expect_answer(&mut stream, nonce).await;
            let (client, connection) = h2::client::handshake(Uncloseable(&mut stream)).await.unwrap();
            let mut client = client.ready().await.unwrap();
            let request = http::Request::post("http://agent/no/Such").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            tokio::select! {
                _ = connection => panic!("the connection ended"),
                response = response => assert_eq!(response.unwrap().headers()["grpc-status"], "12"),
            }
        }
    });
}

#[test]
fn session_that_is_not_http2_gives_way_to_the_next_preamble() {
    with_channel(async |mut stream| {
        stream.write_all(&preamble(1, 1)).await.unwrap();
        expect_answer(&mut stream, 1).await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        stream.write_all(&preamble(1, 2)).await.unwrap();
        expect_answer(&mut stream, 2).await;
    });
}

/// A client that is killed says nothing when it goes.
struct Uncloseable<'a>(&'a mut tokio::net::UnixStream);

impl AsyncRead for Uncloseable<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Uncloseable<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
