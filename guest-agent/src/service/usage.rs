//! `Usage`: what the whole guest uses now.

use crate::agent::Agent;
use crate::r#gen::agent::{Root, UsageRequest, UsageResponse};
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::Status;
use crate::system;
use std::fs;

/// Of the kernel's clock for people: a hundred ticks a second on every architecture.
const TICK_MS: u64 = 10;

pub async fn answer(agent: &Agent, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let UsageRequest {} = requests.only().await?;
    let disk = agent.root(Root::Base).ok().and_then(|root| system::disk_bytes(&root.path));
    let (root_disk_bytes, root_disk_free_bytes) = disk.unwrap_or_default();
    let (received_bytes, sent_bytes) = network(&text("net/dev"));
    let usage = UsageResponse {
        uptime_ms: system::uptime_ms(),
        cpu_busy_ms: busy_ms(&text("stat")),
        memory_bytes: system::memory_bytes(),
        memory_available_bytes: named(&text("meminfo"), "MemAvailable:").saturating_mul(1024),
        oom_kills: named(&text("vmstat"), "oom_kill"),
        root_disk_bytes,
        root_disk_free_bytes,
        received_bytes,
        sent_bytes,
        tasks: tasks(&text("loadavg")),
    };
    Ok(responses.message(&usage).await?)
}

fn text(name: &str) -> String {
    fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

/// The number behind a name that begins a line; 0 when there is none.
fn named(text: &str, name: &str) -> u64 {
    text.lines()
        .map(str::split_ascii_whitespace)
        .find_map(|mut words| (words.next() == Some(name)).then(|| number(words.next())))
        .unwrap_or(0)
}

/// All of the first line but idle and waiting for disks. What ran virtual machines is in it already.
fn busy_ms(stat: &str) -> u64 {
    let ticks = stat.split_ascii_whitespace().skip(1).take(8).enumerate();
    ticks
        .filter(|(index, _)| !matches!(index, 3 | 4))
        .fold(0, |sum: u64, (_, word)| sum.saturating_add(number(Some(word)).saturating_mul(TICK_MS)))
}

/// Bytes received and sent by all interfaces but loopback.
fn network(dev: &str) -> (u64, u64) {
    dev.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim_start() != "lo").fold(
        (0, 0),
        |(received, sent): (u64, u64), (_, counts)| {
            let mut words = counts.split_ascii_whitespace();
            (received.saturating_add(number(words.next())), sent.saturating_add(number(words.nth(7))))
        },
    )
}

/// Of "0.10 0.05 0.01 2/130 999" the 130.
fn tasks(loadavg: &str) -> u32 {
    let counts = loadavg.split_ascii_whitespace().nth(3).and_then(|word| word.split_once('/'));
    counts.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{busy_ms, named, network, tasks};

    #[test]
    fn counts_what_processors_did_without_their_idling() {
        assert_eq!(busy_ms("cpu  1 2 3 1000 2000 4 5 6 7 8\ncpu0 9 9 9 9\n"), 210);
        assert_eq!(busy_ms(""), 0);
    }

    #[test]
    fn finds_numbers_by_the_whole_name() {
        assert_eq!(named("oom_kill_disable 3\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(named("MemAvailable:    512 kB\n", "MemAvailable:"), 512);
        assert_eq!(named("MemFree: 1 kB\n", "MemAvailable:"), 0);
    }

    #[test]
    fn leaves_loopback_out() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 1 0 0 0 0 0 0 9 1\n  eth0:100 1 0 0 0 0 0 0 50 1 0\n eth1: 1 1 0 0 0 0 0 0 2 1\n";
        assert_eq!(network(dev), (101, 52));
    }

    #[test]
    fn counts_tasks() {
        assert_eq!(tasks("0.10 0.05 0.01 2/130 999\n"), 130);
        assert_eq!(tasks(""), 0);
    }
}
