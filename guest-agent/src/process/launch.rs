//! From a request to a running program: the one way for every service.

use super::ends::{Ends, Input, Parent};
use super::hold::Hold;
use super::keeper::Keeper;
use super::lookup;
use super::pty::Size;
use super::reap::Ended;
use super::refusal;
use super::spawn::{self, Child, Containment, Failure, Spec};
use super::tree::{Bond, Tree};
use super::user::{self, Account};
use super::{command, environment};
use crate::agent::{Agent, no_root};
use crate::r#gen::agent::Root;
use crate::nonblocking::NonBlocking;
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

const DEFAULT_UMASK: u32 = 0o022;

pub enum Program {
    Argv(Vec<String>),
    /// With the first of these shells that is there, else by its own #! line.
    Script {
        content: Bytes,
        args: Vec<String>,
        shells: Vec<String>,
    },
}

impl Default for Program {
    fn default() -> Self {
        Self::Argv(Vec::new())
    }
}

#[derive(Default)]
pub struct Request {
    pub root: Root,
    pub program: Program,
    /// Whether it is run through the image's ENTRYPOINT.
    pub entrypoint: bool,
    pub env: BTreeMap<String, String>,
    pub clear_env: bool,
    pub cwd: String,
    pub user: String,
    pub stdin: bool,
    pub terminal: Option<(Size, String)>,
    /// Without it all output goes to /dev/null.
    pub output: bool,
    /// Default: 022.
    pub umask: Option<u32>,
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

pub async fn start(agent: &Rc<Agent>, mut request: Request) -> Result<Running, Status> {
    agent.admit()?;
    let place = agent.root(request.root)?;
    let root = place.path.as_path();
    let image = place.room.as_deref().map(|room| &room.config);
    if let Some(image) = image {
        take_over(&mut request.user, &image.user);
        take_over(&mut request.cwd, &image.working_directory);
    }
    let account = account(root, &request.user)?;
    let env = environment::make(&request, account.as_ref(), image);
    let search = env.get("PATH").map_or(lookup::DEFAULT_PATH, String::as_str);
    let (candidates, script) = command::resolve(&place, &request, account.as_ref(), search)?;
    let ends =
        Ends::make(root, &request, account.as_ref()).map_err(|error| Status::from_io(&error, "the program's pipes"))?;
    let env = environment::strings(&env)?;
    let directories = directories(&request.cwd, account.as_ref())?;
    // Last, since a cgroup does not go by itself when something is refused.
    let (group, containment) = match agent.new_group(place.room.as_deref().map(|room| room.cgroup.as_path())) {
        Some((folder, procs)) => (Some(folder), Containment::Cgroup(procs)),
        None => (None, Containment::Keeper),
    };
    let spec = Spec {
        candidates,
        env,
        root: (root != Path::new("/")).then(|| CString::new(root.as_os_str().as_encoded_bytes()).unwrap_or_default()),
        room: place.room.clone(),
        umask: request.umask.unwrap_or(DEFAULT_UMASK),
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
            return Err(match error.raw_os_error() {
                Some(libc::ESRCH) => no_root("process 1 of the image has ended; make a new guest"),
                _ => Status::from_io(&error, "a new process"),
            });
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

/// What the request leaves open is as the image says.
fn take_over(asked: &mut String, image: &str) {
    if asked.is_empty() {
        image.clone_into(asked);
    }
}

/// None when the agent is an ordinary user and stays one.
fn account(root: &Path, wanted: &str) -> Result<Option<Account>, Status> {
    // SAFETY: plain system call.
    let own = unsafe { libc::geteuid() };
    let wanted = if own != 0 && wanted.is_empty() { own.to_string() } else { wanted.to_owned() };
    let account = user::of_root(root, &wanted)?;
    if own != 0 && account.uid != own {
        let message =
            format!("not permitted: the agent runs as uid {own} and cannot start programs as {}", account.name);
        return Err(Status::new(Code::PermissionDenied, "not-permitted", message));
    }
    Ok(Some(account))
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
