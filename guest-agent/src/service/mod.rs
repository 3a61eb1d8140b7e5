//! The methods, one file a job.

pub mod addresses;
pub mod enter;
pub mod exec;
pub mod files;
pub mod forward;
pub mod info;
pub mod layer;
pub mod resume;
pub mod shutdown;
pub mod tart;
pub mod usage;

use crate::agent::Agent;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use std::rc::Rc;

/// Answers one call from its first byte to its status.
pub async fn answer(agent: &Rc<Agent>, path: &str, mut requests: Receiver, mut responses: Sender) {
    let result = dispatch(agent, path, &mut requests, &mut responses).await;
    responses.finish(&result.err().unwrap_or_else(Status::ok));
}

async fn dispatch(
    agent: &Rc<Agent>,
    path: &str,
    requests: &mut Receiver,
    responses: &mut Sender,
) -> Result<(), Status> {
    match path {
        "/vmrunner.agent.v1.AgentService/Info" => info::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Exec" => exec::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Signal" => exec::signal(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/GetFile" => files::answer(agent, "get-file", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/PutFile" => files::answer(agent, "put-file", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/GetTree" => files::answer(agent, "get-tree", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/PutTree" => files::answer(agent, "put-tree", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Stat" => files::answer(agent, "stat", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/List" => files::answer(agent, "list", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/MakeDir" => files::answer(agent, "make-dir", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Remove" => files::answer(agent, "remove", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/GrowDisk" => files::answer(agent, "grow-disk", requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Usage" => usage::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Resume" => resume::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Enter" => enter::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/GetLayer" => layer::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/ResolveIP" => addresses::answer(requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Forward" => forward::answer(agent, requests, responses).await,
        "/vmrunner.agent.v1.AgentService/Shutdown" => shutdown::answer(agent, requests, responses).await,
        "/Agent/Exec" => tart::exec(agent, requests, responses).await,
        "/Agent/ResolveIP" => tart::resolve_ip(requests, responses).await,
        _ => {
            let message = format!("unknown method: {path}; the agent may be older than the client");
            Err(Status::new(Code::Unimplemented, "unknown-method", message))
        }
    }
}
