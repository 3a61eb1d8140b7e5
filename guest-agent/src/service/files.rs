//! The file methods: bytes between the client and a worker process, which does all that may block.

use crate::agent::{Agent, Ending};
use crate::r#gen::agent::Root;
use crate::nonblocking::NonBlocking;
use crate::process::hold::Hold;
use crate::process::reap::Ended;
use crate::process::spawn::{self, Candidate, Containment, Spec};
use crate::process::tree::{Bond, Tree};
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use crate::worker::{self, Roots};
use bytes::{Bytes, BytesMut};
use std::ffi::CString;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

const READ: usize = 128 << 10;
/// A worker says one line; more is a broken one, and not kept.
const LONGEST_LINE: usize = 8 << 10;
/// A client that neither sends nor takes a byte for so long holds a worker for nothing.
const STALL: Duration = Duration::from_secs(120);
/// A worker that lost its client has this long to remove what it made.
const GRACE: Duration = Duration::from_secs(2);

pub async fn answer(
    agent: &Rc<Agent>,
    method: &'static str,
    requests: &mut Receiver,
    responses: &mut Sender,
) -> Result<(), Status> {
    let roots = roots(agent);
    run(agent, &[method, &roots.image, &roots.base], Bytes::new(), requests, responses).await
}

/// One worker with these arguments, from the request to its answer. `first` are bytes of the request that were taken already.
pub async fn run(
    agent: &Rc<Agent>,
    arguments: &[&str],
    first: Bytes,
    requests: &mut Receiver,
    responses: &mut Sender,
) -> Result<(), Status> {
    let mut worker = Worker::start(agent, arguments).map_err(|error| Status::from_io(&error, "a new file worker"))?;
    let mut feeding = Feeding { input: worker.input.take(), open: true };
    let mut sentence = BytesMut::new();
    tokio::select! {
        relayed = relay(&worker, responses, &mut sentence) => relayed?,
        gone = feeding.run(&first, requests) => return Err(gone),
    }
    let ended = (&mut worker.end).await;
    worker.hold.let_go();
    match ended {
        Ok(Ended { code: 0, signal: 0, .. }) => Ok(()),
        Ok(Ended { signal: 0, .. }) => Err(worker::parse_refusal(&String::from_utf8_lossy(&sentence))),
        _ => Err(Status::new(Code::Internal, "worker-failed", "the file worker was killed; see the guest's console")),
    }
}

/// The roots that a worker may enter, whichever its request names: paths, or the sentence why there is none.
pub fn roots(agent: &Agent) -> Roots {
    let text = |root| match agent.root(root) {
        Ok(place) => place.path.to_string_lossy().into_owned(),
        Err(status) => status.message,
    };
    Roots { image: text(Root::Image), base: text(Root::Base) }
}

/// A running file worker and our ends of its pipes.
pub struct Worker {
    pub input: Option<NonBlocking>,
    pub output: NonBlocking,
    pub errors: NonBlocking,
    pub end: oneshot::Receiver<Ended>,
    pub hold: Hold,
}

impl Worker {
    pub fn start(agent: &Rc<Agent>, arguments: &[&str]) -> io::Result<Self> {
        let argv = ["vm-agent", "worker"].iter().chain(arguments).map(|text| CString::new(*text));
        let argv = argv.collect::<Result<_, _>>()?;
        let (stdin, input) = spawn::wide_pipe()?;
        let (output, stdout) = spawn::wide_pipe()?;
        let (errors, stderr) = spawn::pipe()?;
        let (input, output, errors) =
            (NonBlocking::writable(input)?, NonBlocking::readable(output)?, NonBlocking::readable(errors)?);
        let spec = Spec {
            candidates: vec![Candidate { paths: vec![agent.worker_program.clone()], argv }],
            env: Vec::new(),
            root: None,
            room: None,
            umask: 0o022,
            directories: vec![c"/".to_owned()],
            account: None,
            stdio: [stdin, stdout, stderr],
            terminal: false,
            containment: Containment::None,
        };
        // A start that fails shows as a worker that ended at once, so nobody has to wait for the report.
        let pid = spawn::fork(spec)?.pid;
        let end = agent.reaper.end_of(pid);
        let ending: Ending = agent.began(Tree { pid, bond: Bond::Alone }, GRACE, None);
        Ok(Self { input: Some(input), output, errors, end, hold: Hold::new(agent, ending) })
    }
}

/// Passes the worker's answers on until it has closed both of its outputs.
async fn relay(worker: &Worker, responses: &mut Sender, sentence: &mut BytesMut) -> Result<(), Status> {
    let (mut answers, mut said) = (BytesMut::new(), BytesMut::new());
    let (mut answering, mut saying) = (true, true);
    while answering || saying {
        tokio::select! {
            () = responses.gone() => return Err(Status::gone()),
            read = worker.output.read(&mut answers, READ), if answering => {
                answering = read.is_ok_and(|count| count > 0);
                within(STALL, responses.bytes(answers.split().freeze())).await??;
            }
            read = worker.errors.read(&mut said, READ), if saying => {
                saying = read.is_ok_and(|count| count > 0);
                let said = said.split();
                let room = LONGEST_LINE.saturating_sub(sentence.len()).min(said.len());
                sentence.extend_from_slice(said.get(..room).unwrap_or_default());
            }
        }
    }
    Ok(())
}

async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Result<T, Status> {
    timeout(deadline, work).await.map_err(|_| Status::slow(deadline))
}

/// The client's bytes on their way to the worker.
struct Feeding {
    input: Option<NonBlocking>,
    open: bool,
}

impl Feeding {
    /// Returns only when the client is gone or as good as that.
    async fn run(&mut self, first: &Bytes, requests: &mut Receiver) -> Status {
        self.pass_on(first).await;
        while self.open {
            match within(STALL, requests.next_bytes()).await.flatten() {
                Ok(Some(data)) => {
                    self.pass_on(&data).await;
                    // Only now, so that a slow disk stops the client and not the agent's memory.
                    requests.release(data.len());
                }
                Ok(None) => self.open = false,
                Err(status) => return status,
            }
        }
        self.input = None;
        std::future::pending().await
    }

    async fn pass_on(&mut self, data: &Bytes) {
        if let Some(input) = &self.input
            && input.write_all(data).await.is_err()
        {
            self.input = None;
        }
    }
}
