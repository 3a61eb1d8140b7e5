// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{Agent, argv, is_alive, run, script, sh, until};
use vm_agent::r#gen::agent::{ExecSignal, ExecStart, InfoRequest, InfoResponse, exec_request::Request};

#[test]
fn signal_that_ended_the_program_is_named() {
    run(async {
        let agent = Agent::start();
        assert_eq!(agent.connect().await.sh("kill -9 $$").await.exit, Some((0, 9)));
    });
}

#[test]
fn signal_reaches_the_whole_tree() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(sh("sleep 1000 & echo child $!; wait")).await;
        let line = call.stdout_until("\n").await;
        let child: i32 = line.trim().strip_prefix("child ").unwrap().parse().unwrap();
        call.control(Request::Signal(ExecSignal { number: libc::SIGTERM })).await;
        assert_eq!(call.outcome().await.exit, Some((0, libc::SIGTERM)));
        until("the child is gone", || !is_alive(child)).await;
    });
}

#[test]
fn background_process_that_holds_the_output_open_does_not_hang_the_end() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let outcome = client.sh("sleep 1000 & echo $!").await;
        assert_eq!(outcome.exit, Some((0, 0)));
        let child: i32 = outcome.text().trim().parse().unwrap();
        assert!(is_alive(child), "what a program leaves in the background goes on");
        client.sh(&format!("kill {child}")).await;
        let outcome = client.sh("yes & echo $! >&2").await;
        assert_eq!(outcome.exit, Some((0, 0)));
        client.sh(&format!("kill {}", String::from_utf8_lossy(&outcome.stderr).trim())).await;
    });
}

#[test]
fn lost_connection_ends_the_tree_with_its_grandchildren() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let stubborn = "trap '' TERM; (setsid sleep 1000 & echo $!; wait) & echo $!; wait";
        let mut call = client.start(ExecStart { grace_ms: 100, ..sh(stubborn) }).await;
        let pid = call.started().await as i32;
        let mut lines = String::new();
        while lines.lines().count() < 2 {
            lines += &call.stdout_until("\n").await;
        }
        drop((call, client));
        // The one in a session of its own can only be found by its cgroup.
        let mut pids: Vec<i32> = lines.lines().map(|line| line.parse().unwrap()).collect();
        pids.push(pid);
        let info: InfoResponse = agent.connect().await.unary("Info", &InfoRequest {}).await.unwrap();
        if info.capabilities.iter().all(|capability| capability != "cgroup") {
            eprintln!("skipped in part: no writable cgroup2 mount");
            pids = vec![pid];
        }
        until("all are gone", || pids.iter().all(|pid| !is_alive(*pid))).await;
    });
}

#[test]
fn cancelled_call_ends_the_program() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(argv(&["sleep", "1000"])).await;
        let pid = call.started().await as i32;
        call.requests.send_reset(h2::Reason::CANCEL);
        until("it is gone", || !is_alive(pid)).await;
    });
}

#[test]
fn script_file_is_removed_when_the_client_is_lost() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(script("echo $0; sleep 1000")).await;
        let file = call.stdout_until("\n").await;
        let file = file.split(' ').next().unwrap().trim().to_owned();
        assert!(std::path::Path::new(&file).exists());
        drop((call, client));
        until("the file is gone", || !std::path::Path::new(&file).exists()).await;
    });
}
