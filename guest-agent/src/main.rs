use std::path::Path;
use std::process::ExitCode;
use vm_agent::cli::{self, Command};
use vm_agent::rpc::status::Status;
use vm_agent::{disk, init, proxy, serve, worker};

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(sentence) => {
            eprintln!("vm-agent: {sentence}");
            return ExitCode::from(USAGE);
        }
    };
    let result = match command {
        Command::Serve(listens) => serve::run(&listens),
        Command::Init => init::run(),
        Command::Proxy(target) => proxy::run(&target),
        Command::Worker { method, roots } => return work(|| worker::run(&method, roots)),
        Command::Layer(overlay) => return work(|| worker::run_layer(&overlay)),
        Command::GrowDisk(path) => grow_disk(&path),
        Command::Version => {
            println!("vm-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Help => {
            print!("{}", cli::HELP);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("vm-agent: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn grow_disk(path: &Path) -> Result<(), String> {
    let grown = disk::grow(path).map_err(|status| status.message)?;
    let mib = |bytes: u64| bytes >> 20;
    let (before, after) = (mib(grown.bytes_before), mib(grown.bytes_after));
    println!("{}: {}, {before} MiB -> {after} MiB", grown.device, grown.filesystem);
    Ok(())
}

/// A worker's failure is read by the agent, so nothing stands in front of it.
fn work(run: impl FnOnce() -> Result<(), Status>) -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("{}", worker::write_refusal(&status));
            ExitCode::FAILURE
        }
    }
}
