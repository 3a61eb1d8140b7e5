//! The guest's one network interface, set by ioctl: DHCP would cost a second.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const INTERFACE: &str = "eth0";
const UP: libc::c_short = libc::IFF_UP as libc::c_short;

/// An address with its network and the way out of it.
pub struct Address {
    pub own: Ipv4Addr,
    pub prefix_length: u32,
    pub gateway: Option<Ipv4Addr>,
}

pub fn loopback_up() {
    let _ = Socket::new().and_then(|socket| socket.set_up("lo", true));
}

/// Sets the address and takes the link up.
pub fn configure(address: &Address) -> io::Result<()> {
    let socket = Socket::new()?;
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(address.prefix_length)).unwrap_or(0);
    socket.set_address(libc::SIOCSIFADDR as _, address.own)?;
    socket.set_address(libc::SIOCSIFNETMASK as _, Ipv4Addr::from(mask))?;
    socket.set_up(INTERFACE, true)?;
    match address.gateway {
        Some(gateway) => socket.add_default_route(gateway),
        None => Ok(()),
    }
}

/// Takes the link down; routes and the address's use go with it.
pub fn down() -> io::Result<()> {
    Socket::new()?.set_up(INTERFACE, false)
}

/// Any socket will do: it only carries the ioctls.
struct Socket(OwnedFd);

impl Socket {
    fn new() -> io::Result<Self> {
        // SAFETY: plain system call.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn set_up(&self, interface: &str, up: bool) -> io::Result<()> {
        let mut request = request(interface);
        self.ioctl(libc::SIOCGIFFLAGS as _, &raw mut request)?;
        // SAFETY: the call above has filled the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        request.ifr_ifru.ifru_flags = if up { flags | UP } else { flags & !UP };
        self.ioctl(libc::SIOCSIFFLAGS as _, &raw mut request)
    }

    fn set_address(&self, operation: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
        let mut request = request(INTERFACE);
        request.ifr_ifru.ifru_addr = socket_address(address);
        self.ioctl(operation, &raw mut request)
    }

    fn add_default_route(&self, gateway: Ipv4Addr) -> io::Result<()> {
        // SAFETY: all zero is a valid rtentry.
        let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
        route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_gateway = socket_address(gateway);
        route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
        match self.ioctl(libc::SIOCADDRT as _, &raw mut route) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    fn ioctl<T>(&self, operation: libc::c_ulong, argument: *mut T) -> io::Result<()> {
        // SAFETY: each caller passes the operation's own kind of argument, which outlives the call.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), operation as _, argument) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn request(interface: &str) -> libc::ifreq {
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (target, source) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *target = source as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets().map(|octet| octet as libc::c_char);
    // A sockaddr_in: two bytes of port, four of address, the rest unused.
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0],
    }
}
