// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use support::{Agent, argv, run, script, sh};
use vm_agent::r#gen::agent::{
    ExecRequest, ExecSignal, ExecStart, ExecStdinEnd, InfoRequest, InfoResponse, exec_request::Request, exec_start,
};

#[test]
fn info_says_who_is_there() {
    run(async {
        let agent = Agent::start();
        let info: InfoResponse = agent.connect().await.unary("Info", &InfoRequest {}).await.unwrap();
        assert_eq!((info.protocol, &*info.os, info.boot_marks.len()), (1, "linux", 0));
        assert!(info.memory_bytes > 0 && !info.boot_id.is_empty() && !info.kernel.is_empty());
    });
}

#[test]
fn unknown_method_is_unimplemented() {
    run(async {
        let agent = Agent::start();
        let end = agent.connect().await.unary::<_, InfoResponse>("/x.Y/Z", &InfoRequest {}).await.unwrap_err();
        assert_eq!((end.code, &*end.reason), (12, "unknown-method"));
    });
}

#[test]
fn exit_code_and_outputs_come_back_apart() {
    run(async {
        let agent = Agent::start();
        let outcome = agent.connect().await.sh("echo out; echo err >&2; exit 7").await;
        assert_eq!((outcome.text(), &*outcome.stderr, outcome.exit), ("out\n", &b"err\n"[..], Some((7, 0))));
        assert_eq!(outcome.end.unwrap().code, 0);
    });
}

#[test]
fn stdin_arrives_whole_and_ends() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        for half_close in [true, false] {
            let mut call = client.start(ExecStart { stdin: true, ..argv(&["wc", "-c"]) }).await;
            for _ in 0..100 {
                call.control(Request::Stdin(Bytes::from(vec![b'x'; 50_000]))).await;
            }
            if half_close {
                call.half_close();
            } else {
                call.control(Request::StdinEnd(ExecStdinEnd {})).await;
            }
            assert_eq!(call.outcome().await.text().trim(), "5000000");
        }
    });
}

#[test]
fn one_message_larger_than_the_window_arrives() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(ExecStart { stdin: true, ..argv(&["wc", "-c"]) }).await;
        call.control(Request::Stdin(Bytes::from(vec![b'x'; 4_000_000]))).await;
        call.half_close();
        assert_eq!(call.outcome().await.text().trim(), "4000000");
    });
}

#[test]
fn program_without_stdin_reads_the_end_of_file() {
    run(async {
        let agent = Agent::start();
        assert_eq!(agent.connect().await.exec(argv(&["cat"])).await.exit, Some((0, 0)));
    });
}

#[test]
fn program_that_does_not_read_stops_the_client_and_still_hears_signals() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(ExecStart { stdin: true, ..argv(&["sleep", "1000"]) }).await;
        call.started().await;
        call.control(Request::Stdin(Bytes::from(vec![b'x'; 150_000]))).await;
        call.control(Request::Signal(ExecSignal { number: libc::SIGKILL })).await;
        assert_eq!(call.outcome().await.exit, Some((0, libc::SIGKILL)));

        let mut call = client.start(ExecStart { stdin: true, ..argv(&["sleep", "1000"]) }).await;
        call.started().await;
        let message =
            vm_agent::rpc::frame::encode(&ExecRequest { request: Some(Request::Stdin(vec![b'x'; 60_000].into())) });
        let endless = async { while call.try_send(message.clone()).await.is_ok() {} };
        assert!(tokio::time::timeout(std::time::Duration::from_millis(700), endless).await.is_err());
        // The connection still has window for other calls.
        assert_eq!(client.sh("echo other").await.text(), "other\n");
    });
}

#[test]
fn program_that_closes_its_input_early_does_not_stop_the_client() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call =
            client.start(ExecStart { stdin: true, ..sh("head -c 1 >/dev/null; exec <&-; sleep 0.3; echo end") }).await;
        for _ in 0..100 {
            call.control(Request::Stdin(Bytes::from(vec![b'x'; 100_000]))).await;
        }
        let outcome = call.outcome().await;
        assert_eq!((outcome.text(), outcome.exit), ("end\n", Some((0, 0))));
    });
}

#[test]
fn much_output_arrives_whole() {
    run(async {
        let agent = Agent::start();
        let outcome = agent.connect().await.sh("head -c 20000000 /dev/zero; head -c 3000000 /dev/zero >&2").await;
        assert_eq!((outcome.stdout.len(), outcome.stderr.len(), outcome.exit), (20_000_000, 3_000_000, Some((0, 0))));
    });
}

#[test]
fn script_is_a_file_that_nothing_it_runs_can_eat_and_that_is_gone_afterwards() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(ExecStart { stdin: true, ..script("echo $0 $1 $2; cat; false; echo never") }).await;
        call.control(Request::Stdin(Bytes::from_static(b"from stdin\n"))).await;
        call.half_close();
        let outcome = call.outcome().await;
        let (file, rest) = outcome.text().split_once(' ').unwrap();
        assert_eq!((rest, outcome.exit), ("one two\nfrom stdin\n", Some((1, 0))));
        assert!(!std::path::Path::new(file).exists());
    });
}

#[test]
fn script_with_an_interpreter_line_is_run_by_it() {
    run(async {
        let agent = Agent::start();
        let outcome = agent.connect().await.exec(script("#!/usr/bin/env -S sh -u\necho $2 $#")).await;
        assert_eq!((outcome.text(), outcome.exit), ("two 2\n", Some((0, 0))));
    });
}

#[test]
fn what_cannot_start_says_why_in_one_word() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        assert_eq!(client.exec(argv(&["no-such-command-here"])).await.reason(), "command-not-found");
        assert_eq!(client.exec(argv(&["/no/such/command"])).await.reason(), "command-not-found");
        assert_eq!(client.exec(argv(&["/etc/passwd"])).await.reason(), "not-executable");
        assert_eq!(client.exec(argv(&["/tmp"])).await.reason(), "not-executable");
        assert_eq!(client.exec(argv(&[])).await.reason(), "no-program");
        assert_eq!(client.exec(ExecStart::default()).await.reason(), "no-program");
        assert_eq!(client.exec(ExecStart { cwd: "/no/such".into(), ..sh("pwd") }).await.reason(), "bad-cwd");
        assert_eq!(client.exec(ExecStart { cwd: "relative".into(), ..sh("pwd") }).await.reason(), "bad-cwd");
        assert_eq!(client.exec(ExecStart { user: "no-such-user".into(), ..sh("id") }).await.reason(), "unknown-user");
        let env = [("A=B".to_owned(), "c".to_owned())].into();
        assert_eq!(client.exec(ExecStart { env, ..sh("env") }).await.reason(), "bad-env");
        assert_eq!(client.exec(argv(&["a\0b"])).await.reason(), "bad-argument");
    });
}

#[test]
fn first_message_must_be_a_start() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.call("Exec").await;
        call.control(Request::StdinEnd(ExecStdinEnd {})).await;
        let outcome = call.outcome().await;
        assert_eq!(outcome.reason(), "no-start");
        let mut call = client.call("Exec").await;
        call.try_send(Bytes::from_static(b"\0\0\0\0\x02\xff\xff")).await.unwrap();
        assert_eq!(call.outcome().await.reason(), "bad-message");
        let mut call = client.call("Exec").await;
        call.try_send(Bytes::from_static(b"\0\xff\0\0\0")).await.unwrap();
        assert_eq!(call.outcome().await.reason(), "message-too-large");
    });
}

#[test]
fn environment_is_small_and_can_be_replaced() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let env = [("PATH".to_owned(), "/nowhere".to_owned()), ("X".to_owned(), "y z".to_owned())];
        let outcome = client.exec(ExecStart { env: env.into(), ..argv(&["/usr/bin/env"]) }).await;
        assert!(outcome.text().contains("PATH=/nowhere\n") && outcome.text().contains("X=y z\n"));
        assert!(outcome.text().contains("HOME=/") && !outcome.text().contains("TMPDIR"));
        let outcome = client.exec(ExecStart { clear_env: true, ..argv(&["/usr/bin/env"]) }).await;
        assert_eq!(outcome.text(), "");
        // The program's own PATH is the one that it is looked up in.
        let env = [("PATH".to_owned(), "/nowhere".to_owned())];
        assert_eq!(client.exec(ExecStart { env: env.into(), ..argv(&["true"]) }).await.reason(), "command-not-found");
    });
}

#[test]
fn program_starts_in_its_directory_with_clean_signals() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let outcome =
            client.exec(ExecStart { cwd: "/usr".into(), ..sh("pwd; grep -E 'Sig(Blk|Ign)' /proc/self/status") }).await;
        assert_eq!(outcome.text(), "/usr\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    });
}

#[test]
fn program_runs_as_the_user_with_the_groups() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        // SAFETY: plain system call.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skipped: needs root");
            return;
        }
        let start = ExecStart { user: "12345:54321".into(), ..sh("id -u; id -G; echo ok > /dev/stderr") };
        let outcome = client.exec(start).await;
        assert_eq!((outcome.text(), &*outcome.stderr), ("12345\n54321\n", &b"ok\n"[..]));
        let outcome = client.exec(ExecStart { user: "daemon".into(), ..script("id -un; echo $USER") }).await;
        assert_eq!(outcome.text(), "daemon\ndaemon\n");
    });
}

#[test]
fn umask_is_022_or_what_was_asked_for() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        assert_eq!(client.sh("umask").await.text().trim(), "0022");
        let outcome = client.exec(ExecStart { umask: Some(0o077), ..sh("umask") }).await;
        assert_eq!(outcome.text().trim(), "0077");
        let outcome = client.exec(ExecStart { umask: Some(0o1000), ..sh("umask") }).await;
        assert_eq!(&*outcome.end.unwrap().reason, "bad-argument");
    });
}

#[test]
fn script_is_run_by_the_first_shell_that_is_there() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let with = |shells: &[&str]| {
            let mut start = script("#!/no/such\nfalse; echo $1 $#");
            if let Some(exec_start::Program::Script(script)) = &mut start.program {
                script.shells = shells.iter().map(|shell| (*shell).to_owned()).collect();
            }
            start
        };
        let outcome = client.exec(with(&["/no/such/bash", "/etc/passwd", "/bin/sh"])).await;
        assert_eq!((outcome.text(), outcome.exit), ("one 2\n", Some((0, 0))));
        for (shells, reason) in [(&["/no/such"][..], "no-shell"), (&["sh"], "bad-argument")] {
            assert_eq!(&*client.exec(with(shells)).await.end.unwrap().reason, reason);
        }
    });
}

#[test]
fn without_an_image_there_is_no_command_of_its_own() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let outcome = client.exec(ExecStart { entrypoint: true, ..argv(&["echo", "x"]) }).await;
        assert_eq!(outcome.text(), "x\n");
        let end = client.exec(ExecStart { entrypoint: true, ..argv(&[]) }).await.end.unwrap();
        assert_eq!(&*end.reason, "no-program");
        assert!(end.message.contains("the image has no command"), "{}", end.message);
    });
}
