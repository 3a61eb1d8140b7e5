// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use support::{Agent, Call, End, run};
use vm_agent::r#gen::tart::{
    ExecRequest, ExecResponse, IoChunk, ResolveIpRequest, ResolveIpResponse, exec_request::Command,
    exec_request::Type as Request, exec_response::Type as Response,
};

fn command(name: &str, args: &[&str]) -> Command {
    Command { name: name.into(), args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Command::default() }
}

async fn start(client: &mut support::Client, command: Command) -> Call {
    let mut call = client.call("/Agent/Exec").await;
    call.send(&ExecRequest { r#type: Some(Request::Command(command)) }).await;
    call
}

async fn outcome(call: &mut Call) -> (String, String, Option<i32>, End) {
    let (mut stdout, mut stderr, mut code) = (Vec::new(), Vec::new(), None);
    while let Some(message) = call.next::<ExecResponse>().await {
        match message.r#type.unwrap() {
            Response::StandardOutput(chunk) => stdout.extend_from_slice(&chunk.data),
            Response::StandardError(chunk) => stderr.extend_from_slice(&chunk.data),
            Response::Exit(exit) => code = Some(exit.code),
        }
    }
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), code, call.end())
}

#[test]
fn command_runs_with_its_environment_and_directory() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let env = [("X".to_owned(), "y".to_owned())].into();
        let wanted = Command { env, workdir: "/usr".into(), ..command("sh", &["-c", "pwd; echo $X >&2; exit 5"]) };
        let (stdout, stderr, code, _) = outcome(&mut start(&mut client, wanted).await).await;
        assert_eq!((&*stdout, &*stderr, code), ("/usr\n", "y\n", Some(5)));
        let signalled = command("sh", &["-c", "kill -9 $$"]);
        assert_eq!(outcome(&mut start(&mut client, signalled).await).await.2, Some(-1));
    });
}

#[test]
fn empty_chunk_or_half_close_is_the_end_of_input() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        for half_close in [true, false] {
            let mut call = start(&mut client, Command { interactive: true, ..command("cat", &[]) }).await;
            let chunk = |data| ExecRequest { r#type: Some(Request::StandardInput(IoChunk { data })) };
            call.send(&chunk(Bytes::from_static(b"in"))).await;
            if half_close {
                call.half_close();
            } else {
                call.send(&chunk(Bytes::new())).await;
                call.send(&chunk(Bytes::new())).await;
            }
            assert_eq!(outcome(&mut call).await.0, "in");
        }
    });
}

#[test]
fn start_that_fails_is_a_status_without_an_exit() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let (_, _, code, end) = outcome(&mut start(&mut client, command("no-such-command-here", &[])).await).await;
        assert_eq!((code, end.code), (None, 2));
        let both = Command { detach: true, tty: true, ..command("true", &[]) };
        assert_eq!(outcome(&mut start(&mut client, both).await).await.3.code, 2);
    });
}

#[test]
fn detached_command_outlives_its_call() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let file = agent.folder.path("done");
        let detached = Command { detach: true, ..command("sh", &["-c", &format!("sleep 0.3; echo x; touch {file}")]) };
        assert_eq!(outcome(&mut start(&mut client, detached).await).await.2, Some(0));
        drop(client);
        support::until("it has ended its work", || std::path::Path::new(&file).exists()).await;
    });
}

#[test]
fn address_is_found_or_said_to_be_missing() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        match client.unary::<_, ResolveIpResponse>("/Agent/ResolveIP", &ResolveIpRequest {}).await {
            Ok(found) => assert!(found.ip.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| !ip.is_loopback())),
            Err(end) => assert_eq!(end.code, 2),
        }
    });
}
