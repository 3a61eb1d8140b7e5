//! The addresses of the command line, as data.

use std::path::PathBuf;
use std::str::FromStr;

/// The first descriptor that is not standard input, output or error.
const FIRST_INHERITED: i32 = 3;

/// One `--listen` argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A virtio-serial port, by its name.
    Virtio(String),
    /// A port of this guest's vsock address, and who may connect to it.
    Vsock {
        port: u32,
        from: Cid,
    },
    Unix(PathBuf),
    Stdio,
    /// A descriptor that the agent was started with.
    Fd(i32),
}

/// Whose vsock connections are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cid {
    Any,
    Only(u32),
}

impl Cid {
    pub const HOST: Self = Self::Only(libc::VMADDR_CID_HOST);

    pub fn takes(self, cid: u32) -> bool {
        self == Self::Any || self == Self::Only(cid)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.split_once(':') {
            None if text == "stdio" => Some(Self::Stdio),
            Some(("unix", path)) if !path.is_empty() => Some(Self::Unix(path.into())),
            Some(("virtio", name)) if !name.is_empty() => Some(Self::Virtio(name.to_owned())),
            Some(("vsock", rest)) => vsock(rest),
            Some(("fd", number)) => number.parse().ok().filter(|fd| *fd >= FIRST_INHERITED).map(Self::Fd),
            _ => None,
        };
        address.ok_or_else(|| {
            format!(
                "not an address: {text}; use virtio:NAME, vsock:PORT, vsock:PORT,cid=N, vsock:PORT,cid=any, unix:PATH, \
                 stdio or fd:N with N from {FIRST_INHERITED} on"
            )
        })
    }
}

fn vsock(text: &str) -> Option<Address> {
    let (port, from) = match text.split_once(",cid=") {
        None => (text, Cid::HOST),
        Some((port, "any")) => (port, Cid::Any),
        Some((port, cid)) => (port, Cid::Only(cid.parse().ok()?)),
    };
    // The last number means "any port", which a client could not know.
    let port = port.parse().ok().filter(|port| *port != libc::VMADDR_PORT_ANY)?;
    Some(Address::Vsock { port, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_named() {
        assert_eq!("stdio".parse(), Ok(Address::Stdio));
        assert_eq!("unix:/a:b".parse(), Ok(Address::Unix("/a:b".into())));
        assert_eq!("virtio:vm-runner.agent.0".parse(), Ok(Address::Virtio("vm-runner.agent.0".into())));
        assert_eq!("fd:3".parse(), Ok(Address::Fd(3)));
        for wrong in ["", "unix:", "virtio", "tcp:1", "stdio:", "fd:2", "fd:-1", "fd:x", "vsock:", "vsock:x"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn vsock_is_for_the_host_unless_told() {
        assert_eq!("vsock:8080".parse(), Ok(Address::Vsock { port: 8080, from: Cid::HOST }));
        assert_eq!("vsock:1,cid=any".parse(), Ok(Address::Vsock { port: 1, from: Cid::Any }));
        assert_eq!("vsock:1,cid=7".parse(), Ok(Address::Vsock { port: 1, from: Cid::Only(7) }));
        for wrong in ["vsock:1,cid=", "vsock:1,cid=all", "vsock:1,7", "vsock:4294967295", "vsock:4294967296"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        assert!(Cid::HOST.takes(2) && !Cid::HOST.takes(3) && Cid::Any.takes(3) && Cid::Only(3).takes(3));
    }
}
