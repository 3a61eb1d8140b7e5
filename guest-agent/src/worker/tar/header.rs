//! One header block: text and numbers at fixed places.

use super::{BLOCK, bad_archive};
use crate::rpc::status::Status;

/// Place and length of a field.
pub type Field = (usize, usize);

pub const NAME: Field = (0, 100);
pub const MODE: Field = (100, 8);
pub const UID: Field = (108, 8);
pub const GID: Field = (116, 8);
pub const SIZE: Field = (124, 12);
pub const MTIME: Field = (136, 12);
const CHECKSUM: Field = (148, 8);
const KIND: usize = 156;
pub const LINK: Field = (157, 100);
pub const DEVICE_MAJOR: Field = (329, 8);
pub const DEVICE_MINOR: Field = (337, 8);
const MAGIC: Field = (257, 8);
const PREFIX: Field = (345, 155);

/// Magic and version of POSIX. GNU's own format has spaces there, and uses the prefix for other things.
const USTAR: &[u8] = b"ustar\x0000";

#[derive(Clone)]
pub struct Header(pub [u8; BLOCK]);

impl Header {
    pub fn new(kind: u8) -> Self {
        let mut header = Self([0; BLOCK]);
        header.put(MAGIC, USTAR);
        if let Some(byte) = header.0.get_mut(KIND) {
            *byte = kind;
        }
        header
    }

    pub fn kind(&self) -> u8 {
        self.0.get(KIND).copied().unwrap_or_default()
    }

    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    pub fn bytes(&self, (start, length): Field) -> &[u8] {
        self.0.get(start..start + length).unwrap_or_default()
    }

    /// The bytes of a field up to its first null.
    pub fn text(&self, field: Field) -> &[u8] {
        self.bytes(field).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    pub fn name(&self) -> Vec<u8> {
        let (prefix, name) = (self.text(PREFIX), self.text(NAME));
        if prefix.is_empty() || self.bytes(MAGIC).get(..6) != USTAR.get(..6) {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub fn number(&self, field: Field) -> Result<i64, Status> {
        number(self.bytes(field)).ok_or_else(|| bad_archive("a header has a field that is not a number"))
    }

    pub fn put(&mut self, (start, length): Field, bytes: &[u8]) {
        let bytes = bytes.get(..length).unwrap_or(bytes);
        if let Some(field) = self.0.get_mut(start..start + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// Whether the number has room in the field; a larger one is left out.
    pub fn put_number(&mut self, field: Field, value: u64) -> bool {
        let digits = field.1 - 1;
        let fits = value >> (3 * digits) == 0;
        self.put(field, format!("{:0digits$o}", if fits { value } else { 0 }).as_bytes());
        fits
    }

    pub fn seal(&mut self) {
        self.put(CHECKSUM, format!("{:06o}\0 ", self.sum()).as_bytes());
    }

    pub fn check(&self) -> Result<(), Status> {
        if self.number(CHECKSUM).is_ok_and(|sum| sum == i64::from(self.sum())) {
            return Ok(());
        }
        Err(bad_archive("a header has a wrong checksum"))
    }

    /// Of all bytes, those of the checksum itself taken as spaces.
    fn sum(&self) -> u32 {
        let all: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = self.bytes(CHECKSUM).iter().map(|byte| u32::from(*byte)).sum();
        all - own + u32::from(b' ') * CHECKSUM.1 as u32
    }
}

/// Octal digits, or with the first bit set a number in base 256, as GNU writes what is too large or negative.
pub fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The second bit is the sign.
        let start = i64::from(first & 0x3f) - i64::from(first & 0x40);
        return rest.iter().try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(i64::from(*byte)));
    }
    let end = |byte: &u8| *byte == 0 || *byte == b' ';
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !end(byte));
    digits.into_iter().try_fold(0_i64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_in_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]), Some((2 << 32) + 1));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"12x"), None);
        assert_eq!(number(&[0x80 | 0x3f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
        assert_eq!(number(b""), None);
    }

    #[test]
    fn sealed_header_is_whole_until_a_bit_is_lost() {
        let mut header = Header::new(b'0');
        assert!(header.put_number(SIZE, 0o777_7777_7777) && !header.put_number(UID, 0o1000_0000));
        header.put(NAME, b"a/b");
        header.seal();
        assert!(header.check().is_ok());
        assert_eq!((header.name(), header.number(SIZE).unwrap()), (b"a/b".to_vec(), 0o777_7777_7777));
        header.0[3] ^= 1;
        assert_eq!(header.check().unwrap_err().reason, "bad-archive");
    }
}
