use std::process::ExitCode;
use vm_agent::cli::{self, Command};
use vm_agent::{init, proxy, serve, worker};

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
        Command::Worker { method, root } => return work(&method, &root),
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

/// A worker's failure is read by the agent, so nothing stands in front of it.
fn work(method: &str, root: &str) -> ExitCode {
    match worker::run(method, root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("{}", worker::write_refusal(&status));
            ExitCode::FAILURE
        }
    }
}
