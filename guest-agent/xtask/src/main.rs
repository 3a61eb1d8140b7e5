//! `cargo xtask generate` writes the Rust messages from the .proto files, `cargo xtask check` says whether they are up to date.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One set of messages: where its .proto is and the file it becomes.
struct Contract {
    include: &'static str,
    proto: &'static str,
    output: &'static str,
}

const CONTRACTS: [Contract; 2] = [
    Contract { include: "../proto", proto: "vmrunner/agent/v1/agent.proto", output: "vmrunner.agent.v1.rs" },
    Contract { include: "proto", proto: "tart.proto", output: "tart.rs" },
];

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let result = match task.as_str() {
        "generate" => generate(),
        "check" => check(),
        _ => Err("unknown task: use `cargo xtask generate` or `cargo xtask check`".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), Box<dyn Error>> {
    for contract in &CONTRACTS {
        fs::write(committed(contract), render(contract)?)?;
    }
    Ok(())
}

fn check() -> Result<(), Box<dyn Error>> {
    for contract in &CONTRACTS {
        let path = committed(contract);
        if fs::read_to_string(&path).unwrap_or_default() != render(contract)? {
            return Err(format!("out of date: {}; run `cargo xtask generate` in guest-agent/", path.display()).into());
        }
    }
    Ok(())
}

fn render(contract: &Contract) -> Result<String, Box<dyn Error>> {
    let include = agent_folder().join(contract.include);
    let descriptors = protox::compile([contract.proto], [include])?;
    // The check must never write where the committed file is, so both tasks render in a folder of their own.
    let folder = std::env::temp_dir().join(format!("vm-agent-xtask-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let rendered = prost_build::Config::new()
        .out_dir(&folder)
        .default_package_filename("tart")
        .bytes(["."])
        .btree_map(["."])
        .compile_fds(descriptors)
        .and_then(|()| fs::read_to_string(folder.join(contract.output)));
    fs::remove_dir_all(&folder)?;
    Ok(rendered?)
}

fn committed(contract: &Contract) -> PathBuf {
    agent_folder().join("src/gen").join(contract.output)
}

fn agent_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
