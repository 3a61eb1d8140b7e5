//! `Shutdown`: the answer first, then the power.

use crate::agent::Agent;
use crate::r#gen::agent::{ShutdownRequest, ShutdownResponse};
use crate::init::power;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use std::rc::Rc;
use std::time::Duration;

/// Time for the answer to get out before everything ends.
const FAREWELL: Duration = Duration::from_millis(50);

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let ShutdownRequest {} = requests.only().await?;
    if agent.boot().is_none() {
        let message = "not the guest's init: an agent that is a service cannot turn the guest off";
        return Err(Status::new(Code::FailedPrecondition, "not-init", message));
    }
    responses.message(&ShutdownResponse {}).await?;
    // Not in this task: it ends with the client.
    let agent = Rc::clone(agent);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(FAREWELL).await;
        power::end_guest(&agent).await;
    });
    Ok(())
}
