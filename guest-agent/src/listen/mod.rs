//! Where clients come from.

pub mod stdio;
pub mod unix;
pub mod virtio;

use std::path::PathBuf;
use std::str::FromStr;

/// One `--listen` argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A virtio-serial port, by its name.
    Virtio(String),
    Unix(PathBuf),
    Stdio,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "stdio" => Ok(Self::Stdio),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("virtio", name)) if !name.is_empty() => Ok(Self::Virtio(name.to_owned())),
            _ => Err(format!("not an address: {text}; use virtio:NAME, unix:PATH or stdio")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_named() {
        assert_eq!("stdio".parse(), Ok(Address::Stdio));
        assert_eq!("unix:/a:b".parse(), Ok(Address::Unix("/a:b".into())));
        assert_eq!("virtio:vm-runner.agent.0".parse(), Ok(Address::Virtio("vm-runner.agent.0".into())));
        for wrong in ["", "unix:", "virtio", "tcp:1", "stdio:"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
