//! `run`: one command line in a shell, its output as it comes, and how it ended.

use super::client::Client;
use super::frame;
use super::request::Request;
use crate::agent::Agent;
use crate::process::launch::{self, Program, Running};
use crate::process::output::{self, Output};
use crate::process::pump;
use crate::process::reap::Ended;
use serde_json::json;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a program has to end when its client is gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long the reply waits for output to be read that came before the timeout.
const LAST_WORDS: Duration = Duration::from_secs(1);
const SHELL: &str = "/bin/sh";

enum Over {
    Ended(Ended),
    TimedOut,
}

pub async fn answer(client: &mut Client<'_>, agent: &Rc<Agent>, request: &Request) -> io::Result<()> {
    let command = match request.string("cmd") {
        Ok(Some(command)) => command,
        Ok(None) => return client.reply(&error("missing 'cmd'")).await,
        Err(sentence) => return client.refuse(&format!("agent error: {sentence}")).await,
    };
    let (limit, env) = match (request.timeout(), request.environment()) {
        (Ok(limit), Ok(env)) => (limit, env),
        (Err(sentence), _) | (_, Err(sentence)) => return client.refuse(&format!("agent error: {sentence}")).await,
    };
    let raw = request.get("shell").as_str() == Some("raw");
    let running = match launch::start(agent, program(agent, command, raw, env)).await {
        Ok(running) => running,
        Err(status) => return client.reply(&error(&format!("spawn failed: {}", status.message))).await,
    };
    match run(client, running, limit.map(|(limit, _)| limit)).await? {
        Over::Ended(Ended { code, signal, .. }) => {
            let code = if signal == 0 { code } else { -signal };
            client.reply(&json!({ "ok": true, "op": "exit", "exit_code": code })).await
        }
        Over::TimedOut => {
            let given = limit.map(|(_, given)| given);
            client.reply(&json!({ "ok": true, "op": "timeout", "timeout": given })).await
        }
    }
}

/// Runs it to its end, or ends its whole tree: at the limit, or when the client is gone.
async fn run(client: &mut Client<'_>, running: Running, limit: Option<Duration>) -> io::Result<Over> {
    let Running { end, stdout, stderr, hold, .. } = running;
    let stdout = stdout.map(|source| Output::new(source, frame::STDOUT));
    let stderr = stderr.map(|source| Output::new(source, frame::STDERR));
    let has_ended = Cell::new(false);
    let end = async {
        let ended = end.await;
        has_ended.set(true);
        ended
    };
    let mut sending = pin!(output::send_all(stdout, stderr, end, &mut client.writer));
    tokio::select! {
        ended = &mut sending => {
            let ended = ended.map_err(|_| io::ErrorKind::BrokenPipe)?;
            hold.let_go();
            return Ok(Over::Ended(ended));
        }
        () = pump::overdue(limit, &has_ended) => {}
        () = client.reader.gone() => return Err(io::ErrorKind::ConnectionAborted.into()),
    }
    // What it printed in its time is still sent, to a client that reads.
    let _ = tokio::join!(timeout(LAST_WORDS, sending), hold.kill());
    Ok(Over::TimedOut)
}

fn program(agent: &Rc<Agent>, command: &str, raw: bool, asked: BTreeMap<String, String>) -> launch::Request {
    // The environment of PID 1 comes from the kernel's command line and means nothing in the image.
    let own = if agent.boot().is_none() { own_environment() } else { BTreeMap::new() };
    let shell = own.get("SHELL").filter(|shell| !raw && !shell.is_empty()).map_or(SHELL, String::as_str);
    let argv = [shell, if raw { "-c" } else { "-lc" }, command].map(str::to_owned);
    launch::Request {
        program: Program::Argv(argv.into()),
        env: own.into_iter().chain(asked).collect(),
        cwd: "/".to_owned(),
        output: true,
        grace: GRACE,
        ..launch::Request::default()
    }
}

fn own_environment() -> BTreeMap<String, String> {
    let strings = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(strings).collect()
}

fn error(sentence: &str) -> serde_json::Value {
    let mut reply = frame::refusal(sentence);
    if let Some(members) = reply.as_object_mut() {
        members.insert("op".to_owned(), "error".into());
    }
    reply
}
