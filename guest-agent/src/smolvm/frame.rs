//! Frames: a type, four bytes of length, the payload. And the JSON objects in some of them.

use super::request::Request;
use serde_json::Value;

pub const JSON: u8 = 1;
pub const STDOUT: u8 = 2;
pub const STDERR: u8 = 3;
pub const DATA: u8 = 4;
pub const EOF: u8 = 5;

pub const HEADER: usize = 5;
/// The largest payload there may be.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// The largest payload that is sent.
pub const CHUNK: usize = 64 << 10;
/// How many bytes tell a request from garbage.
pub const REQUEST_START: usize = HEADER + 1;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    pub kind: u8,
    pub length: usize,
}

impl Header {
    /// None until all its bytes are there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [kind, length @ ..] = *bytes.first_chunk::<HEADER>()?;
        Some(Self { kind, length: u32::from_be_bytes(length) as usize })
    }

    pub fn write(self) -> [u8; HEADER] {
        let [a, b, c, d] = (self.length as u32).to_be_bytes();
        [self.kind, a, b, c, d]
    }
}

/// A whole frame with a JSON object.
pub fn json(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    [&Header { kind: JSON, length: text.len() }.write(), text.as_bytes()].concat()
}

/// The same request again, for a worker.
pub fn request(request: &Request) -> Vec<u8> {
    json(&Value::Object(request.0.clone()))
}

/// The object of a JSON frame. How deep it may be is bounded by the parser.
pub fn object(payload: &[u8]) -> Option<Request> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(members)) => Some(Request(members)),
        _ => None,
    }
}

/// The reply that says what went wrong.
pub fn refusal(sentence: &str) -> Value {
    /// Names and values of the request are in it, and those can be long.
    const LONGEST: usize = 4096;
    let end = (0..=LONGEST.min(sentence.len())).rev().find(|end| sentence.is_char_boundary(*end)).unwrap_or(0);
    serde_json::json!({ "ok": false, "error": sentence.get(..end).unwrap_or_default() })
}

/// Whether these bytes are a request, as far as the first few of them say so.
pub fn may_be_request(bytes: &[u8]) -> bool {
    let (kind, length, brace) = (bytes.first(), bytes.get(1), bytes.get(HEADER));
    kind == Some(&JSON)
        && length.is_none_or(|first| *first <= (MAX_PAYLOAD >> 24) as u8)
        && brace.is_none_or(|first| *first == b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_the_one_of_the_protocol() {
        let header = Header { kind: DATA, length: 0x10203 };
        assert_eq!(header.write(), [4, 0, 1, 2, 3]);
        assert_eq!(Header::read(&[4, 0, 1, 2, 3, 9]), Some(header));
        assert_eq!(Header::read(&[4, 0, 1, 2]), None);
    }

    #[test]
    fn only_objects_are_taken_and_only_so_deep() {
        assert!(object(b"{\"op\":\"ping\"}").is_some());
        let deep = [b"{\"a\":".repeat(1000), b"1".to_vec(), b"}".repeat(1000)].concat();
        for wrong in [&b"[]"[..], b"1", b"", b"{", b"{} {}", b"\xff", &deep] {
            assert!(object(wrong).is_none());
        }
    }

    #[test]
    fn long_refusals_are_cut_between_characters() {
        let refusal = refusal(&"\u{fc}".repeat(5000));
        assert_eq!(refusal["error"].as_str().unwrap().len(), 4096);
    }

    #[test]
    fn requests_are_told_from_other_bytes() {
        let request = json(&serde_json::json!({ "op": "ping" }));
        for end in 1..=request.len() {
            assert!(may_be_request(&request[..end]));
        }
        for garbage in [&[][..], &[2], &[1, 2], &[1, 0, 0, 0, 9, b'[']] {
            assert!(!may_be_request(garbage));
        }
    }
}
