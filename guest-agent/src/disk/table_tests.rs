//! Tables that sfdisk makes, and reads again after they grew.

use super::table::{Disk, grow, plan};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;

struct Image {
    path: PathBuf,
    file: File,
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Image {
    /// A disk image of 64 MiB with this table.
    fn new(name: &str, table: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vm-agent-disk-{}-{name}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(64 * MIB).unwrap();
        let image = Self { path, file };
        image.sfdisk(&[], table);
        image
    }

    fn disk(&self) -> Disk<'_> {
        Disk { file: &self.file, name: "disk", size: self.file.metadata().unwrap().len(), sector: SECTOR }
    }

    /// Its output and complaints.
    fn sfdisk(&self, options: &[&str], input: &str) -> String {
        let mut child = Command::new("sfdisk")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["--no-reread", "--no-tell-kernel"])
            .args(options)
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("no sfdisk on this host; install fdisk");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    }

    /// Where its partitions start and end, in sectors, as sfdisk reads them; it must not complain.
    fn partitions(&self) -> Vec<(u64, u64)> {
        let dump = self.sfdisk(&["--dump"], "");
        assert!(!dump.contains("orrupt") && !dump.contains("mismatch"), "{dump}");
        let number = |line: &str, key: &str| {
            let rest = line.split(key).nth(1)?.trim_start();
            rest.split(',').next()?.trim().parse::<u64>().ok()
        };
        dump.lines()
            .filter_map(|line| Some((number(line, "start=")?, number(line, "size=")?)))
            .map(|(start, size)| (start, start + size))
            .collect()
    }

    fn grow(&self, number: u32, start: u64) -> u64 {
        grow(&self.disk(), number, start * SECTOR).unwrap_or_else(|status| panic!("{status:?}"))
    }

    fn refused(&self, number: u32, start: u64) -> String {
        let before = fs::read(&self.path).unwrap();
        let status = grow(&self.disk(), number, start * SECTOR).unwrap_err();
        assert_eq!(status.reason, "not-growable");
        assert!(before == fs::read(&self.path).unwrap(), "nothing is written");
        status.message
    }
}

#[test]
fn last_gpt_partition_grows_to_the_end_of_a_larger_disk() {
    let image = Image::new("gpt", "label: gpt\nsize=16M, name=first\nsize=8M, name=root\n");
    let before = image.partitions();
    let identities = image.sfdisk(&["--dump"], "");
    image.file.set_len(256 * MIB).unwrap();
    let end = image.grow(2, before[1].0);
    assert_eq!(end, 255 * MIB, "the backup has the last MiB");
    assert_eq!(image.partitions(), [before[0], (before[1].0, end / SECTOR)]);
    let after = image.sfdisk(&["--dump"], "");
    let uuids = |dump: &str| dump.split("uuid=").skip(1).map(|rest| rest[..36].to_owned()).collect::<Vec<_>>();
    assert_eq!(uuids(&after), uuids(&identities));
    assert!(image.sfdisk(&["--verify"], "").contains("No errors detected"));
    let protective = u32::from_le_bytes(image.disk().read(0, 1).unwrap()[458..462].try_into().unwrap());
    assert_eq!(u64::from(protective), 256 * MIB / SECTOR - 1);
    // Again: nothing to do, and a smaller step is one too.
    assert_eq!(image.grow(2, before[1].0), end);
    assert!(plan(&image.disk(), 2, before[1].0 * SECTOR).unwrap().writes.is_empty());
    image.file.set_len(257 * MIB).unwrap();
    assert_eq!(image.grow(2, before[1].0), 256 * MIB);
}

#[test]
fn whole_table_is_on_the_disk_whenever_the_power_goes() {
    let table = "label: gpt\nsize=16M, name=first\nsize=8M, name=root\n";
    for cut in 0..=3 {
        let image = Image::new(&format!("cut-{cut}"), table);
        let before = image.partitions();
        image.file.set_len(128 * MIB).unwrap();
        let plan = plan(&image.disk(), 2, before[1].0 * 512).unwrap();
        assert_eq!(plan.writes.len(), 3, "backup, table, protective MBR");
        for write in &plan.writes[..cut] {
            image.file.write_all_at(&write.bytes, write.offset).unwrap();
        }
        if let Some(torn) = plan.writes.get(cut) {
            image.file.write_all_at(&torn.bytes[..512], torn.offset).unwrap();
        }
        let found = image.sfdisk(&["--dump"], "");
        let end = if cut == 0 { before[1].1 } else { plan.end };
        assert!(
            found.contains(&format!("size= {:>11}, ", end - before[1].0)) || cut == 1 && found.contains("root"),
            "after {cut} writes:\n{found}"
        );
    }
}

#[test]
fn gpt_partition_with_another_one_behind_it_is_left_alone() {
    let image = Image::new("behind", "label: gpt\nsize=8M\nsize=8M\n");
    image.file.set_len(128 * MIB).unwrap();
    assert!(image.refused(1, 2048).contains("another partition is behind partition 1"));
    assert!(image.refused(3, 2048).contains("partition 3 is not in the table"));
    assert!(image.refused(1, 4096).contains("partition 1 is not in the table"));
    assert!(image.refused(0, 2048).contains("not in the table"));
}

#[test]
fn damaged_table_is_left_alone() {
    // A bit of the header, of the entries, and of the numbers that say where they are.
    for at in [512 + 40, 512 + 72, 512 + 80, 512 + 84, 512 + 12, 1024 + 60, 1024 + 127] {
        let image = Image::new(&format!("damaged-{at}"), "label: gpt\nsize=8M\n");
        image.file.set_len(128 * MIB).unwrap();
        let mut byte = [0];
        image.file.read_exact_at(&mut byte, at).unwrap();
        image.file.write_all_at(&[byte[0] ^ 0x81], at).unwrap();
        assert!(image.refused(1, 2048).contains("damaged"), "{at}");
    }
    let image = Image::new("none", "label: gpt\nsize=8M\n");
    image.file.write_all_at(&[0; 1024], 0).unwrap();
    assert!(image.refused(1, 2048).contains("neither GPT nor MBR"));
}

#[test]
fn backup_that_is_missing_is_made() {
    let image = Image::new("cut-image", "label: gpt\nsize=8M\n");
    // As an image that was written to a larger disk without its end.
    image.file.set_len(32 * MIB).unwrap();
    image.file.set_len(128 * MIB).unwrap();
    assert_eq!(image.grow(1, 2048), 127 * MIB);
    assert_eq!(image.partitions(), [(2048, 127 * MIB / 512)]);
}

#[test]
fn last_primary_mbr_partition_grows_and_no_other() {
    let image = Image::new("mbr", "label: dos\nsize=8M, type=83, bootable\nsize=8M, type=83\n");
    image.file.set_len(128 * MIB).unwrap();
    let before = image.partitions();
    assert!(image.refused(1, before[0].0).contains("behind"));
    assert_eq!(image.grow(2, before[1].0), 128 * MIB);
    assert_eq!(image.partitions(), [before[0], (before[1].0, 128 * MIB / 512)]);
    assert!(image.sfdisk(&["--dump"], "").contains("bootable"));
    assert_eq!(image.grow(2, before[1].0), 128 * MIB);
    assert!(image.refused(3, 2048).contains("not in the table"));

    let logical = Image::new("logical", "label: dos\nsize=8M, type=83\ntype=5\nsize=8M, type=83\n");
    logical.file.set_len(128 * MIB).unwrap();
    let extended = logical.partitions()[1].0;
    assert!(logical.refused(5, extended + 2048).contains("logical"));
    assert!(logical.refused(2, extended).contains("extended"));
}

#[test]
fn mbr_partition_ends_where_its_numbers_end() {
    let image = Image::new("large", "label: dos\nsize=8M, type=83\n");
    image.file.set_len(4 << 40).unwrap();
    let end = image.grow(1, 2048);
    assert!(end <= 512 << 32 && end > (512 << 32) - 2 * MIB, "{end}");
    assert_eq!(image.partitions(), [(2048, end / 512)]);
}
