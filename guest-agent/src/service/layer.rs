//! `GetLayer`: what the job changed, read while nothing of it runs.

use super::files;
use crate::agent::Agent;
use crate::r#gen::agent::{GetLayerRequest, Root};
use crate::image::room::Room;
use crate::init::mount;
use crate::rpc::frame;
use crate::rpc::receiver::Receiver;
use crate::rpc::sender::Sender;
use crate::rpc::status::{Code, Status};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A process that waits for a disk stops when that has answered.
const FREEZE_BOUND: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

pub async fn answer(agent: &Rc<Agent>, requests: &mut Receiver, responses: &mut Sender) -> Result<(), Status> {
    let request: GetLayerRequest = requests.only().await?;
    agent.root(Root::Image)?;
    let Some(room) = agent.room() else {
        let message = "no image was entered: there are no changes to tell; call Enter first";
        return Err(Status::new(Code::FailedPrecondition, "no-image", message));
    };
    let frozen = if request.live { None } else { Some(Frozen::new(&room).await) };
    let _frozen = frozen.transpose().map_err(|error| Status::from_io(&error, "the image's cgroup"))?;
    let writes = Path::new(mount::SCRATCH).join(if room.slot == 0 { "base" } else { "image" });
    let device = room.device.clone().unwrap_or_default();
    let paths = [room.root.clone(), writes.join("upper"), mount::lower_folder(room.slot), device];
    let [merged, upper, lower, device] = paths.map(|path| path.to_string_lossy().into_owned());
    let arguments = ["get-layer", &merged, &upper, &lower, &device];
    files::run(agent, &arguments, frame::encode(&request), requests, responses).await
}

/// The programs of the image stand still as long as this lives.
struct Frozen(PathBuf);

impl Frozen {
    async fn new(room: &Room) -> io::Result<Self> {
        let frozen = Self(room.cgroup.clone());
        fs::write(frozen.0.join("cgroup.freeze"), "1")?;
        let deadline = Instant::now() + FREEZE_BOUND;
        while !fs::read_to_string(frozen.0.join("cgroup.events"))?.contains("frozen 1") && Instant::now() < deadline {
            sleep(POLL).await;
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.freeze"), "0");
    }
}
