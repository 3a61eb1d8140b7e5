//! Maps of sparse files: GNU.sparse 1.0 (text in front of the content) and old GNU sparse (numbers in the header and in blocks
//! behind it).

use super::super::holes::Segment;
use super::header::{Field, Header, number};
use super::{BLOCK, bad_archive};
use crate::rpc::status::Status;

/// Maps of more pieces than this are not taken.
const MOST_SEGMENTS: usize = 1 << 20;

const OLD_MAP: Field = (386, 96);
const OLD_EXTENDED: Field = (482, 1);
pub const OLD_REAL_SIZE: Field = (483, 12);
/// A piece in an old map: two numbers of this length.
const OLD_NUMBER: usize = 12;
/// Where a block behind the header says that another one follows. Pieces are in front of it.
const NEXT_EXTENDED: usize = 504;

/// A map while it is read: in order, without overlaps, and within the file.
pub struct Map {
    pub segments: Vec<Segment>,
    pub real_size: u64,
    pub data: u64,
}

impl Map {
    pub fn new(real_size: u64) -> Self {
        Self { segments: Vec::new(), real_size, data: 0 }
    }

    fn push(&mut self, offset: u64, length: u64) -> Result<(), Status> {
        let end = self.segments.last().map_or(0, |last| last.end());
        let fits = offset.checked_add(length).is_some_and(|end| end <= self.real_size);
        if offset < end || !fits || self.segments.len() >= MOST_SEGMENTS {
            return Err(bad_archive("the map of a sparse file is wrong"));
        }
        // The last piece may be an empty one that only tells the size.
        if length > 0 {
            self.segments.push(Segment { offset, length });
            self.data += length;
        }
        Ok(())
    }

    /// The pieces in the header of an old sparse file. True when a block of more follows.
    pub fn push_header(&mut self, header: &Header) -> Result<bool, Status> {
        self.push_old(header.bytes(OLD_MAP))?;
        Ok(header.bytes(OLD_EXTENDED) != [0])
    }

    /// The pieces in a block behind such a header. True when another one follows.
    pub fn push_block(&mut self, block: &[u8; BLOCK]) -> Result<bool, Status> {
        self.push_old(block.get(..NEXT_EXTENDED).unwrap_or_default())?;
        Ok(block.get(NEXT_EXTENDED).is_some_and(|more| *more != 0))
    }

    fn push_old(&mut self, pieces: &[u8]) -> Result<(), Status> {
        for piece in pieces.chunks_exact(2 * OLD_NUMBER) {
            let (offset, length) = piece.split_at(OLD_NUMBER);
            if offset.first() == Some(&0) {
                break;
            }
            let read = |field| number(field).and_then(|number| u64::try_from(number).ok());
            let (Some(offset), Some(length)) = (read(offset), read(length)) else {
                return Err(bad_archive("the map of a sparse file is wrong"));
            };
            self.push(offset, length)?;
        }
        Ok(())
    }
}

/// Reads the lines of a 1.0 map as its blocks come.
pub struct Lines {
    pub map: Map,
    /// Numbers that are still to come; unknown until the first line.
    missing: Option<u64>,
    offset: Option<u64>,
    line: u64,
    digits: usize,
}

impl Lines {
    pub fn new(real_size: u64) -> Self {
        Self { map: Map::new(real_size), missing: None, offset: None, line: 0, digits: 0 }
    }

    /// True when the map goes on in the next block.
    pub fn push_block(&mut self, block: &[u8; BLOCK]) -> Result<bool, Status> {
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let next = self.line.checked_mul(10).and_then(|line| line.checked_add(u64::from(byte - b'0')));
                    self.line = next.ok_or_else(|| bad_archive("the map of a sparse file is wrong"))?;
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    let number = std::mem::take(&mut self.line);
                    self.digits = 0;
                    self.push_number(number)?;
                }
                _ => return Err(bad_archive("the map of a sparse file is wrong")),
            }
            if self.missing == Some(0) {
                // The rest of the block is padding.
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn push_number(&mut self, number: u64) -> Result<(), Status> {
        let Some(missing) = &mut self.missing else {
            if number > MOST_SEGMENTS as u64 {
                return Err(bad_archive("the map of a sparse file has too many pieces"));
            }
            self.missing = Some(2 * number);
            return Ok(());
        };
        *missing -= 1;
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => self.map.push(offset, number)?,
        }
        Ok(())
    }
}

/// The map as text, padded to whole blocks. It ends with an empty piece at the end of the file, as GNU tar's own.
pub fn format_map(segments: &[Segment], real_size: u64) -> Vec<u8> {
    let mut text = format!("{}\n", segments.len() + 1);
    for Segment { offset, length } in segments.iter().chain([&Segment { offset: real_size, length: 0 }]) {
        text.push_str(&offset.to_string());
        text.push('\n');
        text.push_str(&length.to_string());
        text.push('\n');
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], real_size: u64) -> Result<Vec<Segment>, Status> {
        let mut lines = Lines::new(real_size);
        let mut blocks = text.chunks(BLOCK);
        let mut more = true;
        while more {
            let mut block = [0; BLOCK];
            let chunk = blocks.next().ok_or_else(|| bad_archive("short"))?;
            block[..chunk.len()].copy_from_slice(chunk);
            more = lines.push_block(&block)?;
        }
        Ok(lines.map.segments)
    }

    #[test]
    fn map_of_many_blocks_is_read_as_it_was_written() {
        let segments: Vec<_> = (0..300).map(|index| Segment { offset: index * 1_000_000, length: 7 }).collect();
        let text = format_map(&segments, 1 << 40);
        assert!(text.len() > 4 * BLOCK && text.len().is_multiple_of(BLOCK));
        assert_eq!(read(&text, 1 << 40).unwrap(), segments);
        assert_eq!(read(&format_map(&[], 5), 5).unwrap(), []);
    }

    #[test]
    fn map_that_lies_is_refused() {
        for text in [
            "1\n0\n11\n",
            "2\n5\n2\n0\n1\n",
            "2\n0\n4\n3\n1\n",
            "1\n18446744073709551615\n2\n",
            "99999999\n",
            "99999999999999999999999\n",
            "x\n",
            "\n",
            "2\n0\n1\n",
        ] {
            assert_eq!(read(text.as_bytes(), 10).unwrap_err().reason, "bad-archive", "{text:?}");
        }
    }
}
