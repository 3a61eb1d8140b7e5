// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;
use support::{Agent, argv, children, is_alive, run, script, sh, until};
use vm_agent::r#gen::agent::{
    ExecSignal, ExecStart, InfoRequest, InfoResponse, SignalRequest, SignalResponse, exec_request::Request,
};

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

/// Whoever runs the tests as root can start an agent that has no cgroup to write.
fn is_root() -> bool {
    // SAFETY: plain system call.
    unsafe { libc::geteuid() == 0 }
}

const NOBODY: u32 = 65_534;
/// Leaves a daemon that gave up its session, its process group and its parent, then tells its pid and waits.
const DAEMON: &str = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' &) ; sleep 1000";

#[test]
fn daemon_is_ended_with_its_program_where_there_is_no_cgroup() {
    run(async {
        let agent = Agent::start_as(is_root().then_some(NOBODY));
        let mut client = agent.connect().await;
        let info: InfoResponse = client.unary("Info", &InfoRequest {}).await.unwrap();
        assert!(!info.capabilities.iter().any(|capability| capability == "cgroup"), "nobody can write a cgroup");
        let mut call = client.start(ExecStart { grace_ms: 50, ..sh(DAEMON) }).await;
        let pid = call.started().await as i32;
        let daemon: i32 = call.stdout_until("\n").await.trim().parse().unwrap();
        assert!(is_alive(pid) && is_alive(daemon));
        drop(call);
        drop(client);
        until("both are gone", || !is_alive(pid) && !is_alive(daemon)).await;
        until("the keeper is gone", || children(&agent).is_empty()).await;
    });
}

#[test]
fn program_without_a_cgroup_tells_its_end_and_usage_and_leaves_its_daemon_alone() {
    run(async {
        let agent = Agent::start_as(is_root().then_some(NOBODY));
        let mut client = agent.connect().await;
        let outcome = client.sh("(setsid sleep 1000 >/dev/null 2>&1 & echo $!); exit 9").await;
        assert_eq!(outcome.exit, Some((9, 0)));
        assert!(outcome.usage.unwrap().peak_memory_bytes > 100_000);
        let daemon: i32 = outcome.text().trim().parse().unwrap();
        assert!(is_alive(daemon));
        assert_eq!(client.sh(&format!("kill -9 {daemon}; kill -9 $$")).await.exit, Some((0, 9)));
        assert_eq!(client.exec(argv(&["/no/such"])).await.reason(), "command-not-found");
    });
}

#[test]
fn program_whose_time_is_over_is_ended_with_its_tree_and_its_last_words_arrive() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let command = "trap 'echo ending; exit 3' TERM; (trap '' TERM; sleep 1000) & echo $!; wait";
        let start = ExecStart { timeout_ms: 200, grace_ms: 100, ..sh(command) };
        let outcome = client.exec(start).await;
        let (child, words) = outcome.text().split_once('\n').unwrap();
        assert_eq!((words, outcome.exit, outcome.timed_out), ("ending\n", Some((3, 0)), true));
        assert!(!is_alive(child.parse().unwrap()), "the answer comes when all are gone");
        let stubborn = ExecStart { timeout_ms: 100, grace_ms: 50, ..sh("trap '' TERM; while :; do sleep 0.02; done") };
        let outcome = client.exec(stubborn).await;
        assert_eq!((outcome.exit, outcome.timed_out), (Some((0, libc::SIGKILL)), true));
        let quick = client.exec(ExecStart { timeout_ms: 20_000, ..sh("exit 4") }).await;
        assert_eq!((quick.exit, quick.timed_out), (Some((4, 0)), false));
    });
}

#[test]
fn end_tells_what_the_program_has_used() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let usage = client.sh("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done").await.usage.unwrap();
        assert!(usage.user_micros > 1000 && usage.peak_memory_bytes > 100_000, "{usage:?}");
        let large = client.sh("head -c 50000000 /dev/zero | tail -c 50000000 >/dev/null").await.usage.unwrap();
        assert!(large.peak_memory_bytes > 40_000_000, "{large:?}");
    });
}

#[test]
fn detached_program_goes_on_without_its_client_and_can_be_signalled() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let (file, ended) = (agent.folder.path("alive"), agent.folder.path("ended"));
        let command = format!("trap 'touch {ended}; exit' USR1; touch {file}; while :; do sleep 0.02; done");
        let mut call = client.start(ExecStart { detach: true, ..script(&command) }).await;
        let pid = call.started().await;
        assert_eq!((call.outcome().await.exit, call.end().code), (None, 0));
        drop((call, client));
        until("it runs", || std::path::Path::new(&file).exists()).await;
        let mut client = agent.connect().await;
        let request = SignalRequest { pid, number: libc::SIGUSR1 };
        client.unary::<_, SignalResponse>("Signal", &request).await.unwrap();
        until("it was told", || std::path::Path::new(&ended).exists() && !is_alive(pid as i32)).await;
        let again = client.unary::<_, SignalResponse>("Signal", &request).await.unwrap_err();
        assert_eq!(again.reason, "no-such-process");
        let init = SignalRequest { pid: 1, number: libc::SIGTERM };
        assert_eq!(client.unary::<_, SignalResponse>("Signal", &init).await.unwrap_err().reason, "no-such-process");
        let both = ExecStart { detach: true, stdin: true, ..sh("true") };
        assert_eq!(client.exec(both).await.reason(), "bad-argument");
    });
}

#[test]
fn detached_program_is_ended_when_its_time_is_over() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let start = ExecStart { detach: true, timeout_ms: 100, grace_ms: 50, ..argv(&["sleep", "1000"]) };
        let pid = client.start(start).await.started().await as i32;
        until("it is gone", || !is_alive(pid)).await;
    });
}

#[test]
fn ten_thousand_programs_leave_neither_descriptors_nor_processes() {
    support::run_within(Duration::from_secs(300), async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", agent.process.id())).unwrap().count();
        client.exec(argv(&["true"])).await;
        let before = count("fd");
        for _ in 0..10_000 {
            assert_eq!(client.exec(argv(&["true"])).await.exit, Some((0, 0)));
        }
        until("nothing is left", || count("fd") <= before && children(&agent).is_empty()).await;
        assert_eq!(count("task"), 1);
    });
}
