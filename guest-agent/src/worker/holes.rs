//! Files with holes: where the data is, and room for what is zero anyway.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;

/// A run of zeros from this length on is worth a hole. Looked for at multiples of it.
const BLOCK: usize = 64 << 10;

/// Bytes that are really there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

impl Segment {
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The next data at or behind `from` in the file's first `size` bytes, or none when only a hole is left. A file system that
/// knows no holes has data everywhere. That the file became shorter is `UnexpectedEof`.
pub fn next_data(file: &File, from: u64, size: u64) -> io::Result<Option<Segment>> {
    if from >= size {
        return Ok(None);
    }
    let all = Segment { offset: from, length: size - from };
    let offset = match seek(file, from, libc::SEEK_DATA) {
        Ok(offset) => offset,
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            if file.metadata()?.len() < size {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return Ok(None);
        }
        Err(_) => return Ok(Some(all)),
    };
    if offset >= size {
        return Ok(None);
    }
    let end = seek(file, offset, libc::SEEK_HOLE)?.clamp(offset, size);
    if end == offset {
        // Cut between the two looks.
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Segment { offset, length: end - offset }))
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<u64> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: plain system call.
    let found = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    u64::try_from(found).map_err(|_| io::Error::last_os_error())
}

/// Writes what `source` gives at the file's position and returns how much that was. Blocks of zeros are left out, so the
/// file's length must be set afterwards.
pub fn copy_without_zeros(source: &mut dyn Read, file: &mut File) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut copied = 0;
    loop {
        let mut filled = 0;
        while let Some(room) = block.get_mut(filled..)
            && !room.is_empty()
        {
            match source.read(room)? {
                0 => break,
                count => filled += count,
            }
        }
        let data = block.get(..filled).unwrap_or_default();
        if data.is_empty() {
            return Ok(copied);
        }
        copied += filled as u64;
        if filled == BLOCK && data.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(BLOCK as i64))?;
        } else {
            file.write_all(data)?;
        }
    }
}
