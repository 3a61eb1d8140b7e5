//! From a request to a running program: the one way for every service.

use super::ends::{Ends, Input, Parent};
use super::hold::Hold;
use super::keeper::Keeper;
use super::lookup;
use super::pty::Size;
use super::reap::Ended;
use super::refusal;
use super::script::ScriptFile;
use super::spawn::{self, Candidate, Child, Containment, Failure, Spec};
use super::tree::{Bond, Tree};
use super::user::{self, Account};
use crate::agent::Agent;
use crate::nonblocking::NonBlocking;
use crate::root;
use crate::rpc::status::{Code, Status};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

pub enum Program {
    Argv(Vec<String>),
    Script { content: Bytes, args: Vec<String> },
}

pub struct Request {
    pub program: Program,
    pub env: BTreeMap<String, String>,
    pub clear_env: bool,
    pub cwd: String,
    pub user: String,
    pub stdin: bool,
    pub terminal: Option<(Size, String)>,
    /// Without it all output goes to /dev/null.
    pub output: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
}

pub struct Running {
    pub pid: i32,
    pub end: oneshot::Receiver<Ended>,
    pub input: Input,
    pub stdout: Option<Rc<NonBlocking>>,
    pub stderr: Option<Rc<NonBlocking>>,
    pub terminal: Option<Rc<NonBlocking>>,
    pub hold: Hold,
}

impl Running {
    /// Lets the program go on without a client, for so long at most.
    pub fn detach(self, timeout: Option<Duration>) {
        tokio::task::spawn_local(async move {
            tokio::select! {
                _ = self.end => self.hold.let_go(),
                () = after(timeout) => drop(self.hold),
            }
        });
    }
}

/// Ready when the time is over. None: never.
pub async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => std::future::pending().await,
    }
}

pub async fn start(agent: &Rc<Agent>, request: Request) -> Result<Running, Status> {
    agent.admit()?;
    let root = agent.root()?;
    let account = account(root, &request.user)?;
    let env = environment(&request, account.as_ref());
    let search = env.get("PATH").map_or(lookup::DEFAULT_PATH, String::as_str);
    let (candidates, script) = candidates(root, &request.program, account.as_ref(), search)?;
    let ends =
        Ends::make(root, &request, account.as_ref()).map_err(|error| Status::from_io(&error, "the program's pipes"))?;
    let env = environment_strings(&env)?;
    let directories = directories(&request.cwd, account.as_ref())?;
    // Last, since a cgroup does not go by itself when something is refused.
    let (group, containment) = match agent.new_group() {
        Some((folder, procs)) => (Some(folder), Containment::Cgroup(procs)),
        None => (None, Containment::Keeper),
    };
    let spec = Spec {
        candidates,
        env,
        root: (root != Path::new("/")).then(|| CString::new(root.as_os_str().as_encoded_bytes()).unwrap_or_default()),
        directories,
        account,
        stdio: ends.child,
        terminal: request.terminal.is_some(),
        containment,
    };
    let Child { pid, report, keeper } = match spawn::fork(spec) {
        Ok(child) => child,
        Err(error) => {
            group.inspect(|folder| agent.give_back(folder));
            return Err(Status::from_io(&error, "a new process"));
        }
    };
    let bond = match (group, &keeper) {
        (Some(folder), _) => Bond::Cgroup(folder),
        (None, Some(keeper)) => Bond::Keeper(keeper.pid),
        (None, None) => Bond::Alone,
    };
    let end = keeper.map_or_else(|| agent.reaper.end_of(pid), Keeper::end);
    let hold = Hold::new(agent, agent.began(Tree { pid, bond }, request.grace, script));
    if let Some(failure) = read_report(report).await {
        hold.let_go();
        return Err(refusal::explain(&failure, &request));
    }
    let Parent { input, stdout, stderr, terminal } = ends.parent;
    Ok(Running { pid, end, input, stdout, stderr, terminal, hold })
}

async fn read_report(report: OwnedFd) -> Option<Failure> {
    let report = NonBlocking::readable(report).ok()?;
    let mut bytes = BytesMut::new();
    // The child writes less than a pipe takes in one piece, or closes the pipe by exec.
    report.read(&mut bytes, 64).await.ok()?;
    spawn::read_report(&bytes)
}

/// None when the agent is an ordinary user and stays one.
fn account(root: &Path, wanted: &str) -> Result<Option<Account>, Status> {
    let (passwd, group) = (root::read_text(root, "etc/passwd"), root::read_text(root, "etc/group"));
    // SAFETY: plain system call.
    let own = unsafe { libc::geteuid() };
    let wanted = if own != 0 && wanted.is_empty() { own.to_string() } else { wanted.to_owned() };
    let account = user::find(&wanted, &passwd, &group).map_err(|unknown| {
        Status::new(
            Code::FailedPrecondition,
            "unknown-user",
            format!("unknown {unknown}: not in the guest's /etc/passwd and /etc/group"),
        )
    })?;
    if own != 0 && account.uid != own {
        let message =
            format!("not permitted: the agent runs as uid {own} and cannot start programs as {}", account.name);
        return Err(Status::new(Code::PermissionDenied, "not-permitted", message));
    }
    Ok(Some(account))
}

fn environment(request: &Request, account: Option<&Account>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if !request.clear_env {
        env.insert("PATH", lookup::DEFAULT_PATH.to_owned());
        if let Some(account) = account {
            env.insert("HOME", account.home.clone().unwrap_or_else(|| "/".to_owned()));
            env.insert("USER", account.name.clone());
            env.insert("LOGNAME", account.name.clone());
            env.insert("SHELL", account.shell.clone());
        }
    }
    if let Some((_, term)) = &request.terminal {
        env.insert("TERM", if term.is_empty() { "xterm".to_owned() } else { term.clone() });
    }
    let own = env.into_iter().map(|(key, value)| (key.to_owned(), value));
    own.chain(request.env.clone()).collect()
}

fn environment_strings(env: &BTreeMap<String, String>) -> Result<Vec<CString>, Status> {
    // Not the value, which may be a secret.
    let bad = |key| Status::invalid("bad-env", format!("a zero byte is in the environment variable: {key:?}"));
    env.iter().map(|(key, value)| CString::new(format!("{key}={value}")).map_err(|_| bad(key))).collect()
}

fn candidates(
    root: &Path,
    program: &Program,
    account: Option<&Account>,
    search: &str,
) -> Result<(Vec<Candidate>, Option<ScriptFile>), Status> {
    let strings =
        |texts: &[String]| texts.iter().map(|text| c_string(text, "bad-argument")).collect::<Result<Vec<_>, _>>();
    match program {
        Program::Argv(values) => {
            let program = values.first().filter(|program| !program.is_empty());
            let program =
                program.ok_or_else(|| Status::invalid("no-program", "no program: argv is empty; name one"))?;
            let argv = strings(values)?;
            Ok((vec![Candidate { paths: lookup::candidates(program, search), argv }], None))
        }
        Program::Script { content, args } => {
            let file = ScriptFile::write(root, account, content);
            let file = file.map_err(|error| Status::from_io(&error, "the script's file in the guest"))?;
            Ok((file.candidates(content, &strings(args)?, search), Some(file)))
        }
    }
}

fn directories(cwd: &str, account: Option<&Account>) -> Result<Vec<CString>, Status> {
    if cwd.is_empty() {
        let home = account.and_then(|account| account.home.as_deref());
        return home.into_iter().chain(["/"]).map(|directory| c_string(directory, "bad-cwd")).collect();
    }
    if !cwd.starts_with('/') {
        return Err(Status::invalid("bad-cwd", format!("the working directory is not absolute: {cwd}")));
    }
    Ok(vec![c_string(cwd, "bad-cwd")?])
}

fn c_string(text: &str, reason: &'static str) -> Result<CString, Status> {
    CString::new(text).map_err(|_| Status::invalid(reason, format!("a zero byte is in the text: {text:?}")))
}
