// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use support::{Agent, argv, run, sh};
use vm_agent::r#gen::agent::{ExecStart, ExecStdinEnd, Terminal, TerminalSize, exec_request::Request};

fn with_terminal(start: ExecStart, term: &str) -> ExecStart {
    let terminal = Terminal { size: Some(TerminalSize { rows: 30, columns: 90 }), term: term.into() };
    ExecStart { terminal: Some(terminal), ..start }
}

#[test]
fn program_gets_a_terminal_of_its_size_and_hears_of_a_new_one() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let program = "tty; stty size; echo $TERM; echo err >&2; trap 'stty size; exit 3' WINCH; echo go; while :; do sleep 0.05; done";
        let mut call = client.start(with_terminal(sh(program), "")).await;
        let text = call.stdout_until("go").await;
        assert!(text.contains("/dev/pts/") && text.contains("30 90\r\nxterm\r\nerr\r\n"), "{text}");
        call.control(Request::Resize(TerminalSize { rows: 41, columns: 100_000 })).await;
        let outcome = call.outcome().await;
        assert!(outcome.text().contains("41 65535"), "{}", outcome.text());
        assert_eq!(outcome.exit, Some((3, 0)));
    });
}

#[test]
fn input_and_its_end_reach_the_program_on_a_terminal() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(with_terminal(argv(&["cat"]), "dumb")).await;
        call.control(Request::Stdin(Bytes::from_static(b"hello\n"))).await;
        call.control(Request::StdinEnd(ExecStdinEnd {})).await;
        let outcome = call.outcome().await;
        assert_eq!((outcome.text(), outcome.exit), ("hello\r\nhello\r\n", Some((0, 0))));
    });
}

#[test]
fn interrupt_character_ends_the_foreground_program() {
    run(async {
        let agent = Agent::start();
        let mut client = agent.connect().await;
        let mut call = client.start(with_terminal(argv(&["sleep", "1000"]), "")).await;
        call.started().await;
        call.control(Request::Stdin(Bytes::from_static(b"\x03"))).await;
        assert_eq!(call.outcome().await.exit, Some((0, libc::SIGINT)));
    });
}
