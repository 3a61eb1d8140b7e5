//! Who the guest is: the files in /etc that say so, and the kernel's copy of the name.

use crate::system;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const LONGEST_HOSTNAME: usize = 64;

/// What this guest was told to be, for roots that come later.
#[derive(Default)]
pub struct Identity {
    pub hostname: String,
    pub machine_id: String,
    pub nameservers: Vec<String>,
}

/// The files in /etc of a root of this guest, with further lines for its hosts.
pub fn files(identity: &Identity, hosts: &str) -> Vec<(&'static str, String)> {
    let Identity { hostname, machine_id, nameservers } = identity;
    let own = if hostname.is_empty() { system::hostname() } else { hostname.clone() };
    let mut files = vec![("hosts", hosts_text(&own) + hosts)];
    if !hostname.is_empty() {
        files.push(("hostname", format!("{hostname}\n")));
    }
    if !machine_id.is_empty() {
        files.push(("machine-id", machine_id_text(machine_id)));
    }
    if !nameservers.is_empty() {
        files.push(("resolv.conf", resolv_text(nameservers)));
    }
    files
}

fn hosts_text(name: &str) -> String {
    format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{name}\n")
}

fn machine_id_text(id: &str) -> String {
    format!("{}\n", id.to_ascii_lowercase())
}

fn resolv_text(nameservers: &[String]) -> String {
    nameservers.iter().map(|address| format!("nameserver {address}\n")).collect()
}

pub fn is_hostname(name: &str) -> bool {
    let character = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
    !name.starts_with(['-', '.']) && name.len() <= LONGEST_HOSTNAME && name.chars().all(character)
}

/// Names of services have underscores, too.
pub fn is_host_alias(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric() || "-._".contains(character))
}

pub fn is_machine_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn set_hostname(root: Option<&Path>, name: &str) -> io::Result<()> {
    let text = CString::new(name)?;
    // SAFETY: the pointer and length describe a string that outlives the call.
    if unsafe { libc::sethostname(text.as_ptr(), name.len()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(root) = root else { return Ok(()) };
    write(root, "hostname", &format!("{name}\n"))?;
    write(root, "hosts", &hosts_text(name))
}

pub fn set_machine_id(root: &Path, id: &str) -> io::Result<()> {
    write(root, "machine-id", &machine_id_text(id))
}

pub fn set_nameservers(root: &Path, nameservers: &[String]) -> io::Result<()> {
    write(root, "resolv.conf", &resolv_text(nameservers))
}

/// Writes a file of the root's /etc. By rename, so that a symbolic link of that name is replaced and never followed: it may
/// be absolute, and then mean a file of the initramfs.
pub fn write(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let folder = root.join("etc");
    if root != Path::new("/") && fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::Error::other("/etc is a symbolic link in this root"));
    }
    fs::create_dir_all(&folder)?;
    let temporary = folder.join(format!(".{name}.vm-agent"));
    let _ = fs::remove_file(&temporary);
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
    fs::rename(&temporary, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_and_machine_ids_are_told_from_other_text() {
        assert!(
            is_hostname("job-1.example") && !is_hostname("a\nb") && !is_hostname("-x") && !is_hostname(&"x".repeat(65))
        );
        assert!(is_machine_id(&"0aF9".repeat(8)) && !is_machine_id("xyz") && !is_machine_id(&"z".repeat(32)));
    }

    #[test]
    fn link_in_place_of_the_file_is_replaced() {
        let root = std::env::temp_dir().join(format!("vm-agent-identity-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink("/proc/no/such", root.join("etc/resolv.conf")).unwrap();
        set_nameservers(&root, &["10.0.2.3".to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(root.join("etc/resolv.conf")).unwrap(), "nameserver 10.0.2.3\n");
        fs::remove_dir_all(root).unwrap();
    }
}
