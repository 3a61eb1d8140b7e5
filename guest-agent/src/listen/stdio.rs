//! Standard input and output as one client: the agent at the end of a program such as ssh.

use crate::agent::Agent;
use crate::nonblocking::NonBlocking;
use crate::protocol::Protocol;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

/// Serves the one client there is until it is gone.
pub async fn serve(protocol: Protocol, agent: &Rc<Agent>) -> io::Result<()> {
    let input = NonBlocking::readable(io::stdin().as_fd().try_clone_to_owned()?)?;
    let output = NonBlocking::writable(io::stdout().as_fd().try_clone_to_owned()?)?;
    protocol.serve(&mut tokio::io::join(input, output), agent).await;
    Ok(())
}
