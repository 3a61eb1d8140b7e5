//! The agent as PID 1 of the guest: it stays in the initramfs for the guest's life, all roots are mounted below it.

mod boot;
mod cgroup;
mod console;
pub mod disks;
mod modules;
pub mod mount;
pub mod network;
pub mod power;
pub mod random;
mod signals;

pub use boot::mark;

use crate::agent::Agent;
use crate::listen::virtio;
use crate::protocol::Protocol;
use crate::serve::{block_on, start_housekeeping};
use std::rc::Rc;
use tokio::task::JoinSet;

/// The ports of proto/CHANNEL.md.
const PORTS: [(&str, Protocol); 5] = [
    ("vm-runner.agent.0", Protocol::Grpc),
    ("vm-runner.agent.1", Protocol::Grpc),
    ("vm-runner.agent.2", Protocol::Grpc),
    ("vm-runner.agent.3", Protocol::Grpc),
    ("vm-runner.smolvm.0", Protocol::SmolVm),
];

/// Boots the guest and serves it until the power goes. Returns only when that is impossible.
pub fn run() -> Result<(), String> {
    if std::process::id() != 1 {
        return Err("init runs as process 1 of a guest only; use serve for anything else".into());
    }
    signals::ignore();
    protect_from_the_oom_killer();
    let boot = boot::run();
    let result = block_on(async {
        let agent = Agent::init(boot);
        let mut tasks = JoinSet::new();
        start_housekeeping(&agent, &mut tasks);
        for (port, protocol) in PORTS {
            let agent = Rc::clone(&agent);
            tasks.spawn_local(async move { virtio::serve(port, protocol, &agent).await });
        }
        let obeying = Rc::clone(&agent);
        tasks.spawn_local(async move { signals::obey(&obeying).await });
        agent.mark("ready");
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(sentence)) = ended {
                console::say(&sentence);
            }
        }
        Err("nothing is left to serve".into())
    });
    // If PID 1 ended the kernel would panic, and the last words would be lost in that.
    if let Err(sentence) = &result {
        console::say(sentence);
    }
    power::off();
    result
}

fn protect_from_the_oom_killer() {
    // Needs /proc, which is why booting does it again when that is mounted.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}
