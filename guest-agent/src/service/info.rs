//! `Info`: who is there, and how it booted.

use crate::agent::Agent;
use crate::r#gen::agent::{BootMark, InfoRequest, InfoResponse, Root};
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::Status;
use crate::system;
use std::fs;

/// Revision of the contract.
const PROTOCOL: u32 = 1;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub async fn answer(agent: &Agent, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let InfoRequest {} = requests.only().await?;
    // An overlay counts what the disk has that it writes to.
    let disk = agent.root(Root::Base).ok().and_then(|root| system::disk_bytes(&root.path));
    let (root_disk_bytes, root_disk_free_bytes) = disk.unwrap_or_default();
    let info = InfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        capabilities: capabilities(agent),
        os: "linux".to_owned(),
        arch: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.to_owned(),
        kernel: system::kernel_release(),
        hostname: system::hostname(),
        boot_id: fs::read_to_string(BOOT_ID).unwrap_or_default().trim_end().to_owned(),
        uptime_ms: system::uptime_ms(),
        memory_bytes: system::memory_bytes(),
        boot_marks: agent
            .boot()
            .iter()
            .flat_map(|boot| boot.marks.borrow().clone())
            .map(|(name, uptime_ms)| BootMark { name: name.to_owned(), uptime_ms })
            .collect(),
        root_disk_bytes,
        root_disk_free_bytes,
    };
    Ok(responses.message(&info).await?)
}

/// Optional parts that are served here: the guest's own life only by PID 1, whole trees in cgroups only where there are some.
fn capabilities(agent: &Agent) -> Vec<String> {
    let is_init = agent.boot().is_some();
    let all = [
        ("tart", true),
        ("usage", true),
        ("cgroup", agent.has_groups()),
        ("init", is_init),
        ("enter", is_init),
        ("layer", is_init),
    ];
    all.into_iter().filter(|(_, served)| *served).map(|(name, _)| name.to_owned()).collect()
}
