//! The command line, as data.

use crate::listen::Listen;
use crate::protocol::Protocol;
use crate::proxy::Target;
use crate::worker::{Overlay, Roots};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub const HELP: &str = "\
vm-agent: the guest agent of vm-runner

usage:
  vm-agent serve [--listen ADDRESS]... [--listen-smolvm ADDRESS]...
      Serves gRPC, and SmolVM's framed protocol, until a signal ends it or its last listener has ended.
      At least one address, each used once:
        virtio:NAME             a virtio-serial port
        vsock:PORT[,cid=WHO]    vsock connections of the host; WHO is another CID, or any
        unix:PATH               a unix socket, for the agent's own user
        stdio                   one client on standard input and output
        fd:N                    an inherited descriptor from 3 on: a listening socket (vsock: for the host), or one client
  vm-agent init
      Runs as PID 1 of a guest. The kernel starts it like this when the file is called /init.
  vm-agent proxy ADDRESS
      Connects standard input and output to vsock:CID:PORT or unix:PATH.
  vm-agent grow-disk [PATH]
      Makes the file system of PATH (default: /) as large as its disk, its partition first if it is in one.
  vm-agent --version
  vm-agent --help
";

#[derive(Debug, Eq, PartialEq)]
pub enum Command {
    Serve(Vec<Listen>),
    Init,
    Proxy(Target),
    /// Internal: one file operation, its messages on standard input and output.
    Worker {
        method: String,
        roots: Roots,
    },
    /// Internal: the same for what is not told by a root.
    Layer(Overlay),
    GrowDisk(PathBuf),
    Version,
    Help,
}

/// Reads the arguments, the program's own name first. The error is one sentence.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == "init") {
        // Whatever the kernel passes on from its own command line is not for us.
        return Ok(Command::Init);
    }
    let words = arguments
        .map(|argument| argument.into_string().map_err(|argument| format!("not UTF-8: {}", argument.display())))
        .collect::<Result<Vec<_>, _>>()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--version" | "-V"] => Ok(Command::Version),
        ["--help" | "-h" | "help"] => Ok(Command::Help),
        ["init"] => Ok(Command::Init),
        ["worker", method, image, base] => {
            let roots = Roots { image: (*image).into(), base: (*base).into() };
            Ok(Command::Worker { method: (*method).into(), roots })
        }
        ["worker", "get-layer", merged, upper, lower, device] => Ok(Command::Layer(Overlay {
            merged: merged.into(),
            upper: upper.into(),
            lower: lower.into(),
            device: device.into(),
        })),
        ["grow-disk"] => Ok(Command::GrowDisk("/".into())),
        ["grow-disk", path] if !path.starts_with('-') => Ok(Command::GrowDisk(path.into())),
        ["serve", options @ ..] => parse_serve(options),
        ["proxy", "--help" | "-h"] => Ok(Command::Help),
        ["proxy", address] => address.parse().map(Command::Proxy),
        ["proxy", ..] => Err("proxy takes one address; use vsock:CID:PORT or unix:PATH".into()),
        [] => Err("no command given; see vm-agent --help".into()),
        [other, ..] => Err(format!("unknown command or argument: {other}; see vm-agent --help")),
    }
}

fn parse_serve(mut options: &[&str]) -> Result<Command, String> {
    let mut listens: Vec<Listen> = Vec::new();
    loop {
        match options {
            [option @ ("--listen" | "--listen-smolvm"), address, rest @ ..] => {
                let protocol = if *option == "--listen" { Protocol::Grpc } else { Protocol::SmolVm };
                let listen = Listen { protocol, address: address.parse()? };
                if listens.iter().any(|other| other.address == listen.address) {
                    return Err(format!("an address can be used once: {address}"));
                }
                listens.push(listen);
                options = rest;
            }
            [option @ ("--listen" | "--listen-smolvm")] => {
                return Err(format!("no address after {option}; see vm-agent --help"));
            }
            ["--help" | "-h", ..] => return Ok(Command::Help),
            [other, ..] => return Err(format!("unknown option of serve: {other}; see vm-agent --help")),
            [] if listens.is_empty() => return Err("nothing to listen on; give serve --listen ADDRESS".into()),
            [] => return Ok(Command::Serve(listens)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Address;

    fn parse_words(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn kernel_starts_init_by_its_name_whatever_the_arguments_are() {
        assert_eq!(parse_words(&["/init", "splash", "--x"]), Ok(Command::Init));
        assert_eq!(parse_words(&["vm-agent", "init"]), Ok(Command::Init));
    }

    #[test]
    fn serve_takes_several_addresses_of_both_protocols() {
        let serve = parse_words(&["vm-agent", "serve", "--listen", "stdio", "--listen-smolvm", "unix:/x"]);
        let grpc = Listen { protocol: Protocol::Grpc, address: Address::Stdio };
        let smolvm = Listen { protocol: Protocol::SmolVm, address: Address::Unix("/x".into()) };
        assert_eq!(serve, Ok(Command::Serve(vec![grpc, smolvm])));
    }

    #[test]
    fn address_is_used_once() {
        let words = ["vm-agent", "serve", "--listen", "fd:3", "--listen-smolvm", "fd:3"];
        assert!(parse_words(&words).unwrap_err().contains("once"));
    }

    #[test]
    fn proxy_takes_one_address() {
        assert_eq!(
            parse_words(&["a", "proxy", "vsock:3:1024"]),
            Ok(Command::Proxy(Target::Vsock { cid: 3, port: 1024 }))
        );
        for words in [&["a", "proxy"][..], &["a", "proxy", "unix:/x", "y"], &["a", "proxy", "vsock:1"]] {
            assert!(parse_words(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for words in [&["a"][..], &["a", "serve"], &["a", "serve", "--listen"], &["a", "--frob"], &["a", "init", "x"]] {
            assert!(parse_words(words).is_err(), "{words:?}");
        }
    }
}
