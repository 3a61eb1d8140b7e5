//! `Enter`: the image root, once in a guest's life.

use crate::agent::Agent;
use crate::r#gen::agent::{EnterRequest, EnterResponse};
use crate::image;
use crate::image::plan::Plan;
use crate::init::mount;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::Status;
use crate::system;
use std::path::Path;
use std::rc::Rc;

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let request: EnterRequest = requests.only().await?;
    image::enter(agent, Plan::new(request)?).await?;
    let (scratch_bytes, scratch_free_bytes) = system::disk_bytes(Path::new(mount::SCRATCH)).unwrap_or_default();
    Ok(responses.message(&EnterResponse { scratch_bytes, scratch_free_bytes }).await?)
}
