//! What `Enter` asks for, checked: nothing is done before all of it was read.

use super::config::Config;
use super::limits::Limits;
use crate::r#gen::agent::{EnterRequest, HostEntry, ImageMount, image_mount};
use crate::identity;
use crate::rpc::status::Status;
use std::ffi::CString;
use std::net::IpAddr;

/// The disks of images are in slots 0 to this one.
pub const LAST_SLOT: u32 = 8;
const PERMISSIONS: u32 = 0o7777;
const DIRECTORY_MODE: u32 = 0o755;
const TMPFS_MODE: u32 = 0o1777;

#[derive(Debug)]
pub struct Plan {
    /// 0: the base root is the image root, too.
    pub slot: u32,
    pub config: Config,
    pub shared: Vec<Shared>,
    pub mounts: Vec<Mount>,
    pub limits: Limits,
    /// Lines for /etc/hosts.
    pub hosts: String,
    /// Empty: our own.
    pub init: Vec<CString>,
    pub keeps_changes: bool,
}

#[derive(Debug, Eq, PartialEq)]
pub struct Shared {
    pub path: String,
    pub mode: u32,
    /// Looked up in the image; empty: root.
    pub owner: String,
}

#[derive(Debug, Eq, PartialEq)]
pub struct Mount {
    pub path: String,
    pub source: Source,
}

#[derive(Debug, Eq, PartialEq)]
pub enum Source {
    /// 0 bytes: half of the memory.
    Tmpfs {
        size: u64,
        mode: u32,
    },
    Scratch,
}

impl Plan {
    pub fn new(request: EnterRequest) -> Result<Self, Status> {
        if request.slot > LAST_SLOT {
            let message =
                format!("not a slot of an image: {}; use 1 to {LAST_SLOT}, 0 for the base root", request.slot);
            return Err(Status::invalid("bad-slot", message));
        }
        let shared = request.shared.into_iter().map(|directory| {
            let mode = mode(directory.mode, DIRECTORY_MODE, "bad-path", &directory.path)?;
            Ok(Shared { path: place(directory.path, "bad-path")?, mode, owner: directory.owner })
        });
        Ok(Self {
            slot: request.slot,
            config: Config::new(request.config.unwrap_or_default())?,
            shared: shared.collect::<Result<_, Status>>()?,
            mounts: request.mounts.into_iter().map(mount).collect::<Result<_, Status>>()?,
            limits: Limits::new(&request.limits.unwrap_or_default())?,
            hosts: request.hosts.iter().map(host_line).collect::<Result<_, Status>>()?,
            init: arguments(&request.init, "init")?,
            keeps_changes: request.keeps_changes,
        })
    }
}

fn mount(mount: ImageMount) -> Result<Mount, Status> {
    let path = place(mount.path, "bad-mount")?;
    let source = match mount.source {
        Some(image_mount::Source::Tmpfs(tmpfs)) => {
            Source::Tmpfs { size: tmpfs.size_bytes, mode: mode(tmpfs.mode, TMPFS_MODE, "bad-mount", &path)? }
        }
        Some(image_mount::Source::Scratch(_)) => Source::Scratch,
        None => return Err(Status::invalid("bad-mount", format!("nothing is said to be mounted there: {path}"))),
    };
    Ok(Mount { path, source })
}

/// A directory of the image: absolute, without "..", and not all of it.
fn place(path: String, reason: &'static str) -> Result<String, Status> {
    let is_place = path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
    if is_place && path.split('/').any(|part| !part.is_empty() && part != ".") {
        return Ok(path);
    }
    let message = format!("not a directory of an image: {path:?}; use an absolute path without \"..\", and not /");
    Err(Status::invalid(reason, message))
}

/// 0 stands for the usual one.
fn mode(number: u32, usual: u32, reason: &'static str, path: &str) -> Result<u32, Status> {
    match number {
        0 => Ok(usual),
        mode if mode <= PERMISSIONS => Ok(mode),
        _ => Err(Status::invalid(reason, format!("not permission bits: {number:o} of {path:?}"))),
    }
}

fn host_line(entry: &HostEntry) -> Result<String, Status> {
    let bad = |what: &str| Err(Status::invalid("bad-hosts", format!("not {what} for /etc/hosts")));
    if entry.address.parse::<IpAddr>().is_err() {
        return bad(&format!("an address: {:?}", entry.address));
    }
    if let Some(name) = entry.names.iter().find(|name| !identity::is_host_alias(name)) {
        return bad(&format!("a name: {name:?}"));
    }
    if entry.names.is_empty() {
        return bad(&format!("an entry without names: {}", entry.address));
    }
    Ok(format!("{}\t{}\n", entry.address, entry.names.join(" ")))
}

pub fn arguments(texts: &[String], what: &str) -> Result<Vec<CString>, Status> {
    let bad = |text| Status::invalid("bad-argument", format!("a zero byte is in the {what}: {text:?}"));
    texts.iter().map(|text| CString::new(text.as_str()).map_err(|_| bad(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::r#gen::agent::{ImageConfig, ProcessLimits, ResourceLimit, ScratchMount, SharedDirectory, TmpfsMount};

    fn reason(request: EnterRequest) -> String {
        Plan::new(request).map(|_| String::new()).unwrap_or_else(|status| status.reason.to_owned())
    }

    fn with_mount(path: &str, source: Option<image_mount::Source>) -> EnterRequest {
        EnterRequest { mounts: vec![ImageMount { path: path.into(), source }], ..EnterRequest::default() }
    }

    fn with_shared(path: &str, mode: u32) -> EnterRequest {
        EnterRequest {
            shared: vec![SharedDirectory { path: path.into(), mode, owner: String::new() }],
            ..EnterRequest::default()
        }
    }

    fn with_host(address: &str, names: &[&str]) -> EnterRequest {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        EnterRequest { hosts: vec![HostEntry { address: address.into(), names }], ..EnterRequest::default() }
    }

    fn with_limit(name: &str, soft: u64, hard: u64) -> EnterRequest {
        let resources = vec![ResourceLimit { name: name.into(), soft, hard }];
        EnterRequest {
            limits: Some(ProcessLimits { resources, ..ProcessLimits::default() }),
            ..EnterRequest::default()
        }
    }

    fn with_config(config: ImageConfig) -> EnterRequest {
        EnterRequest { config: Some(config), ..EnterRequest::default() }
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let mut request = with_mount("/cache", Some(image_mount::Source::Tmpfs(TmpfsMount::default())));
        request.shared = vec![SharedDirectory { path: "/builds".into(), mode: 0, owner: "ci".into() }];
        let plan = Plan::new(request).unwrap();
        assert_eq!((plan.slot, plan.init.len(), plan.keeps_changes), (0, 0, false));
        assert_eq!(plan.shared, [Shared { path: "/builds".into(), mode: 0o755, owner: "ci".into() }]);
        assert_eq!(plan.mounts, [Mount { path: "/cache".into(), source: Source::Tmpfs { size: 0, mode: 0o1777 } }]);
    }

    #[test]
    fn lines_for_hosts_are_written_as_the_file_wants_them() {
        assert_eq!(Plan::new(with_host("fd00::1", &["db", "db_2"])).unwrap().hosts, "fd00::1\tdb db_2\n");
    }

    #[test]
    fn mistake_in_any_part_refuses_the_whole() {
        let scratch = Some(image_mount::Source::Scratch(ScratchMount {}));
        let texts = |text: &str| vec![text.to_owned()];
        for (expected, request) in [
            ("bad-slot", EnterRequest { slot: 9, ..EnterRequest::default() }),
            ("bad-mount", with_mount("/x", None)),
            ("bad-mount", with_mount("x", scratch)),
            ("bad-mount", with_mount("/x/../..", scratch)),
            ("bad-mount", with_mount("//.", scratch)),
            ("bad-path", with_shared("", 0)),
            ("bad-path", with_shared("/a\0b", 0)),
            ("bad-path", with_shared("/a", 0o10000)),
            ("bad-hosts", with_host("example.org", &["x"])),
            ("bad-hosts", with_host("10.0.0.1", &[])),
            ("bad-hosts", with_host("10.0.0.1", &["a\nb"])),
            ("bad-limit", with_limit("files", 1, 1)),
            ("bad-limit", with_limit("nofile", 2, 1)),
            ("bad-env", with_config(ImageConfig { env: texts("=x"), ..ImageConfig::default() })),
            ("bad-env", with_config(ImageConfig { env: texts("novalue"), ..ImageConfig::default() })),
            ("bad-path", with_config(ImageConfig { working_directory: "app".into(), ..ImageConfig::default() })),
            ("bad-argument", with_config(ImageConfig { entrypoint: texts("a\0"), ..ImageConfig::default() })),
            ("bad-argument", EnterRequest { init: texts("\0"), ..EnterRequest::default() }),
        ] {
            assert_eq!(reason(request.clone()), expected, "{request:?}");
        }
    }
}
