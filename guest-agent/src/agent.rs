//! What all sessions share: how this agent came up, what it runs, and how that ends.

use crate::r#gen::agent::Root;
use crate::identity::Identity;
use crate::image::Image;
use crate::image::limits::Limits;
use crate::image::room::Room;
use crate::init;
use crate::init::disks::{self, Disks};
use crate::process::group::Groups;
use crate::process::reap::Reaper;
use crate::process::script::ScriptFile;
use crate::process::tree::{Bond, Tree};
use crate::root;
use crate::rpc::status::{Code, Status};
use crate::smolvm;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Where PID 1 mounts the base root.
pub const BASE_ROOT: &str = "/base";

/// Programs and file workers at a time: a client that starts them in a loop must not take the whole guest.
const MOST_RUNNING: usize = 1024;

/// The agent's own program, whatever became of the file that it was started from.
const OWN_PROGRAM: &CStr = c"/proc/self/exe";

/// Which part of the guest the agent is.
pub enum Place {
    /// A program among others, with the system's own root.
    Service,
    /// PID 1, with the base root mounted below it.
    Init(Boot),
}

/// What PID 1 did before it served anybody.
pub struct Boot {
    /// The base root, or the sentence why there is none.
    pub base: Result<PathBuf, String>,
    pub disks: Disks,
    /// Steps reached, with the milliseconds of uptime.
    pub marks: RefCell<Vec<(&'static str, u64)>>,
}

impl Boot {
    pub fn base(&self) -> Result<&Path, Status> {
        self.base.as_deref().map_err(|why| no_root(why))
    }

    /// The disk of an image's slot, also when it has appeared since.
    pub fn disk_of(&self, slot: u32) -> Result<PathBuf, Status> {
        let late = || Disks::find(Path::new(disks::BLOCK_DEVICES)).slot(slot).map(Path::to_owned);
        self.disks.slot(slot).map(Path::to_owned).or_else(late).ok_or_else(|| {
            let message = format!("no disk of an image: slot {slot}; none has the serial slot{slot}");
            Status::new(Code::FailedPrecondition, "no-image", message)
        })
    }
}

pub fn no_root(why: &str) -> Status {
    Status::new(Code::FailedPrecondition, "no-root", format!("no root is mounted: {why}"))
}

/// A program that a client left behind.
pub struct Ending {
    pub tree: Tree,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Removed when the program is gone.
    _script: Option<ScriptFile>,
}

pub struct Agent {
    pub place: Place,
    /// What file workers are started from: this program, which is not the agent where a test is.
    pub worker_program: CString,
    pub reaper: Reaper,
    pub image: RefCell<Image>,
    pub identity: RefCell<Identity>,
    /// SmolVM requests that may still be taken.
    pub smolvm_requests: Semaphore,
    groups: RefCell<Groups>,
    running: RefCell<HashMap<i32, Tree>>,
    endings: mpsc::UnboundedSender<Ending>,
    ended: Cell<Option<mpsc::UnboundedReceiver<Ending>>>,
}

impl Agent {
    pub fn service() -> Rc<Self> {
        Self::new(Place::Service, OWN_PROGRAM)
    }

    pub fn init(boot: Boot) -> Rc<Self> {
        Self::new(Place::Init(boot), OWN_PROGRAM)
    }

    pub fn new(place: Place, worker_program: &CStr) -> Rc<Self> {
        let (endings, ended) = mpsc::unbounded_channel();
        Rc::new(Self {
            place,
            worker_program: worker_program.to_owned(),
            reaper: Reaper::default(),
            image: RefCell::default(),
            identity: RefCell::default(),
            smolvm_requests: Semaphore::new(smolvm::MAX_REQUESTS),
            groups: RefCell::new(Groups::find()),
            running: RefCell::default(),
            endings,
            ended: Cell::new(Some(ended)),
        })
    }

    pub fn boot(&self) -> Option<&Boot> {
        match &self.place {
            Place::Service => None,
            Place::Init(boot) => Some(boot),
        }
    }

    /// Notes a step of the boot; a service has none.
    pub fn mark(&self, name: &'static str) {
        if let Some(boot) = self.boot() {
            init::mark(&mut boot.marks.borrow_mut(), name);
        }
    }

    /// The root that paths, programs and users are looked up in.
    pub fn root(&self, wanted: Root) -> Result<root::Place, Status> {
        let Some(boot) = self.boot() else { return Ok(root::Place { path: "/".into(), room: None }) };
        match (&*self.image.borrow(), wanted) {
            (Image::Entered(room), wanted) if wanted != Root::Base || room.slot == 0 => {
                Ok(root::Place { path: room.root.clone(), room: Some(Rc::clone(room)) })
            }
            (Image::Lost(why), wanted) if wanted != Root::Base => Err(no_root(why)),
            _ => Ok(root::Place { path: boot.base()?.to_owned(), room: None }),
        }
    }

    /// The image root that was entered and is still there.
    pub fn room(&self) -> Option<Rc<Room>> {
        match &*self.image.borrow() {
            Image::Entered(room) => Some(Rc::clone(room)),
            Image::Absent | Image::Lost(_) => None,
        }
    }

    pub fn has_groups(&self) -> bool {
        self.groups.borrow().available()
    }

    pub fn image_group(&self, limits: &Limits) -> io::Result<PathBuf> {
        self.groups.borrow().image(limits)
    }

    pub fn new_group(&self, image: Option<&Path>) -> Option<(PathBuf, OwnedFd)> {
        self.groups.borrow_mut().make(image)
    }

    /// Whether one more program may run.
    pub fn admit(&self) -> Result<(), Status> {
        if self.running.borrow().len() < MOST_RUNNING {
            return Ok(());
        }
        let message = format!("too many programs: {MOST_RUNNING} run already; wait until one of them has ended");
        Err(Status::new(Code::ResourceExhausted, "too-many", message))
    }

    /// The processes of a program that runs, by the number that its start told.
    pub fn running(&self, pid: i32) -> Option<Tree> {
        self.running.borrow().get(&pid).cloned()
    }

    pub fn give_back(&self, group: &Path) {
        self.groups.borrow_mut().give_back(group);
    }

    /// Notes a program that runs now; what is returned ends it.
    pub fn began(&self, tree: Tree, grace: Duration, script: Option<ScriptFile>) -> Ending {
        self.running.borrow_mut().insert(tree.pid, tree.clone());
        Ending { tree, grace, _script: script }
    }

    /// The program is over.
    pub fn forget(&self, tree: &Tree) {
        self.running.borrow_mut().remove(&tree.pid);
        if let Bond::Cgroup(folder) = &tree.bond {
            self.give_back(folder);
        }
    }

    /// Ends a tree in the background: whoever asks is being dropped and cannot wait.
    pub fn end(&self, ending: Ending) {
        if let Err(mpsc::error::SendError(ending)) = self.endings.send(ending) {
            ending.tree.signal(libc::SIGKILL);
        }
    }

    /// Ends what clients left behind, for ever.
    pub async fn end_what_was_left(&self) {
        let Some(mut ended) = self.ended.take() else { return };
        let mut trees = JoinSet::new();
        loop {
            tokio::select! {
                ending = ended.recv() => {
                    let Some(ending) = ending else { return };
                    trees.spawn_local(async move {
                        ending.tree.end(ending.grace).await;
                        ending.tree
                    });
                }
                Some(tree) = trees.join_next() => {
                    if let Ok(tree) = tree {
                        self.forget(&tree);
                    }
                }
            }
        }
    }

    /// Ends everything this agent runs, whatever grace its clients gave it.
    pub async fn end_all(&self, bound: Duration) {
        let deadline = Instant::now() + bound;
        let all = || self.running.borrow().values().cloned().collect::<Vec<_>>();
        for tree in all() {
            tree.signal(libc::SIGTERM);
        }
        while !self.running.borrow().is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        for tree in all() {
            tree.end(Duration::ZERO).await;
            self.forget(&tree);
        }
        self.groups.borrow().remove();
    }
}
