//! The cutting of a port's stream into sessions, against a reading of the whole that knows nothing of cuts.

use super::script::{Script, run};
use crate::protocol::Protocol;
use crate::reset;
use tokio::io::AsyncReadExt;

const MAGIC: &[u8] = b"\xff\x74\x45\xd0\x1c\x5d\x6b\xa4\x42\xf6\x08\x54\x3c\xa0\xf7\x7a";
const PREAMBLE: usize = 33;
/// What no frame begins with.
const RESET: u8 = 0xff;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;

pub fn preamble(input: &[u8]) {
    let mut script = Script::new(input);
    let whole = script.rest();
    let mut sessions = Vec::new();
    let ended = run(reset::sessions(&mut script, Protocol::Grpc, async |session| {
        let mut bytes = Vec::new();
        assert!(session.read_to_end(&mut bytes).await.is_ok());
        sessions.push(bytes);
    }));
    assert!(ended.is_err(), "a stream ends only when its source does");
    let expected = read_whole(whole);
    assert_eq!(sessions, expected.sessions);
    assert_eq!(script.written, expected.answers);

    // The other protocol has no preface and other frames; what it must keep to is that it ends.
    let mut script = Script::new(input);
    let _ = run(reset::sessions(&mut script, Protocol::SmolVm, async |session| {
        let _ = session.read_to_end(&mut Vec::new()).await;
    }));
}

#[derive(Default)]
struct Expected {
    sessions: Vec<Vec<u8>>,
    answers: Vec<u8>,
}

/// CHANNEL.md, for a reader that has everything before it.
fn read_whole(mut bytes: &[u8]) -> Expected {
    let mut expected = Expected::default();
    while let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
        let Some((preamble, rest)) = bytes.get(at..).and_then(|bytes| bytes.split_at_checked(PREAMBLE)) else { break };
        let Some((magic, [version, nonce @ ..])) = preamble.split_at_checked(MAGIC.len()) else { break };
        expected.answers.extend([magic, &[1], nonce].concat());
        bytes = rest;
        if *version == 1 {
            let (session, rest) = bytes.split_at(session_length(bytes));
            expected.sessions.push(session.to_vec());
            bytes = rest;
        }
    }
    expected
}

/// Up to where the bytes may be HTTP/2: the preface, then frames whose length does not begin with the magic.
fn session_length(bytes: &[u8]) -> usize {
    let preface = bytes.iter().zip(PREFACE).take_while(|(byte, expected)| byte == expected).count();
    let mut at = preface;
    if preface < PREFACE.len() {
        return at;
    }
    while let Some(&[first, second, third, ..]) = bytes.get(at..) {
        if first == RESET {
            return at;
        }
        at += FRAME_HEADER + usize::from(first) * 0x10000 + usize::from(second) * 0x100 + usize::from(third);
    }
    match bytes.get(at) {
        Some(&RESET) => at,
        _ => bytes.len(),
    }
}
