// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use support::{Agent, argv, is_alive, run, sh, until};
use vm_agent::r#gen::agent::{ResumeRequest, ResumeResponse, ShutdownRequest, ShutdownResponse};

#[test]
fn signal_ends_the_agent_with_all_that_it_started() {
    run(async {
        let mut agent = Agent::start();
        let mut client = agent.connect().await;
        let mode = std::fs::metadata(agent.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut call = client.start(sh("trap '' TERM; sleep 1000")).await;
        let pid = call.started().await as i32;
        agent.terminate();
        until("it has ended", || agent.process.try_wait().unwrap().is_some()).await;
        assert!(agent.process.wait().unwrap().success());
        assert!(!is_alive(pid) && !agent.socket().exists());
    });
}

#[test]
fn stale_socket_is_replaced_and_a_live_one_is_not() {
    run(async {
        let folder = support::Folder::new();
        let path = folder.path("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let serve = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_vm-agent"));
            command.args(["serve", "--listen", &format!("unix:{path}")]);
            command
        };
        let mut first = serve().spawn().unwrap();
        until("it listens", || std::os::unix::net::UnixStream::connect(&path).is_ok()).await;
        let second = serve().output().unwrap();
        assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("cannot listen"));
        first.kill().unwrap();
        first.wait().unwrap();
    });
}

#[test]
fn standard_input_and_output_serve_one_client() {
    run(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let theirs: std::os::fd::OwnedFd = theirs.into();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vm-agent"));
        command.args(["serve", "--listen", "stdio"]).stdin(theirs.try_clone().unwrap()).stdout(theirs);
        let mut process = command.spawn().unwrap();
        drop(command);
        ours.set_nonblocking(true).unwrap();
        let mut client = support::Client::over(tokio::net::UnixStream::from_std(ours).unwrap()).await;
        assert_eq!(client.exec(argv(&["echo", "hi"])).await.text(), "hi\n");
        drop(client);
        until("it has ended", || process.try_wait().unwrap().is_some()).await;
        assert!(process.wait().unwrap().success());
    });
}

#[test]
fn guest_is_not_turned_off_or_changed_by_a_service() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let end = client.unary::<_, ShutdownResponse>("Shutdown", &ShutdownRequest {}).await.unwrap_err();
        assert_eq!((end.code, &*end.reason), (9, "not-init"));
        let request = ResumeRequest {
            unix_nanos: 1,
            entropy: vec![1; 32].into(),
            hostname: "other".into(),
            ..Default::default()
        };
        let resumed: ResumeResponse = client.unary("Resume", &request).await.unwrap();
        assert!(resumed.done.is_empty());
        let request = ResumeRequest { hostname: "a\nb".into(), ..Default::default() };
        let end = client.unary::<_, ResumeResponse>("Resume", &request).await.unwrap_err();
        assert_eq!(end.reason, "bad-hostname");
    });
}

#[test]
fn mistakes_on_the_command_line_are_one_sentence_and_exit_code_2() {
    for arguments in [&["--frob"][..], &["serve"], &["serve", "--listen", "tcp:80"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_vm-agent")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    }
}
