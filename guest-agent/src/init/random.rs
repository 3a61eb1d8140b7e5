//! The kernel's random pool. Clones of one template would read identical bytes from it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
/// The kernel's pool holds 256 bits; more than this is no use.
const MOST: usize = 512;

/// Adds the bytes and makes the generator use them at once.
pub fn reseed(bytes: &[u8]) -> io::Result<()> {
    let bytes = bytes.get(..bytes.len().min(MOST)).unwrap_or_default();
    let size = bytes.len() as i32;
    // struct rand_pool_info: bits of entropy, size, the bytes; as words, because the kernel reads it aligned.
    let mut info = vec![size * 8, size];
    info.extend(bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(target, source)| *target = *source);
        i32::from_ne_bytes(word)
    }));
    let pool = OpenOptions::new().write(true).open("/dev/urandom")?;
    // SAFETY: the kernel reads `size` bytes behind the two numbers, and the list holds at least as many.
    let added = unsafe { libc::ioctl(pool.as_raw_fd(), RNDADDENTROPY as _, info.as_ptr()) };
    if added < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain ioctl without an argument.
    let reseeded = unsafe { libc::ioctl(pool.as_raw_fd(), RNDRESEEDCRNG as _) };
    if reseeded < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
