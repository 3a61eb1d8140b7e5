//! What a program prints, to the client as fast as that reads it, until program and output are at their end.

use super::reap::Ended;
use crate::nonblocking::NonBlocking;
use crate::rpc::frame;
use crate::rpc::sender::{Gone, Sender};
use bytes::{Bytes, BytesMut};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::{Instant, sleep_until};

const READ: usize = 128 << 10;
/// A background process may hold the output open for ever. After the program itself has ended its output counts as over
/// when nothing came for this long …
const QUIET: Duration = Duration::from_millis(250);
/// … or when this has passed, and all that was in the pipes when the program ended has been sent.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

/// Where output goes, in the words of one protocol.
pub trait Sink {
    /// What tells the client which output the bytes are of.
    type Field: Copy;

    /// Ready when the client is seen to be gone. May be dropped and called again.
    fn gone(&mut self) -> impl Future<Output = ()>;

    fn output(&mut self, field: Self::Field, data: Bytes) -> impl Future<Output = Result<(), Gone>>;
}

impl Sink for Sender {
    type Field = Field;

    async fn gone(&mut self) {
        Sender::gone(self).await;
    }

    async fn output(&mut self, field: Field, data: Bytes) -> Result<(), Gone> {
        let header = frame::encode_payload_header(field.tag, field.nested, data.len());
        self.payload(header, data).await
    }
}

/// One output of the program, and the field it is sent in.
pub struct Output<Field> {
    source: Rc<NonBlocking>,
    field: Field,
    buffer: BytesMut,
}

/// Which field of a response carries output, and whether the bytes are in a message of their own there.
#[derive(Clone, Copy)]
pub struct Field {
    pub tag: u8,
    pub nested: bool,
}

impl<Field> Output<Field> {
    pub fn new(source: Rc<NonBlocking>, field: Field) -> Self {
        Self { source, field, buffer: BytesMut::new() }
    }

    fn waiting(&self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: the ioctl writes one int, which outlives it.
        unsafe { libc::ioctl(self.source.as_raw_fd(), libc::FIONREAD as _, &raw mut count) };
        usize::try_from(count).unwrap_or(0)
    }
}

/// Sends both outputs until the program has ended and they are at their end, or as good as that.
pub async fn send_all<S: Sink>(
    mut stdout: Option<Output<S::Field>>,
    mut stderr: Option<Output<S::Field>>,
    end: impl Future<Output = Result<Ended, RecvError>>,
    responses: &mut S,
) -> Result<Ended, Gone> {
    let mut end = pin!(end);
    let mut drain: Option<Drain> = None;
    loop {
        if let Some(drain) = &drain
            && (drain.is_over() || (stdout.is_none() && stderr.is_none()))
        {
            return Ok(drain.ended);
        }
        let quiet_at = drain.as_ref().map(|drain| drain.quiet_at);
        tokio::select! {
            () = responses.gone() => return Err(Gone),
            read = read(&mut stdout) => pass_on(read, &mut stdout, &mut drain, responses).await?,
            read = read(&mut stderr) => pass_on(read, &mut stderr, &mut drain, responses).await?,
            ended = &mut end, if drain.is_none() => {
                // The sender is only dropped with the agent itself.
                let ended = ended.unwrap_or_else(|_| Ended::lost());
                let owed = [&stdout, &stderr].into_iter().flatten().map(Output::waiting).sum();
                let now = Instant::now();
                drain = Some(Drain { ended, owed, quiet_at: now + QUIET, longest: now + LONGEST_DRAIN });
            }
            () = at(quiet_at) => {
                if let Some(drain) = drain {
                    return Ok(drain.ended);
                }
            }
        }
    }
}

struct Drain {
    ended: Ended,
    /// Bytes that were in the pipes when the program ended and that are not sent yet.
    owed: usize,
    quiet_at: Instant,
    longest: Instant,
}

impl Drain {
    fn is_over(&self) -> bool {
        self.owed == 0 && Instant::now() >= self.longest
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn read<Field>(output: &mut Option<Output<Field>>) -> io::Result<usize> {
    match output {
        Some(output) => output.source.read(&mut output.buffer, READ).await,
        None => std::future::pending().await,
    }
}

async fn pass_on<S: Sink>(
    read: io::Result<usize>,
    output: &mut Option<Output<S::Field>>,
    drain: &mut Option<Drain>,
    responses: &mut S,
) -> Result<(), Gone> {
    let Some(source) = output else { return Ok(()) };
    let count = match read {
        Ok(count @ 1..) => count,
        // An output that cannot be read any more is at its end.
        _ => {
            *output = None;
            return Ok(());
        }
    };
    let payload: Bytes = source.buffer.split().freeze();
    responses.output(source.field, payload).await?;
    if let Some(drain) = drain {
        drain.owed = drain.owed.saturating_sub(count);
        drain.quiet_at = Instant::now() + QUIET;
    }
    Ok(())
}
