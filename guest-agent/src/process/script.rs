//! A script as a file of its own in the root while it runs.

use super::lookup;
use super::spawn::Candidate;
use super::user::Account;
use crate::image::room::OWN_FOLDER;
use crate::root::Place;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file, which is removed with this.
pub struct ScriptFile {
    path: PathBuf,
    /// The same file as programs in the root see it.
    inside: String,
}

impl ScriptFile {
    /// Writes the script where only its user can read it.
    pub fn write(place: &Place, owner: Option<&Account>, content: &[u8]) -> io::Result<Self> {
        let (outside, folder) = folder(place);
        let name = format!("vm-runner-script-{:016x}", random()?);
        let path = outside.join(&name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o700).open(&path)?;
        let script = Self { path, inside: format!("{folder}/{name}") };
        file.write_all(content)?;
        if let Some(account) = owner {
            std::os::unix::fs::fchown(&file, Some(account.uid), Some(account.gid))?;
        }
        Ok(script)
    }

    /// How to run it with this shell.
    pub fn with_shell(&self, shell: CString, args: &[CString]) -> Vec<Candidate> {
        let Ok(file) = CString::new(self.inside.as_str()) else { return Vec::new() };
        let argv = [shell.clone(), file].into_iter().chain(args.iter().cloned()).collect();
        vec![Candidate { paths: vec![shell], argv }]
    }

    /// How to run it otherwise: by its #! line, else with bash, else with sh.
    pub fn candidates(&self, content: &[u8], args: &[CString], search: &str) -> Vec<Candidate> {
        let Ok(file) = CString::new(self.inside.as_str()) else { return Vec::new() };
        if content.starts_with(b"#!") {
            let argv = std::iter::once(file.clone()).chain(args.iter().cloned()).collect();
            return vec![Candidate { paths: vec![file], argv }];
        }
        [("bash", c"bash"), ("sh", c"sh")]
            .map(|(shell, name)| {
                let head = [name.to_owned(), c"-e".to_owned(), file.clone()];
                Candidate {
                    paths: lookup::candidates(shell, search),
                    argv: head.into_iter().chain(args.iter().cloned()).collect(),
                }
            })
            .into()
    }
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Our own folder in a root that we mounted; else the usual one for temporary files. As the agent and as programs see it.
fn folder(place: &Place) -> (PathBuf, String) {
    let inside = |folder: &str| (place.path.join(folder.trim_start_matches('/')), folder.to_owned());
    if let Some(room) = &place.room {
        return (room.scripts.clone(), OWN_FOLDER.to_owned());
    }
    if place.path != Path::new("/") {
        let (ours, _) = inside(OWN_FOLDER);
        return inside(if ours.is_dir() { OWN_FOLDER } else { "/tmp" });
    }
    let temporary = std::env::temp_dir();
    inside(temporary.to_str().filter(|path| path.starts_with('/')).unwrap_or("/tmp").trim_end_matches('/'))
}

fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // Not libc::getrandom: std refers to that symbol weakly, a static link then leaves it out, and calling it is a jump to 0.
    // SAFETY: the pointer and length describe writable memory.
    let count = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    if usize::try_from(count) == Ok(bytes.len()) {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}
