//! Which disk is which: the host gives each one a serial.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub const BLOCK_DEVICES: &str = "/sys/block";

/// The device of every disk that says a serial.
#[derive(Debug, Default)]
pub struct Disks(BTreeMap<String, PathBuf>);

impl Disks {
    /// Asks the disks in this folder of sysfs. Each one is asked by a request to the host, so the answers are worth keeping.
    pub fn find(block: &Path) -> Self {
        let entries = fs::read_dir(block).into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| {
            let serial = fs::read_to_string(entry.path().join("serial")).ok()?;
            let serial = serial.trim().to_owned();
            (!serial.is_empty()).then(|| (serial, Path::new("/dev").join(entry.file_name())))
        });
        Self(found.collect())
    }

    /// What everything is written to.
    pub fn scratch(&self) -> Option<&Path> {
        self.named("scratch")
    }

    /// The disk of the base root, 0, or of an image.
    pub fn slot(&self, number: u32) -> Option<&Path> {
        self.named(&format!("slot{number}"))
    }

    fn named(&self, serial: &str) -> Option<&Path> {
        self.0.get(serial).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_by_their_serials() {
        let block = std::env::temp_dir().join(format!("vm-agent-block-{}", std::process::id()));
        for (name, serial) in [("vda", "slot0\n"), ("vdb", "scratch"), ("vdc", "slot1"), ("loop0", "")] {
            fs::create_dir_all(block.join(name)).unwrap();
            fs::write(block.join(name).join("serial"), serial).unwrap();
        }
        fs::create_dir_all(block.join("sr0")).unwrap();
        let disks = Disks::find(&block);
        assert_eq!(disks.scratch(), Some(Path::new("/dev/vdb")));
        assert_eq!((disks.slot(0), disks.slot(1)), (Some(Path::new("/dev/vda")), Some(Path::new("/dev/vdc"))));
        assert_eq!((disks.slot(2), disks.0.len()), (None, 3));
        fs::remove_dir_all(block).unwrap();
    }
}
