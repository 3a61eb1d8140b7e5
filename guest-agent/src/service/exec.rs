//! `Exec`: one program, from its first message to its exit.

use crate::agent::Agent;
use crate::r#gen::agent::{
    self as wire, ExecExit, ExecRequest, ExecResponse, ExecStart, ExecStarted, exec_request, exec_response, exec_start,
};
use crate::process::launch::{self, Program, Request};
use crate::process::output::Field;
use crate::process::pty::Size;
use crate::process::pump::{self, Control, Dialect};
use crate::rpc::receiver::{self, Receiver};
use crate::rpc::sender::Sender;
use crate::rpc::status::Status;
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

const DEFAULT_GRACE: Duration = Duration::from_secs(2);
const LAST_SIGNAL: i32 = 64;

const DIALECT: Dialect =
    Dialect { decode, stdout: Field { tag: 2, nested: false }, stderr: Field { tag: 3, nested: false } };

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let first: Option<ExecRequest> = requests.next_message().await?;
    let Some(exec_request::Request::Start(start)) = first.and_then(|first| first.request) else {
        return Err(Status::invalid("no-start", "the first message is not a start; send ExecStart first"));
    };
    let running = launch::start(agent, request(start)?).await?;
    let started = ExecStarted { pid: running.pid.unsigned_abs() };
    responses.message(&ExecResponse { response: Some(exec_response::Response::Started(started)) }).await?;
    let ended = pump::run(running, requests, responses, &DIALECT).await?;
    let exit = ExecExit { code: ended.code, signal: ended.signal, ..ExecExit::default() };
    responses.message(&ExecResponse { response: Some(exec_response::Response::Exit(exit)) }).await?;
    Ok(())
}

fn request(start: ExecStart) -> Result<Request, Status> {
    let program = match start.program {
        Some(exec_start::Program::Argv(argv)) => Program::Argv(argv.values),
        Some(exec_start::Program::Script(script)) => Program::Script { content: script.content, args: script.args },
        None => return Err(Status::invalid("no-program", "no program: neither argv nor script is set; set one")),
    };
    if let Some(key) = start.env.keys().find(|key| key.is_empty() || key.contains('=')) {
        return Err(Status::invalid("bad-env", format!("not a name for an environment variable: {key:?}")));
    }
    Ok(Request {
        program,
        env: start.env,
        clear_env: start.clear_env,
        cwd: start.cwd,
        user: start.user,
        stdin: start.stdin,
        terminal: start.terminal.map(|terminal| (size(terminal.size.unwrap_or_default()), terminal.term)),
        output: true,
        grace: match start.grace_ms {
            0 => DEFAULT_GRACE,
            milliseconds => Duration::from_millis(milliseconds.into()),
        },
    })
}

fn size(size: wire::TerminalSize) -> Size {
    Size::clamped(size.rows, size.columns)
}

fn decode(message: Bytes) -> Result<Control, Status> {
    let request: ExecRequest = receiver::decode(message)?;
    match request.request {
        Some(exec_request::Request::Stdin(data)) => Ok(Control::Stdin(data)),
        Some(exec_request::Request::StdinEnd(_)) => Ok(Control::StdinEnd),
        Some(exec_request::Request::Resize(new)) => Ok(Control::Resize(size(new))),
        Some(exec_request::Request::Signal(signal)) if (1..=LAST_SIGNAL).contains(&signal.number) => {
            Ok(Control::Signal(signal.number))
        }
        Some(exec_request::Request::Signal(signal)) => {
            Err(Status::invalid("bad-signal", format!("not a signal: {}; use 1 to {LAST_SIGNAL}", signal.number)))
        }
        Some(exec_request::Request::Start(_)) => {
            Err(Status::invalid("second-start", "a program runs already; start another one in a call of its own"))
        }
        None => Ok(Control::Nothing),
    }
}
