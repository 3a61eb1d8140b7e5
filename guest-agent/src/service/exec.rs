//! `Exec`: one program, from its first message to its exit.

use crate::agent::Agent;
use crate::r#gen::agent::{
    self as wire, ExecExit, ExecRequest, ExecResponse, ExecStart, ExecStarted, ResourceUsage, Script, SignalRequest,
    SignalResponse, exec_request, exec_response, exec_start,
};
use crate::process::launch::{self, Program, Request};
use crate::process::output::Field;
use crate::process::pty::Size;
use crate::process::pump::{self, Control, Dialect, Outcome};
use crate::root;
use crate::rpc::receiver::{self, Receiver};
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

const DEFAULT_GRACE: Duration = Duration::from_secs(2);
const LAST_SIGNAL: i32 = 64;
const MOST_UMASK: u32 = 0o777;

const DIALECT: Dialect =
    Dialect { decode, stdout: Field { tag: 2, nested: false }, stderr: Field { tag: 3, nested: false } };

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let first: Option<ExecRequest> = requests.first().await?;
    let Some(exec_request::Request::Start(start)) = first.and_then(|first| first.request) else {
        return Err(Status::invalid("no-start", "the first message is not a start; send ExecStart first"));
    };
    let (detach, timeout) = (start.detach, milliseconds(start.timeout_ms));
    let running = launch::start(agent, request(start)?).await?;
    let started = ExecStarted { pid: running.pid.unsigned_abs() };
    let started = ExecResponse { response: Some(exec_response::Response::Started(started)) };
    if detach {
        running.detach(timeout);
        return Ok(responses.message(&started).await?);
    }
    responses.message(&started).await?;
    let Outcome { ended, timed_out } = pump::run(running, requests, responses, &DIALECT, timeout).await?;
    let usage = ResourceUsage {
        user_micros: ended.usage.user_micros,
        system_micros: ended.usage.system_micros,
        peak_memory_bytes: ended.usage.peak_bytes,
    };
    let exit = ExecExit { code: ended.code, signal: ended.signal, timed_out, usage: Some(usage) };
    responses.message(&ExecResponse { response: Some(exec_response::Response::Exit(exit)) }).await?;
    Ok(())
}

pub async fn signal(agent: &Agent, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let SignalRequest { pid, number } = requests.only().await?;
    let tree = i32::try_from(pid).ok().and_then(|pid| agent.running(pid));
    let tree = tree.ok_or_else(|| {
        let message = format!("no such program: {pid}; it has ended, or was not started by Exec");
        Status::new(Code::NotFound, "no-such-process", message)
    })?;
    tree.signal(checked(number)?);
    Ok(responses.message(&SignalResponse {}).await?)
}

pub fn request(start: ExecStart) -> Result<Request, Status> {
    let root = root::named(start.root)?;
    if start.detach && (start.stdin || start.terminal.is_some()) {
        let message = "a detached program can have neither standard input nor a terminal; leave them out";
        return Err(Status::invalid("bad-argument", message));
    }
    let program = match start.program {
        Some(exec_start::Program::Argv(argv)) => Program::Argv(argv.values),
        Some(exec_start::Program::Script(Script { content, args, shells })) => {
            Program::Script { content, args, shells }
        }
        None => return Err(Status::invalid("no-program", "no program: neither argv nor script is set; set one")),
    };
    if let Some(key) = start.env.keys().find(|key| key.is_empty() || key.contains('=')) {
        return Err(Status::invalid("bad-env", format!("not a name for an environment variable: {key:?}")));
    }
    if let Some(umask) = start.umask.filter(|umask| *umask > MOST_UMASK) {
        return Err(Status::invalid("bad-argument", format!("not a umask: {umask:o}; use 0 to {MOST_UMASK:o}")));
    }
    Ok(Request {
        root,
        program,
        entrypoint: start.entrypoint,
        umask: start.umask,
        env: start.env,
        clear_env: start.clear_env,
        cwd: start.cwd,
        user: start.user,
        stdin: start.stdin,
        terminal: start.terminal.map(|terminal| (size(terminal.size.unwrap_or_default()), terminal.term)),
        output: !start.detach,
        grace: milliseconds(start.grace_ms.into()).unwrap_or(DEFAULT_GRACE),
    })
}

/// 0 stands for none.
fn milliseconds(number: u64) -> Option<Duration> {
    (number > 0).then(|| Duration::from_millis(number))
}

fn checked(signal: i32) -> Result<i32, Status> {
    if (1..=LAST_SIGNAL).contains(&signal) {
        return Ok(signal);
    }
    Err(Status::invalid("bad-signal", format!("not a signal: {signal}; use 1 to {LAST_SIGNAL}")))
}

fn size(size: wire::TerminalSize) -> Size {
    Size::clamped(size.rows, size.columns)
}

pub fn decode(message: Bytes) -> Result<Control, Status> {
    let request: ExecRequest = receiver::decode(message)?;
    match request.request {
        Some(exec_request::Request::Stdin(data)) => Ok(Control::Stdin(data)),
        Some(exec_request::Request::StdinEnd(_)) => Ok(Control::StdinEnd),
        Some(exec_request::Request::Resize(new)) => Ok(Control::Resize(size(new))),
        Some(exec_request::Request::Signal(signal)) => checked(signal.number).map(Control::Signal),
        Some(exec_request::Request::Start(_)) => {
            Err(Status::invalid("second-start", "a program runs already; start another one in a call of its own"))
        }
        None => Ok(Control::Nothing),
    }
}
