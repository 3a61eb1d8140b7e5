//! `ResolveIP`: where the guest can be reached.

use crate::r#gen::agent::{ResolveIpRequest, ResolveIpResponse};
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use crate::system;

pub async fn answer(requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let ResolveIpRequest {} = requests.only().await?;
    let addresses: Vec<String> = system::global_addresses().iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        let message = "no address: no interface of the guest is up that others could reach";
        return Err(Status::new(Code::FailedPrecondition, "no-address", message));
    }
    Ok(responses.message(&ResolveIpResponse { addresses }).await?)
}
