//! gRPC's length-prefixed messages: one flag byte, four bytes of length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

pub const PREFIX: usize = 5;
/// The largest message taken, as in most gRPC implementations.
pub const MAX_MESSAGE: usize = 4 << 20;

#[derive(Debug, Eq, PartialEq)]
pub enum FrameError {
    Compressed,
    TooLarge,
}

/// Cuts a byte stream into messages.
#[derive(Default)]
pub struct Decoder {
    buffered: BytesMut,
}

impl Decoder {
    pub fn feed(&mut self, data: &[u8]) {
        self.buffered.extend_from_slice(data);
    }

    /// The next whole message, or none until more was fed.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced()? else { return Ok(None) };
        let missing = (PREFIX + length).saturating_sub(self.buffered.len());
        if missing > 0 {
            self.buffered.reserve(missing);
            return Ok(None);
        }
        self.buffered.advance(PREFIX);
        Ok(Some(self.buffered.split_to(length).freeze()))
    }

    /// Bytes of a message that is not whole yet.
    pub fn pending(&self) -> usize {
        self.buffered.len()
    }

    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some(([flag, length @ ..], _)) = self.buffered.split_first_chunk::<PREFIX>() else { return Ok(None) };
        if *flag != 0 {
            return Err(FrameError::Compressed);
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_MESSAGE { Err(FrameError::TooLarge) } else { Ok(Some(length)) }
    }
}

/// A message with its prefix.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    put_prefix(&mut frame, length);
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// The prefix and field header of a message whose only field is `payload` bytes in field `tag`, to be sent in front of a
/// payload that is not copied. With `inner`, the field holds a message whose only field, number 1, is the payload.
pub fn encode_payload_header(tag: u8, inner: bool, payload: usize) -> BytesMut {
    const LENGTH_DELIMITED: u8 = 2;
    let field = if inner { 1 + prost::length_delimiter_len(payload) + payload } else { payload };
    let mut frame = BytesMut::with_capacity(32);
    put_prefix(&mut frame, 1 + prost::length_delimiter_len(field) + field);
    frame.put_u8(tag << 3 | LENGTH_DELIMITED);
    prost::encoding::encode_varint(field as u64, &mut frame);
    if inner {
        frame.put_u8(1 << 3 | LENGTH_DELIMITED);
        prost::encoding::encode_varint(payload as u64, &mut frame);
    }
    frame
}

fn put_prefix(frame: &mut BytesMut, length: usize) {
    frame.put_u8(0);
    frame.put_u32(length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::r#gen::{agent, tart};

    #[test]
    fn messages_survive_a_split_at_every_byte() {
        let wire = [&b"\0\0\0\0\x03abc"[..], b"\0\0\0\0\0", b"\0\0\0\0\x01z"].concat();
        for cut in 0..wire.len() {
            let mut decoder = Decoder::default();
            let mut messages = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                decoder.feed(part);
                while let Some(message) = decoder.next_message().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [&b"abc"[..], b"", b"z"]);
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn compressed_and_oversized_messages_are_refused() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x01\0\0\0\0");
        assert_eq!(decoder.next_message(), Err(FrameError::Compressed));
        let mut decoder = Decoder::default();
        decoder.feed(b"\0\xff\xff\xff\xff");
        assert_eq!(decoder.next_message(), Err(FrameError::TooLarge));
    }

    #[test]
    fn payload_header_is_what_the_generated_message_encodes() {
        for size in [0usize, 1, 127, 128, 70_000] {
            let payload = Bytes::from(vec![7u8; size]);
            let ours = agent::ExecResponse { response: Some(agent::exec_response::Response::Stderr(payload.clone())) };
            let mut frame = encode_payload_header(3, false, size);
            frame.extend_from_slice(&payload);
            assert_eq!(frame, encode(&ours));
            if size > 0 {
                let chunk = tart::IoChunk { data: payload.clone() };
                let tart = tart::ExecResponse { r#type: Some(tart::exec_response::Type::StandardOutput(chunk)) };
                let mut frame = encode_payload_header(2, true, size);
                frame.extend_from_slice(&payload);
                assert_eq!(frame, encode(&tart));
            }
        }
    }
}
