//! What a client is told of one name.

use super::folder::mtime;
use super::target::PERMISSIONS;
use crate::r#gen::agent::{FileInfo, FileType};

/// The kernel counts what a file takes in these, whatever the disk's blocks are.
const UNIT: u64 = 512;

pub fn file_info(name: &[u8], found: &libc::stat, link_target: Vec<u8>) -> FileInfo {
    let kind = match found.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileType::Regular,
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::Fifo,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharacterDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::Unspecified,
    };
    let mtime = mtime(found);
    FileInfo {
        name: name.to_vec().into(),
        r#type: kind.into(),
        size: u64::try_from(found.st_size).unwrap_or(0),
        disk_bytes: u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(UNIT),
        mode: found.st_mode & PERMISSIONS,
        uid: found.st_uid,
        gid: found.st_gid,
        // As wide as the machine's words.
        #[allow(clippy::useless_conversion)]
        links: u64::try_from(found.st_nlink).unwrap_or(u64::MAX),
        mtime: mtime.seconds,
        mtime_nanos: mtime.nanos,
        link_target: link_target.into(),
    }
}

pub fn is_link(found: &libc::stat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFLNK
}

pub fn is_directory(found: &libc::stat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFDIR
}
