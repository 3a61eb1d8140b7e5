//! What the kernel knows of this system.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Milliseconds since the kernel started, suspension included.
pub fn uptime_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which outlives it.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

pub fn memory_bytes() -> u64 {
    // SAFETY: all zero is a valid sysinfo, and the call writes one, which outlives it.
    let info = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        libc::sysinfo(&raw mut info);
        info
    };
    info.totalram.saturating_mul(info.mem_unit.into())
}

pub fn hostname() -> String {
    kernel_text("hostname")
}

/// The kernel's version as its modules are filed: "6.1.0-9-amd64".
pub fn kernel_release() -> String {
    kernel_text("osrelease")
}

fn kernel_text(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim_end().to_owned()
}

pub fn is_root() -> bool {
    // SAFETY: plain system call.
    unsafe { libc::geteuid() == 0 }
}

/// Size and free bytes of the file system that a path is on.
pub fn disk_bytes(path: &Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zero is a valid statvfs, and the call writes one, which outlives it; so does the path.
    let (result, disk) = unsafe {
        let mut disk: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut disk), disk)
    };
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    (result == 0).then(|| (bytes(disk.f_blocks), bytes(disk.f_bavail)))
}

/// The addresses of this system that others could reach, IPv4 first.
pub fn global_addresses() -> Vec<IpAddr> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call writes one pointer, to a list that stays valid until it is freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: `next` is null or points to an element of the list.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: the address is null or points to a sockaddr.
        let Some(address) = (unsafe { entry.ifa_addr.as_ref() }) else { continue };
        let address = match i32::from(address.sa_family) {
            libc::AF_INET => {
                // SAFETY: an address of this family is a sockaddr_in.
                let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in>() };
                IpAddr::V4(u32::from_be(address.sin_addr.s_addr).into())
            }
            libc::AF_INET6 => {
                // SAFETY: an address of this family is a sockaddr_in6.
                let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in6>() };
                IpAddr::V6(address.sin6_addr.s6_addr.into())
            }
            _ => continue,
        };
        if entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0 && is_global(&address) {
            found.push(address);
        }
    }
    // SAFETY: the list came from getifaddrs and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

fn is_global(address: &IpAddr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && match address {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        }
}

/// Sets the clock to the host's, unless it is near enough: a step is felt by every program, a small lead heals by itself.
pub fn set_clock(unix_nanos: i64) -> std::io::Result<()> {
    const BEHIND: i128 = 50_000_000;
    const AHEAD: i128 = 5_000_000_000;
    const SECOND: i64 = 1_000_000_000;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which outlives it.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    let lead = i128::from(now.tv_sec) * i128::from(SECOND) + i128::from(now.tv_nsec) - i128::from(unix_nanos);
    if (-BEHIND..=AHEAD).contains(&lead) {
        return Ok(());
    }
    let host = libc::timespec { tv_sec: unix_nanos.div_euclid(SECOND), tv_nsec: unix_nanos.rem_euclid(SECOND) };
    // SAFETY: the call reads one timespec, which outlives it.
    let result = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const host) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
