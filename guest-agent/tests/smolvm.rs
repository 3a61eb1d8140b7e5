// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

//! Requests of SmolVM's protocol that run programs, or are none.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::smolvm::{DATA, EOF, JSON, Outcome, frame};
use support::{Agent, is_alive, run, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn run_request(agent: &Agent, request: Value) -> Outcome {
    let mut client = agent.smolvm().await;
    client.send(&support::smolvm::json(&request)).await;
    client.outcome().await
}

async fn raw(agent: &Agent, command: &str) -> Outcome {
    run_request(agent, json!({ "v": 1, "op": "run", "cmd": command, "shell": "raw" })).await
}

#[test]
fn ping_says_version_and_protocol() {
    run(async {
        let agent = Agent::start();
        for request in [json!({ "op": "ping" }), json!({ "op": "ping", "v": 1 }), json!({ "op": "ping", "v": null })] {
            let pong = agent.smolvm().await.ask(request).await;
            let expected = json!({ "ok": true, "op": "pong", "agent_version": env!("CARGO_PKG_VERSION"), "proto": 1 });
            assert_eq!(pong, expected);
        }
    });
}

#[test]
fn unknown_versions_and_operations_are_refused_in_the_words_of_the_protocol() {
    run(async {
        let agent = Agent::start();
        for (request, error) in [
            (json!({ "v": 2, "op": "ping" }), "unsupported protocol version 2"),
            (json!({ "v": "x", "op": "ping" }), "unsupported protocol version x"),
            (json!({ "op": "frobnicate" }), "unknown op 'frobnicate'"),
            (json!({ "op": "it's" }), "unknown op \"it's\""),
            (json!({}), "unknown op None"),
            (json!({ "op": 1.5 }), "unknown op 1.5"),
            (json!({ "op": "put_file", "size": null }), "agent error: 'size' is not a number: None"),
        ] {
            assert_eq!(agent.smolvm().await.ask(request).await, json!({ "ok": false, "error": error }));
        }
        for (request, error) in
            [(json!({ "op": "run" }), "missing 'cmd'"), (json!({ "op": "run", "cmd": "" }), "missing 'cmd'")]
        {
            let expected = json!({ "ok": false, "op": "error", "error": error });
            assert_eq!(agent.smolvm().await.ask(request).await, expected);
        }
    });
}

#[test]
fn outputs_come_apart_and_the_exit_code_last() {
    run(async {
        let agent = Agent::start();
        let outcome = raw(&agent, "printf out; printf err >&2; exit 3").await;
        assert_eq!((&*outcome.stdout, &*outcome.stderr), (&b"out"[..], &b"err"[..]));
        assert_eq!(outcome.reply, json!({ "ok": true, "op": "exit", "exit_code": 3 }));
        assert_eq!(raw(&agent, "kill -9 $$").await.reply["exit_code"], -9);
        let large = raw(&agent, "head -c 3000000 /dev/zero; printf '\\377'").await;
        assert_eq!((large.stdout.len(), large.stdout.last()), (3_000_001, Some(&0xff)));
    });
}

#[test]
fn connection_is_closed_after_the_reply() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.smolvm().await;
        client.ask(json!({ "op": "ping" })).await;
        assert_eq!(client.frame().await, None);
    });
}

#[test]
fn login_shell_is_the_agents_own_and_raw_is_sh() {
    run(async {
        let agent = Agent::start_with(|command| {
            command.env("SHELL", "/bin/bash").env("AGENTS_OWN", "kept").env("BOTH", "agent");
        });
        let command = "echo ${BASH_VERSION:+bash} $(shopt -q login_shell && echo login) $AGENTS_OWN $BOTH $NUMBER";
        let env = json!({ "BOTH": "request", "NUMBER": 7 });
        let login = run_request(&agent, json!({ "op": "run", "cmd": command, "env": env })).await;
        assert_eq!(login.text(), "bash login kept request 7\n");
        let raw = raw(&agent, "echo $0; cat; ps -o sid= -p $$ | tr -d ' '; echo $$; pwd").await;
        let text = raw.text();
        let [shell, session, pid, folder] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!((shell, session, folder), ("/bin/sh", pid, "/"));
    });
}

#[test]
fn login_shell_without_one_of_the_agents_own_is_sh() {
    run(async {
        let agent = Agent::start_with(|command| {
            command.env_remove("SHELL");
        });
        assert_eq!(run_request(&agent, json!({ "op": "run", "cmd": "echo $0" })).await.text(), "/bin/sh\n");
        let agent = Agent::start_with(|command| {
            command.env("SHELL", "/no/such/shell");
        });
        let reply = run_request(&agent, json!({ "op": "run", "cmd": "true" })).await.reply;
        assert_eq!((&reply["ok"], &reply["op"]), (&json!(false), &json!("error")));
        assert!(reply["error"].as_str().unwrap().starts_with("spawn failed: "), "{reply}");
    });
}

#[test]
fn timeout_ends_the_whole_tree_and_is_told_as_a_float() {
    run(async {
        let agent = Agent::start();
        let command = "trap '' TERM; sleep 1000 & echo $!; wait";
        let request = json!({ "op": "run", "cmd": command, "shell": "raw", "timeout": 1 });
        let outcome = run_request(&agent, request).await;
        assert_eq!(outcome.reply.to_string(), r#"{"ok":true,"op":"timeout","timeout":1.0}"#);
        assert!(!is_alive(outcome.text().trim().parse().unwrap()));
    });
}

#[test]
fn timeout_holds_after_the_program_closed_its_outputs() {
    run(async {
        let agent = Agent::start();
        let command = "exec >&- 2>&-; sleep 1000";
        let began = Instant::now();
        let request = json!({ "op": "run", "cmd": command, "shell": "raw", "timeout": 0.5 });
        assert_eq!(run_request(&agent, request).await.reply["op"], "timeout");
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn timeout_holds_for_a_client_that_does_not_read() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.smolvm().await;
        let request = json!({ "op": "run", "cmd": "echo $$; exec yes", "shell": "raw", "timeout": 1 });
        client.send(&support::smolvm::json(&request)).await;
        let pid: i32 = client.stdout_until("\n").await.lines().next().unwrap().parse().unwrap();
        until("the program is gone", || !is_alive(pid)).await;
        // What was cut off by the timeout is still whole frames.
        assert_eq!(client.outcome().await.reply["op"], "timeout");
    });
}

#[test]
fn background_process_that_holds_a_pipe_open_does_not_hold_the_reply() {
    run(async {
        let agent = Agent::start();
        for timeout in [json!(null), json!(0.1)] {
            let request = json!({ "op": "run", "cmd": "sleep 1000 & echo $!", "shell": "raw", "timeout": timeout });
            let outcome = run_request(&agent, request).await;
            assert_eq!(outcome.reply["op"], "exit", "the limit is the program's, which ended in time");
            let left: i32 = outcome.text().trim().parse().unwrap();
            assert!(is_alive(left));
            raw(&agent, &format!("kill {left}")).await;
        }
    });
}

#[test]
fn silent_program_ends_with_its_client() {
    run(async {
        let agent = Agent::start();
        for half_close in [false, true] {
            let mut client = agent.smolvm().await;
            let command = "sleep 1000 & echo $$ $!; wait";
            client.send(&support::smolvm::json(&json!({ "op": "run", "cmd": command, "shell": "raw" }))).await;
            // An end of input that is not needed is no end of the client.
            client.send(&frame(EOF, b"")).await;
            let pids: Vec<i32> =
                client.stdout_until("\n").await.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            if half_close {
                client.0.shutdown().await.unwrap();
            } else {
                drop(client);
            }
            until("the tree is gone", || pids.iter().all(|pid| !is_alive(*pid))).await;
        }
    });
}

#[test]
fn what_is_no_request_ends_the_connection_without_a_reply() {
    run(async {
        let agent = Agent::start();
        let oversized = [&[JSON][..], &(16u32 << 20 | 1).to_be_bytes()].concat();
        for garbage in [
            frame(JSON, b"[1]"),
            frame(JSON, b"not json"),
            frame(JSON, b"\xff\xfe"),
            frame(JSON, b""),
            frame(JSON, &[b'['; 100_000]),
            frame(DATA, b"x"),
            frame(99, b"{}"),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            oversized,
        ] {
            let mut client = agent.smolvm().await;
            client.send(&garbage).await;
            let mut rest = Vec::new();
            // A reset is an end, too: not all that was sent has been read.
            let _ = client.0.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
        }
        assert_eq!(agent.smolvm().await.ask(json!({ "op": "ping" })).await["ok"], true);
    });
}

#[test]
fn requests_beyond_the_bound_wait_for_their_turn() {
    run(async {
        let agent = Agent::start();
        let mut running = Vec::new();
        for _ in 0..64 {
            let mut client = agent.smolvm().await;
            client
                .send(&support::smolvm::json(&json!({ "op": "run", "cmd": "echo x; sleep 1000", "shell": "raw" })))
                .await;
            running.push(client);
        }
        for client in &mut running {
            client.stdout_until("x").await;
        }
        let mut late = agent.smolvm().await;
        late.send(&support::smolvm::json(&json!({ "op": "ping" }))).await;
        let unanswered = tokio::time::timeout(Duration::from_millis(300), late.frame()).await;
        assert!(unanswered.is_err());
        running.pop();
        assert_eq!(late.reply().await["ok"], true);
    });
}

#[test]
fn agent_that_is_told_to_end_takes_its_programs_along() {
    run(async {
        let mut agent = Agent::start();
        let mut client = agent.smolvm().await;
        client
            .send(&support::smolvm::json(&json!({ "op": "run", "cmd": "echo $$; sleep 1000", "shell": "raw" })))
            .await;
        let pid: i32 = client.stdout_until("\n").await.trim().parse().unwrap();
        agent.terminate();
        until("it has ended", || agent.process.try_wait().unwrap().is_some()).await;
        assert!(!is_alive(pid));
    });
}
