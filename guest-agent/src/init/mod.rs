//! The agent as PID 1 of the guest: it stays in the initramfs for the guest's life, the image's root is mounted below it.

mod boot;
mod console;
mod modules;
mod mount;
pub mod network;
pub mod power;
pub mod random;

pub use boot::mark;

use crate::agent::{Agent, Place};
use crate::listen::virtio;
use crate::serve::{block_on, start_housekeeping};
use std::rc::Rc;
use tokio::task::JoinSet;

/// The ports of proto/CHANNEL.md.
const PORTS: [&str; 4] = ["vm-runner.agent.0", "vm-runner.agent.1", "vm-runner.agent.2", "vm-runner.agent.3"];

/// Boots the guest and serves it until the power goes. Returns only when that is impossible.
pub fn run() -> Result<(), String> {
    if std::process::id() != 1 {
        return Err("init runs as process 1 of a guest only; use serve for anything else".into());
    }
    ignore_signals();
    protect_from_the_oom_killer();
    let boot = boot::run();
    let result = block_on(async {
        let agent = Agent::new(Place::Init(boot));
        let mut tasks = JoinSet::new();
        start_housekeeping(&agent, &mut tasks);
        for port in PORTS {
            let agent = Rc::clone(&agent);
            tasks.spawn_local(async move {
                let served = virtio::serve(port, agent).await;
                served.map_err(|error| format!("cannot use the virtio-serial port: {port}: {error}"))
            });
        }
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

/// The kernel delivers to PID 1 what it has a handler for. Ctrl-Alt-Del, a stray kill and a closed pipe must not matter.
fn ignore_signals() {
    for number in
        [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2]
    {
        // SAFETY: plain system call.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

fn protect_from_the_oom_killer() {
    // Needs /proc, which is why booting does it again when that is mounted.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}
