// Test code outside of a test function counts as any other for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use support::smolvm::Peer;
use support::{Agent, Client, Folder, argv, run, until};

/// The agent with this descriptor as its number 3.
fn serve_with(fd: OwnedFd, option: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vm-agent"));
    command.args(["serve", option, "fd:3"]);
    let passed = fd.as_raw_fd();
    // SAFETY: system calls only. Duplicated upwards first, since dup2 of 3 to 3 would leave it closed on exec.
    unsafe {
        command.pre_exec(move || {
            let high = libc::fcntl(passed, libc::F_DUPFD, 100);
            if libc::dup2(high, 3) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        })
    };
    command.spawn().unwrap()
}

fn serve_and_wait(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vm-agent")).arg("serve").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn terminate(mut process: Child) {
    // SAFETY: plain system call on our own child.
    unsafe { libc::kill(process.id() as i32, libc::SIGTERM) };
    assert!(process.wait().unwrap().success());
}

#[test]
fn inherited_listening_socket_serves_client_after_client() {
    run(async {
        let folder = Folder::new();
        let path = folder.path("s");
        let listener = UnixListener::bind(&path).unwrap();
        let process = serve_with(listener.into(), "--listen-smolvm");
        for _ in 0..2 {
            let mut client = Peer::connect(path.as_ref()).await;
            assert_eq!(client.ask(json!({ "op": "ping" })).await["ok"], true);
        }
        // The file is not the agent's.
        terminate(process);
        assert!(std::path::Path::new(&path).exists());
    });
}

#[test]
fn inherited_connection_is_one_client_and_the_agent_ends_with_it() {
    run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut process = serve_with(theirs.into(), "--listen");
        ours.set_nonblocking(true).unwrap();
        let mut client = Client::over(tokio::net::UnixStream::from_std(ours).unwrap()).await;
        assert_eq!(client.exec(argv(&["echo", "hi"])).await.text(), "hi\n");
        // It is not handed on to what runs.
        assert_eq!(client.exec(argv(&["sh", "-c", "test ! -e /proc/$$/fd/3"])).await.exit, Some((0, 0)));
        drop(client);
        until("it has ended", || process.try_wait().unwrap().is_some()).await;
        assert!(process.wait().unwrap().success());
    });
}

#[test]
fn descriptors_that_cannot_be_served_are_named() {
    let output = serve_and_wait(&["--listen", "fd:99"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "vm-agent: cannot listen: descriptor 99: Bad file descriptor (os error 9)\n"
    );
    // The first number that the agent's own descriptors would get.
    assert_eq!(serve_and_wait(&["--listen", "unix:/tmp/never-made", "--listen", "fd:3"]).status.code(), Some(1));
    assert!(!std::path::Path::new("/tmp/never-made").exists());
    let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    assert_eq!(serve_with(datagram.into(), "--listen").wait().unwrap().code(), Some(1));
    let reading = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(serve_with(reading.into(), "--listen").wait().unwrap().code(), Some(1));
    for twice in [&["--listen", "fd:3", "--listen-smolvm", "fd:3"][..], &["--listen", "fd:2"], &["--listen", "fd:"]] {
        assert_eq!(serve_and_wait(twice).status.code(), Some(2));
    }
}

#[test]
fn end_of_one_client_on_a_descriptor_leaves_the_other_listeners() {
    run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let passed = theirs.as_raw_fd();
        let agent = Agent::start_with(|command| {
            command.args(["--listen-smolvm", "fd:3"]);
            // SAFETY: as above.
            unsafe {
                command.pre_exec(move || {
                    let high = libc::fcntl(passed, libc::F_DUPFD, 100);
                    if libc::dup2(high, 3) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
                })
            };
        });
        drop(theirs);
        ours.set_nonblocking(true).unwrap();
        let mut client = Peer(tokio::net::UnixStream::from_std(ours).unwrap());
        assert_eq!(client.ask(json!({ "op": "ping" })).await["ok"], true);
        drop(client);
        for _ in 0..2 {
            assert_eq!(agent.smolvm().await.ask(json!({ "op": "ping" })).await["ok"], true);
        }
    });
}

#[test]
fn standard_input_and_output_serve_one_request_of_smolvm() {
    use std::io::{Read, Write};
    let mut process = Command::new(env!("CARGO_BIN_EXE_vm-agent"))
        .args(["serve", "--listen-smolvm", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(&support::smolvm::json(&json!({ "op": "run", "cmd": "echo hi", "shell": "raw" }))).unwrap();
    let mut output = Vec::new();
    process.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    let exit = json!({ "ok": true, "op": "exit", "exit_code": 0 });
    assert_eq!(output, [support::smolvm::frame(2, b"hi\n"), support::smolvm::json(&exit)].concat());
    assert!(process.wait().unwrap().success());
}

#[test]
fn clients_beyond_the_bound_wait_for_their_turn() {
    run(async {
        let agent = Agent::start();
        let mut clients = Vec::new();
        for _ in 0..64 {
            clients.push(agent.connect().await);
        }
        // Served clients answer; the one too many does not until one of them leaves.
        let mut late = Client::connect(&agent.socket()).await;
        let mut call = Box::pin(late.exec(argv(&["echo", "late"])));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(300), &mut call).await.is_err());
        clients.pop();
        assert_eq!(call.await.text(), "late\n");
    });
}

#[test]
fn vsock_takes_only_whom_it_is_told_to() {
    let port = 20_000 + std::process::id() % 40_000;
    let address = |who: &str| format!("vsock:{port}{who}");
    if let Err(error) = vsock_socket() {
        // Not a pass in silence: the agent has to say the same.
        assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT));
        let output = serve_and_wait(&["--listen", &address("")]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot listen: vsock port"));
        eprintln!("skipped in part: no AF_VSOCK on this machine");
        return;
    }
    run(async {
        for (who, is_taken) in [("", false), (",cid=9", false), (",cid=1", true), (",cid=any", true)] {
            let mut process = Command::new(env!("CARGO_BIN_EXE_vm-agent"))
                .args(["serve", "--listen-smolvm", &address(who)])
                .spawn()
                .unwrap();
            // That a second one cannot have the port tells that the first one listens.
            until("the port is taken", || {
                assert!(process.try_wait().unwrap().is_none());
                vsock_bind(port).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
            })
            .await;
            match connect_to_itself(port) {
                Err(error) => eprintln!("skipped in part: no vsock loopback on this machine: {error}"),
                Ok(stream) => {
                    let mut client = Peer(tokio::net::UnixStream::from_std(stream).unwrap());
                    // Nothing can be told to who is not taken.
                    client.0.try_write(&support::smolvm::json(&json!({ "op": "ping" }))).ok();
                    assert_eq!(client.frame().await.is_some(), is_taken, "{who}");
                }
            }
            terminate(process);
        }
    });
}

fn vsock_socket() -> std::io::Result<OwnedFd> {
    // SAFETY: plain system call.
    let fd = unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    if fd < 0 { Err(std::io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

type Call = unsafe extern "C" fn(i32, *const libc::sockaddr, libc::socklen_t) -> i32;

fn with_address(call: Call, socket: &OwnedFd, cid: u32, port: u32) -> std::io::Result<()> {
    // SAFETY: all zero is a valid address, which outlives the call.
    let result = unsafe {
        let mut address: libc::sockaddr_vm = std::mem::zeroed();
        (address.svm_family, address.svm_cid, address.svm_port) = (libc::AF_VSOCK as u16, cid, port);
        call(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_vm>() as u32)
    };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn vsock_bind(port: u32) -> std::io::Result<()> {
    with_address(libc::bind, &vsock_socket()?, libc::VMADDR_CID_ANY, port)
}

/// The kernel gives up after two seconds where there is no loopback.
fn connect_to_itself(port: u32) -> std::io::Result<UnixStream> {
    let socket = vsock_socket()?;
    with_address(libc::connect, &socket, libc::VMADDR_CID_LOCAL, port)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(stream)
}
