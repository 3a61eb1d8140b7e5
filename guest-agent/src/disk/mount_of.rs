//! Which file system a path is on, and which block device that is on.

use super::not_growable;
use crate::rpc::status::Status;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// sysfs counts in these, whatever the disk's sectors are.
const UNIT: u64 = 512;

pub struct Mount {
    /// Open where it is mounted.
    pub folder: File,
    pub kind: String,
    /// Major and minor number.
    pub device: (u32, u32),
    pub is_read_only: bool,
}

/// A line of mountinfo.
#[derive(Debug, Eq, PartialEq)]
struct Line<'a> {
    device: (u32, u32),
    point: &'a str,
    is_read_only: bool,
    kind: &'a str,
    source: &'a str,
}

impl Mount {
    pub fn of(path: &Path) -> Result<Self, Status> {
        let subject = path.to_string_lossy();
        let failed = |error: io::Error| Status::from_io(&error, &subject);
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).map_err(failed)?;
        let id = mount_id(&file)?;
        let text = fs::read_to_string("/proc/self/mountinfo");
        let text = text.map_err(|error| Status::from_io(&error, "/proc/self/mountinfo"))?;
        let line = find(&text, &id).ok_or_else(|| not_growable(format!("not on any mount of this root: {subject}")))?;
        let device = match line.device {
            // btrfs may have several devices, so the kernel makes up a number.
            (0, _) if line.source.starts_with("/dev/") => {
                let metadata = fs::metadata(line.source).map_err(|error| Status::from_io(&error, line.source))?;
                (libc::major(metadata.rdev()), libc::minor(metadata.rdev()))
            }
            (0, _) => return Err(not_growable(format!("on no disk but a {} file system: {subject}", line.kind))),
            device => device,
        };
        let point = unescape(line.point);
        let folder = File::open(&point).map_err(|error| Status::from_io(&error, &point))?;
        // Something else may be mounted over it.
        if mount_id(&folder)? != id {
            return Err(not_growable(format!("another file system is mounted over the one of the path: {subject}")));
        }
        let is_read_only = line.is_read_only;
        Ok(Self { folder, kind: line.kind.to_owned(), device, is_read_only })
    }
}

fn mount_id(file: &File) -> Result<String, Status> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let text = fs::read_to_string(&path).map_err(|error| Status::from_io(&error, &path))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(id.unwrap_or_default().trim().to_owned())
}

fn find<'a>(mountinfo: &'a str, id: &str) -> Option<Line<'a>> {
    let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(id))?;
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (device, point, options) = (mount.next()?, mount.nth(1)?, mount.next()?);
    let (major, minor) = device.split_once(':')?;
    let mut filesystem = filesystem.split(' ');
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let (kind, source) = (filesystem.next()?, filesystem.next()?);
    Some(Line {
        device: (major.parse().ok()?, minor.parse().ok()?),
        point,
        // The mount, or the file system itself.
        is_read_only: is_read_only(options) || filesystem.next().is_some_and(is_read_only),
        kind,
        source,
    })
}

/// The kernel writes what would break the line in octal.
fn unescape(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escape, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(escape, character);
    }
    plain
}

pub struct Partition {
    pub number: u32,
    /// The disk that it is on: "/dev/vda".
    pub disk: String,
    /// Bytes.
    pub start: u64,
    pub size: u64,
}

pub struct Device {
    pub name: String,
    pub partition: Option<Partition>,
}

impl Device {
    pub fn find((major, minor): (u32, u32)) -> Result<Self, Status> {
        let sys = format!("/sys/dev/block/{major}:{minor}");
        let event = read(&format!("{sys}/uevent"))?;
        let name = device_name(&event).ok_or_else(|| unknown(&sys))?;
        let Some(number) = value(&event, "PARTN") else { return Ok(Self { name, partition: None }) };
        let disk = device_name(&read(&format!("{sys}/../uevent"))?).ok_or_else(|| unknown(&sys))?;
        let count = |file: &str| {
            let path = format!("{sys}/{file}");
            read(&path)?.trim().parse::<u64>().map(|count| count.saturating_mul(UNIT)).map_err(|_| unknown(&path))
        };
        let number = number.parse().map_err(|_| unknown(&sys))?;
        let partition = Partition { number, disk, start: count("start")?, size: count("size")? };
        Ok(Self { name, partition: Some(partition) })
    }
}

fn device_name(event: &str) -> Option<String> {
    value(event, "DEVNAME").map(|name| format!("/dev/{name}"))
}

fn value<'a>(event: &'a str, key: &str) -> Option<&'a str> {
    event.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

fn read(path: &str) -> Result<String, Status> {
    fs::read_to_string(path).map_err(|error| Status::from_io(&error, path))
}

fn unknown(path: &str) -> Status {
    not_growable(format!("the kernel does not tell which disk it is: {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_is_found_by_its_number_whatever_stands_between() {
        let text = "21 1 0:20 / /proc rw - proc proc rw\n\
                    36 35 254:1 /sub /my\\040disk rw,noatime shared:1 master:2 - ext4 /dev/vda1 rw,errors=continue\n\
                    3 1 0:3 / / rw - btrfs /dev/vdb ro,space_cache\n";
        let line = find(text, "36").unwrap();
        assert_eq!(
            line,
            Line { device: (254, 1), point: "/my\\040disk", is_read_only: false, kind: "ext4", source: "/dev/vda1" }
        );
        assert_eq!(unescape(line.point), "/my disk");
        let line = find(text, "3").unwrap();
        assert!(line.kind == "btrfs" && line.is_read_only);
        assert_eq!(find(text, "6"), None);
    }
}
