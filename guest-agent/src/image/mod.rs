//! The image root: a root of its own in namespaces of its own, with the conventions of container engines in it.

pub mod config;
pub mod holder;
mod layout;
pub mod limits;
pub mod mark;
pub mod plan;
pub mod room;

use crate::agent::Agent;
use crate::init::mount;
use crate::process::user;
use crate::rpc::status::{Code, Status};
use crate::{identity, root};
use holder::Holder;
use plan::Plan;
use room::Room;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What became of the image root so far.
#[derive(Default)]
pub enum Image {
    /// Nothing was asked for yet: it is the base root.
    #[default]
    Absent,
    Entered(Rc<Room>),
    /// There was to be one; this sentence says what happened.
    Lost(String),
}

/// Makes the image root as planned. One that failed leaves none: the guest answers, and is of no use to the job.
pub async fn enter(agent: &Rc<Agent>, plan: Plan) -> Result<Rc<Room>, Status> {
    let Some(boot) = agent.boot() else {
        let message =
            "not the guest's init: an agent that is a service has no disks of images; run the job in its own root";
        return Err(Status::new(Code::FailedPrecondition, "not-init", message));
    };
    if !matches!(*agent.image.borrow(), Image::Absent) {
        let message = "an image was entered already: a guest is for one job; make a new guest";
        return Err(Status::new(Code::FailedPrecondition, "already-entered", message));
    }
    let base = boot.base()?.to_owned();
    let device = match plan.slot {
        0 => None,
        slot => Some(boot.disk_of(slot)?),
    };
    agent.image.replace(Image::Lost("the image is being entered; wait for the answer".to_owned()));
    let entered = make(agent, plan, &base, device).await;
    agent.image.replace(match &entered {
        Ok(room) => Image::Entered(Rc::clone(room)),
        Err(status) => Image::Lost(format!("the image could not be entered: {}", status.message)),
    });
    entered
}

async fn make(agent: &Rc<Agent>, plan: Plan, base: &Path, device: Option<PathBuf>) -> Result<Rc<Room>, Status> {
    let failed = |what: &str, error: io::Error| setup_failed(format!("cannot {what}: {error}"));
    plan.limits.raise_ceiling();
    let shared = share(&plan, base).map_err(|error| failed("make the shared directories", error))?;
    let cgroup = agent.image_group(&plan.limits).map_err(|error| failed("make a cgroup for the image", error))?;
    let owners: Vec<String> = plan.shared.iter().map(|directory| directory.owner.clone()).collect();
    let etc = identity::files(&agent.identity.borrow(), &plan.hosts);
    let orders = layout::Orders { plan: &plan, base, device: device.as_deref(), shared: &shared, etc: &etc };
    let holder = Holder::fork(agent, &orders, &cgroup).map_err(|error| failed("make the image's namespaces", error))?;
    let Holder { pid, end, report } = holder;
    let failure = holder::read_report(report).await;
    let room = match failure {
        Some(status) => Err(status),
        None => Room::open(pid, plan, cgroup, device).map_err(|error| failed("use the image's namespaces", error)),
    };
    // Users whom the image does not know are the one mistake that can only be seen in it.
    let room = room.and_then(|room| {
        user::of_root(&room.root, &room.config.user)?;
        for (owner, folder) in owners.iter().zip(&shared).filter(|(owner, _)| !owner.is_empty()) {
            let account = user::of_root(&room.root, owner)?;
            chown(folder, Some(account.uid), Some(account.gid))
                .map_err(|error| failed("give a shared directory to its owner", error))?;
        }
        Ok(Rc::new(room))
    });
    match room {
        Ok(_) => holder::watch(agent, end),
        Err(_) => holder::discard(pid, end),
    }
    room
}

/// Directories of the scratch disk that both roots show: made, and bound into the base root.
fn share(plan: &Plan, base: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for (number, directory) in plan.shared.iter().enumerate() {
        let folder = Path::new(mount::SCRATCH).join("shared").join(number.to_string());
        fs::create_dir_all(&folder)?;
        layout::set_mode(&folder, directory.mode)?;
        if plan.slot != 0 {
            let target = root::make_directories(base, &directory.path)?;
            mount::bind(&folder, &root::path_of(&target))?;
        }
        made.push(folder);
    }
    Ok(made)
}

fn setup_failed(sentence: String) -> Status {
    Status::new(Code::Internal, "setup-failed", sentence)
}
