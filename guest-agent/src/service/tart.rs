//! Tart's package-less `Agent` service, through the same process code.

use crate::agent::Agent;
use crate::r#gen::tart::{ExecRequest, ExecResponse, IoChunk, ResolveIpRequest, ResolveIpResponse, TerminalSize};
use crate::r#gen::tart::{exec_request, exec_response};
use crate::process::launch::{self, Program, Request};
use crate::process::output::Field;
use crate::process::pty::Size;
use crate::process::pump::{self, Control, Dialect};
use crate::rpc::receiver::{self, Receiver};
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use crate::system;
use bytes::Bytes;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(2);
/// What stands for "ended by a signal" on this wire.
const SIGNALLED: i32 = -1;

const DIALECT: Dialect =
    Dialect { decode, stdout: Field { tag: 2, nested: true }, stderr: Field { tag: 3, nested: true } };

pub async fn exec(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let first: Option<ExecRequest> = requests.first().await?;
    let Some(exec_request::Type::Command(command)) = first.and_then(|first| first.r#type) else {
        return Err(unknown("the first message is not a command"));
    };
    if command.detach && (command.interactive || command.tty) {
        return Err(unknown("a detached command can have neither input nor a terminal"));
    }
    let detach = command.detach;
    // This wire knows one code for everything that fails before the start.
    let running = launch::start(agent, request(command)).await.map_err(|status| unknown(&status.message))?;
    let code = if detach {
        running.detach(None);
        0
    } else {
        let ended = pump::run(running, requests, responses, &DIALECT, None).await?.ended;
        if ended.signal == 0 { ended.code } else { SIGNALLED }
    };
    let exit = exec_response::Type::Exit(exec_response::Exit { code });
    Ok(responses.message(&ExecResponse { r#type: Some(exit) }).await?)
}

pub async fn resolve_ip(requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let ResolveIpRequest {} = requests.only().await?;
    let ip = system::global_addresses()
        .into_iter()
        .find(IpAddr::is_ipv4)
        .ok_or_else(|| unknown("no interface has a global IPv4 address"))?;
    Ok(responses.message(&ResolveIpResponse { ip: ip.to_string() }).await?)
}

pub fn request(command: exec_request::Command) -> Request {
    Request {
        program: Program::Argv(std::iter::once(command.name).chain(command.args).collect()),
        env: command.env,
        cwd: command.workdir,
        stdin: command.interactive,
        terminal: command.tty.then(|| (size(command.terminal_size.unwrap_or_default()), String::new())),
        output: !command.detach,
        grace: GRACE,
        ..Request::default()
    }
}

fn size(size: TerminalSize) -> Size {
    Size::clamped(size.rows, size.cols)
}

/// Here an empty chunk is the end of input; a half-close is taken as that too, by the pump.
pub fn decode(message: Bytes) -> Result<Control, Status> {
    let request: ExecRequest = receiver::decode(message)?;
    Ok(match request.r#type {
        Some(exec_request::Type::StandardInput(IoChunk { data })) if data.is_empty() => Control::StdinEnd,
        Some(exec_request::Type::StandardInput(IoChunk { data })) => Control::Stdin(data),
        Some(exec_request::Type::TerminalResize(new)) => Control::Resize(size(new)),
        Some(exec_request::Type::Command(_)) => return Err(unknown("a command runs already")),
        None => Control::Nothing,
    })
}

fn unknown(message: &str) -> Status {
    Status::new(Code::Unknown, "", message)
}
