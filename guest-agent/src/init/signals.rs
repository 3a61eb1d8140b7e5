//! What PID 1 does about signals. The kernel delivers to it only what it has a handler for.

use super::{console, power};
use crate::agent::Agent;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// systemd's tools say halt and power off with real-time signals, counted from the first one that glibc leaves to programs.
/// The C library of this agent counts from another one.
const SIGRTMIN: i32 = 34;
/// What asks an init to turn the system off: halt and power off of busybox and sysvinit, a failing power supply, systemd's
/// halt and power off, and Ctrl-Alt-Del.
const POWER_OFF: [i32; 6] = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGPWR, SIGRTMIN + 3, SIGRTMIN + 4, libc::SIGINT];
/// A stray kill and a closed pipe must not matter.
const IGNORED: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE];

/// To be called first of all.
pub fn ignore() {
    for number in IGNORED {
        // SAFETY: plain system call.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
    // Ctrl-Alt-Del is a signal from now on, and not a restart on the spot.
    // SAFETY: plain system call.
    unsafe { libc::reboot(libc::RB_DISABLE_CAD) };
}

/// Turns the guest off when a signal asks for it.
pub async fn obey(agent: &Agent) -> Result<(), String> {
    let signals = POWER_OFF.map(|number| signal(SignalKind::from_raw(number)));
    let signals: Result<Vec<Signal>, _> = signals.into_iter().collect();
    let mut signals = signals.map_err(|error| format!("cannot handle signals: {error}"))?;
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    console::say("told to turn the guest off");
    power::end_guest(agent).await;
    Ok(())
}
