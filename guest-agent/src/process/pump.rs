//! Everything that goes between a client and its running program, both ways at once.

use super::ends::Input;
use super::hold::Hold;
use super::launch::{Running, after};
use super::output::{self, Field, Output};
use super::pty::{self, Size};
use super::reap::Ended;
use crate::nonblocking::NonBlocking;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::{Gone, Sender};
use crate::rpc::status::Status;
use bytes::{Buf, Bytes};
use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Input that is kept for a program that does not read, so that a signal behind it is still seen.
const QUEUED: usize = 256 << 10;
/// What a terminal takes as the end of input.
const END_OF_TRANSMISSION: &[u8] = b"\x04";

/// How a service writes the same things.
pub struct Dialect {
    pub decode: fn(Bytes) -> Result<Control, Status>,
    pub stdout: Field,
    pub stderr: Field,
}

/// What a client says while its program runs.
pub enum Control {
    Stdin(Bytes),
    StdinEnd,
    Signal(i32),
    Resize(Size),
    Nothing,
}

/// How a program ended, and whether that was because its time was over.
pub struct Outcome {
    pub ended: Ended,
    pub timed_out: bool,
}

/// Runs the program to its end. An error ends its whole tree, and so does the end of its time.
pub async fn run(
    running: Running,
    requests: &mut Receiver,
    responses: &mut Sender,
    dialect: &Dialect,
    timeout: Option<Duration>,
) -> Result<Outcome, Status> {
    let Running { end, input, stdout, stderr, terminal, hold, .. } = running;
    let stdout = stdout.map(|source| Output::new(source, dialect.stdout));
    let stderr = stderr.map(|source| Output::new(source, dialect.stderr));
    let mut feed = Feed { requests, input, queue: VecDeque::new(), queued: 0, ended: false, terminal, hold: &hold };
    let has_ended = Cell::new(false);
    let end = async {
        let ended = end.await;
        has_ended.set(true);
        ended
    };
    let sending = output::send_all(stdout, stderr, end, responses);
    let outcome = tokio::select! {
        outcome = within(timeout, &has_ended, &hold, sending) => outcome?,
        status = feed.run(dialect) => return Err(status),
    };
    hold.let_go();
    Ok(outcome)
}

/// Ends the tree when the time is over. The last words of the program are still sent while it is being ended.
async fn within(
    timeout: Option<Duration>,
    has_ended: &Cell<bool>,
    hold: &Hold,
    sending: impl Future<Output = Result<Ended, Gone>>,
) -> Result<Outcome, Gone> {
    let mut sending = pin!(sending);
    tokio::select! {
        ended = &mut sending => return Ok(Outcome { ended: ended?, timed_out: false }),
        () = overdue(timeout, has_ended) => {}
    }
    // What the program left behind has its time to end too.
    let (ended, ()) = tokio::join!(sending, hold.end());
    Ok(Outcome { ended: ended?, timed_out: true })
}

/// Ready when the time of a program is over that has not ended by then. What it left in the background has no time limit.
pub async fn overdue(timeout: Option<Duration>, has_ended: &Cell<bool>) {
    after(timeout).await;
    if has_ended.get() {
        std::future::pending().await
    }
}

struct Chunk {
    data: Bytes,
    window: usize,
}

struct Feed<'a> {
    requests: &'a mut Receiver,
    input: Input,
    queue: VecDeque<Chunk>,
    queued: usize,
    /// The client said that no more input comes.
    ended: bool,
    terminal: Option<Rc<NonBlocking>>,
    hold: &'a Hold,
}

impl Feed<'_> {
    /// Takes what the client says. Returns only when it is gone or talks nonsense.
    async fn run(&mut self, dialect: &Dialect) -> Status {
        let mut open = true;
        loop {
            let front = self.queue.front().map(|chunk| chunk.data.clone()).unwrap_or_default();
            tokio::select! {
                received = self.requests.next(), if open && self.queued < QUEUED => match received {
                    Err(status) => return status,
                    Ok(None) => {
                        open = false;
                        self.end_input();
                    }
                    Ok(Some(received)) => match (dialect.decode)(received.message) {
                        Err(status) => return status,
                        Ok(control) => self.obey(control, received.window),
                    },
                },
                written = write(&self.input, &front), if !front.is_empty() => match written {
                    Ok(count) => self.written(count),
                    // The program closed its input. What still comes is dropped, and signals are heard all the same.
                    Err(_) => self.discard_input(),
                },
                else => std::future::pending().await,
            }
        }
    }

    fn obey(&mut self, control: Control, window: usize) {
        match control {
            Control::Stdin(data) if !data.is_empty() && !self.ended && !matches!(self.input, Input::None) => {
                self.queued += data.len();
                self.queue.push_back(Chunk { data, window });
                return;
            }
            Control::StdinEnd => self.end_input(),
            Control::Signal(number) => self.hold.signal(number),
            Control::Resize(size) => {
                if let Some(terminal) = &self.terminal {
                    pty::resize(terminal.as_raw_fd(), size);
                }
            }
            Control::Stdin(_) | Control::Nothing => {}
        }
        self.requests.release(window);
    }

    fn written(&mut self, count: usize) {
        self.queued = self.queued.saturating_sub(count);
        let Some(front) = self.queue.front_mut() else { return };
        front.data.advance(count.min(front.data.len()));
        if front.data.is_empty() {
            let window = front.window;
            self.queue.pop_front();
            self.requests.release(window);
        }
        self.close_when_done();
    }

    fn end_input(&mut self) {
        if !self.ended && matches!(self.input, Input::Terminal(_)) {
            self.queue.push_back(Chunk { data: Bytes::from_static(END_OF_TRANSMISSION), window: 0 });
        }
        self.ended = true;
        self.close_when_done();
    }

    fn close_when_done(&mut self) {
        if self.ended && self.queue.is_empty() {
            self.input = Input::None;
        }
    }

    fn discard_input(&mut self) {
        self.input = Input::None;
        self.queued = 0;
        for chunk in std::mem::take(&mut self.queue) {
            self.requests.release(chunk.window);
        }
    }
}

async fn write(input: &Input, bytes: &[u8]) -> std::io::Result<usize> {
    match input {
        Input::Pipe(pipe) => pipe.write(bytes).await,
        Input::Terminal(terminal) => terminal.write(bytes).await,
        Input::None => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}
