//! `vm-agent serve`: the agent as a program among others.

use crate::agent::Agent;
use crate::listen::unix::Socket;
use crate::listen::{Address, stdio, virtio};
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};

/// How long programs have to end when the agent is told to.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until a signal ends it, or until its only client on standard input is gone. The error is one sentence.
pub fn run(addresses: &[Address]) -> Result<(), String> {
    adopt_orphans();
    block_on(serve(addresses))
}

/// Runs the future on the one thread there is.
pub fn block_on<F: Future<Output = Result<(), String>>>(future: F) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    LocalSet::new().block_on(&runtime, future)
}

/// Tasks that every agent has, as PID 1 too.
pub fn start_housekeeping(agent: &Rc<Agent>, tasks: &mut JoinSet<Result<(), String>>) {
    let reaping = Rc::clone(agent);
    tasks.spawn_local(async move { reaping.reaper.run().await.map_err(|error| format!("cannot reap: {error}")) });
    let ending = Rc::clone(agent);
    tasks.spawn_local(async move {
        ending.end_what_was_left().await;
        Ok(())
    });
}

async fn serve(addresses: &[Address]) -> Result<(), String> {
    let agent = Agent::service();
    let mut housekeeping = JoinSet::new();
    start_housekeeping(&agent, &mut housekeeping);
    let mut listeners = JoinSet::new();
    for address in addresses {
        listen(address, &agent, &mut listeners)?;
    }
    let cannot = |error| format!("cannot handle signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        // The only listener that ends by itself is standard input; without it the others go on.
        Some(ended) = listeners.join_next() => ended.unwrap_or(Ok(())),
    };
    listeners.shutdown().await;
    agent.end_all(GRACE).await;
    result
}

fn listen(address: &Address, agent: &Rc<Agent>, listeners: &mut JoinSet<Result<(), String>>) -> Result<(), String> {
    let agent = Rc::clone(agent);
    match address {
        Address::Unix(path) => {
            let socket = Socket::bind(path).map_err(|error| format!("cannot listen: {}: {error}", path.display()))?;
            listeners.spawn_local(async move {
                socket.serve(&agent).await;
                Ok(())
            });
        }
        Address::Virtio(name) => {
            let name = name.clone();
            listeners.spawn_local(async move {
                let served = virtio::serve(&name, agent).await;
                served.map_err(|error| format!("cannot use the virtio-serial port: {name}: {error}"))
            });
        }
        Address::Stdio => {
            listeners.spawn_local(async move {
                stdio::serve(agent).await.map_err(|error| format!("cannot use standard input and output: {error}"))
            });
        }
    }
    Ok(())
}

/// What loses its parent comes to us instead of to PID 1, so that it is reaped and, with its tree, ended.
fn adopt_orphans() {
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}
