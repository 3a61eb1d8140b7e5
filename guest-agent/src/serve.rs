//! `vm-agent serve`: the agent as a program among others.

use crate::agent::Agent;
use crate::listen::{Bound, Listen};
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};

/// How long programs have to end when the agent is told to.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until a signal ends it, or until nobody can come any more: the only clients were on standard input or inherited
/// descriptors, and are gone. The error is one sentence.
pub fn run(listens: &[Listen]) -> Result<(), String> {
    // What is inherited comes first: the next descriptor that is opened here could get its number.
    let (inherited, others): (Vec<_>, Vec<_>) = listens.iter().partition(|listen| listen.is_inherited());
    let bound = inherited.into_iter().chain(others).map(Bound::new).collect::<Result<Vec<_>, _>>()?;
    adopt_orphans();
    block_on(serve(bound))
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

async fn serve(bound: Vec<Bound>) -> Result<(), String> {
    let agent = Agent::service();
    let mut housekeeping = JoinSet::new();
    start_housekeeping(&agent, &mut housekeeping);
    let mut listeners = JoinSet::new();
    for listener in bound {
        let agent = Rc::clone(&agent);
        listeners.spawn_local(async move { listener.serve(&agent).await });
    }
    let cannot = |error| format!("cannot handle signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = all_ended(&mut listeners) => ended,
    };
    listeners.shutdown().await;
    agent.end_all(GRACE).await;
    result
}

/// The first error of a listener, or the end of the last one.
async fn all_ended(listeners: &mut JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(ended) = listeners.join_next().await {
        ended.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// What loses its parent comes to us instead of to PID 1, so that it is reaped and, with its tree, ended.
fn adopt_orphans() {
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}
