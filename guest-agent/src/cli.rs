//! The command line, as data.

use crate::listen::Address;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub const HELP: &str = "\
vm-agent: the guest agent of vm-runner

usage:
  vm-agent serve --listen ADDRESS [--listen ADDRESS]...
      Serves gRPC. ADDRESS is virtio:NAME (a virtio-serial port), unix:PATH or stdio.
  vm-agent init
      Runs as PID 1 of a guest. The kernel starts it like this when the file is called /init.
  vm-agent grow-disk [PATH]
      Makes the file system of PATH (default: /) as large as its disk, its partition first if it is in one.
  vm-agent --version
  vm-agent --help
";

#[derive(Debug, Eq, PartialEq)]
pub enum Command {
    Serve(Vec<Address>),
    Init,
    /// Internal: one file operation, its messages on standard input and output.
    Worker {
        method: String,
        root: String,
    },
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
        ["worker", method, root] => Ok(Command::Worker { method: (*method).into(), root: (*root).into() }),
        ["grow-disk"] => Ok(Command::GrowDisk("/".into())),
        ["grow-disk", path] if !path.starts_with('-') => Ok(Command::GrowDisk(path.into())),
        ["serve", options @ ..] => parse_serve(options),
        [] => Err("no command given; see vm-agent --help".into()),
        [other, ..] => Err(format!("unknown command or argument: {other}; see vm-agent --help")),
    }
}

fn parse_serve(mut options: &[&str]) -> Result<Command, String> {
    let mut addresses = Vec::new();
    loop {
        match options {
            ["--listen", address, rest @ ..] => {
                addresses.push(address.parse()?);
                options = rest;
            }
            ["--listen"] => return Err("no address after --listen; use virtio:NAME, unix:PATH or stdio".into()),
            ["--help" | "-h", ..] => return Ok(Command::Help),
            [other, ..] => return Err(format!("unknown option of serve: {other}; see vm-agent --help")),
            [] if addresses.is_empty() => return Err("nothing to listen on; give serve --listen ADDRESS".into()),
            [] => return Ok(Command::Serve(addresses)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn kernel_starts_init_by_its_name_whatever_the_arguments_are() {
        assert_eq!(parse_words(&["/init", "splash", "--x"]), Ok(Command::Init));
        assert_eq!(parse_words(&["vm-agent", "init"]), Ok(Command::Init));
    }

    #[test]
    fn serve_takes_several_addresses() {
        let serve = parse_words(&["vm-agent", "serve", "--listen", "stdio", "--listen", "unix:/x"]);
        assert_eq!(serve, Ok(Command::Serve(vec![Address::Stdio, Address::Unix("/x".into())])));
    }

    #[test]
    fn mistakes_are_named() {
        for words in [&["a"][..], &["a", "serve"], &["a", "serve", "--listen"], &["a", "--frob"], &["a", "init", "x"]] {
            assert!(parse_words(words).is_err(), "{words:?}");
        }
    }
}
