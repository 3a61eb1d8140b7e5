//! `Resume`: what a guest must be told after it came up or was cloned.

use crate::agent::Agent;
use crate::r#gen::agent::{Network, ResumeRequest, ResumeResponse, Root};
use crate::identity::{self, Identity};
use crate::init::network::{self, Address};
use crate::init::random;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::Status;
use crate::system;
use std::io;
use std::path::Path;
use std::rc::Rc;

const LEAST_ENTROPY: usize = 32;

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let request: ResumeRequest = requests.only().await?;
    let network = check(&request)?;
    let mut done = Vec::new();
    if agent.boot().is_some() && system::is_root() {
        // The clock first: whatever is written below should carry the right time.
        if request.unix_nanos > 0 {
            note(&mut done, "clock", system::set_clock(request.unix_nanos));
        }
        if !request.entropy.is_empty() {
            note(&mut done, "entropy", random::reseed(&request.entropy));
        }
        let root = agent.root(Root::Base).ok();
        let root = root.as_ref().map(|root| root.path.as_path());
        if !request.hostname.is_empty() {
            note(&mut done, "hostname", identity::set_hostname(root, &request.hostname));
        }
        if !request.machine_id.is_empty() {
            let set = root.map_or(Ok(()), |root| identity::set_machine_id(root, &request.machine_id));
            note(&mut done, "machine-id", set);
        }
        note(&mut done, "network", set_network(root, network.as_ref(), request.network.as_ref()));
        let nameservers = request.network.map(|network| network.nameservers).unwrap_or_default();
        agent.identity.replace(Identity { hostname: request.hostname, machine_id: request.machine_id, nameservers });
    }
    Ok(responses.message(&ResumeResponse { done }).await?)
}

/// What could not be done is missing in the answer, and stands on the console.
fn note(done: &mut Vec<String>, what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => done.push(what.to_owned()),
        Err(error) => eprintln!("vm-agent: cannot resume: {what}: {error}"),
    }
}

/// Nothing is done by halves: all of the request is read before any of it is acted on.
pub fn check(request: &ResumeRequest) -> Result<Option<Address>, Status> {
    if !request.entropy.is_empty() && request.entropy.len() < LEAST_ENTROPY {
        let message = format!("too little entropy: {} bytes; send at least {LEAST_ENTROPY}", request.entropy.len());
        return Err(Status::invalid("bad-entropy", message));
    }
    if !request.hostname.is_empty() && !identity::is_hostname(&request.hostname) {
        return Err(Status::invalid("bad-hostname", format!("not a host name: {:?}", request.hostname)));
    }
    if !request.machine_id.is_empty() && !identity::is_machine_id(&request.machine_id) {
        let message = format!("not a machine id: {:?}; send 32 hex digits", request.machine_id);
        return Err(Status::invalid("bad-machine-id", message));
    }
    request.network.as_ref().map(address).transpose()
}

fn address(network: &Network) -> Result<Address, Status> {
    let parse =
        |text: &str| text.parse().map_err(|_| Status::invalid("bad-network", format!("not an IPv4 address: {text:?}")));
    if network.prefix_length > 32 {
        return Err(Status::invalid("bad-network", format!("not a prefix length: {}", network.prefix_length)));
    }
    for nameserver in &network.nameservers {
        if nameserver.parse::<std::net::IpAddr>().is_err() {
            return Err(Status::invalid("bad-network", format!("not the address of a name server: {nameserver:?}")));
        }
    }
    let gateway = if network.gateway.is_empty() { None } else { Some(parse(&network.gateway)?) };
    Ok(Address { own: parse(&network.address)?, prefix_length: network.prefix_length, gateway })
}

fn set_network(root: Option<&Path>, address: Option<&Address>, network: Option<&Network>) -> io::Result<()> {
    let (Some(address), Some(network)) = (address, network) else { return network::down() };
    network::configure(address)?;
    match root {
        Some(root) if !network.nameservers.is_empty() => identity::set_nameservers(root, &network.nameservers),
        _ => Ok(()),
    }
}
