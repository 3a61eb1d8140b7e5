//! Where the frames of a session begin, to see where something begins that cannot be one.

use super::MAGIC;
use crate::protocol::Protocol;
use crate::smolvm::frame;
use std::ops::Range;

/// What is before the first frame, how long the header of a frame is, and where in it the payload's length stands.
struct Framing {
    preface: &'static [u8],
    header: usize,
    length: Range<usize>,
}

/// No length may begin with the magic's first byte, and no byte of the client preface equals it.
const HTTP2: Framing = Framing { preface: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", header: 9, length: 0..3 };
/// The magic's first byte is no type of a frame.
const SMOLVM: Framing = Framing { preface: b"", header: frame::HEADER, length: 1..frame::HEADER };

pub struct FrameWatch {
    framing: &'static Framing,
    preface: usize,
    header: usize,
    payload: usize,
}

impl FrameWatch {
    pub fn new(protocol: Protocol) -> Self {
        let framing = match protocol {
            Protocol::Grpc => &HTTP2,
            Protocol::SmolVm => &SMOLVM,
        };
        Self { framing, preface: 0, header: 0, payload: 0 }
    }

    /// How many of the bytes belong to the session. The first one that does not starts what comes after it.
    pub fn belonging(&mut self, bytes: &[u8]) -> usize {
        let framing = self.framing;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(&expected) = framing.preface.get(self.preface) {
                if byte != expected {
                    return at;
                }
                self.preface += 1;
                at += 1;
            } else if self.header == framing.header && self.payload > 0 {
                let step = self.payload.min(bytes.len() - at);
                self.payload -= step;
                at += step;
            } else {
                if self.header == framing.header {
                    (self.header, self.payload) = (0, 0);
                }
                if self.header == 0 && Some(&byte) == MAGIC.first() {
                    return at;
                }
                if framing.length.contains(&self.header) {
                    self.payload = self.payload << 8 | usize::from(byte);
                }
                self.header += 1;
                at += 1;
            }
        }
        at
    }
}
