//! What programs of the image root may use: alone, and all together.

use crate::r#gen::agent::ProcessLimits;
use crate::rpc::status::Status;
use std::fs;

/// As prlimit names them, with their numbers on Linux.
const RESOURCES: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];
const NOFILE: u32 = 7;
/// Old programs close every descriptor that they may have, one by one; the hard limit is what engines give.
const USUAL_FILES: Resource = Resource { number: NOFILE, soft: 1 << 16, hard: 1 << 20 };
/// What the kernel allows at most, for all of the guest.
const CEILING: &str = "/proc/sys/fs/nr_open";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resource {
    pub number: u32,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub resources: Vec<Resource>,
    /// Of all processes of the image root together; 0: none.
    pub pids: u64,
    pub memory_bytes: u64,
    /// 0: half of the memory.
    pub shm_bytes: u64,
}

impl Limits {
    pub fn new(limits: &ProcessLimits) -> Result<Self, Status> {
        let mut resources = vec![USUAL_FILES];
        for limit in &limits.resources {
            let bad = |why: &str| Status::invalid("bad-limit", format!("{why}: {:?}", limit.name));
            let known = RESOURCES.iter().find(|(name, _)| *name == limit.name);
            let &(_, number) = known.ok_or_else(|| bad("not a resource that can be limited"))?;
            if limit.soft > limit.hard {
                return Err(bad("the soft limit is above the hard one"));
            }
            resources.retain(|other| other.number != number);
            resources.push(Resource { number, soft: limit.soft, hard: limit.hard });
        }
        Ok(Self { resources, pids: limits.pids, memory_bytes: limits.memory_bytes, shm_bytes: limits.shm_bytes })
    }

    /// Lets the kernel grant as many open files as were asked for. Where it does not, starting a program says so.
    pub fn raise_ceiling(&self) {
        let wanted = self.resources.iter().find(|resource| resource.number == NOFILE).map_or(0, |files| files.hard);
        // The kernel's own ceiling is the usual limit.
        if wanted > USUAL_FILES.hard {
            let ceiling = fs::read_to_string(CEILING).unwrap_or_default().trim().parse::<u64>();
            if ceiling.is_ok_and(|ceiling| ceiling < wanted) {
                let _ = fs::write(CEILING, wanted.to_string());
            }
        }
    }
}

/// Sets them for this process. Runs between fork and exec.
pub fn apply(resources: &[Resource]) -> bool {
    resources.iter().all(|resource| {
        let limit = libc::rlimit { rlim_cur: resource.soft, rlim_max: resource.hard };
        // SAFETY: the limit outlives the call.
        unsafe { libc::setrlimit(resource.number as _, &raw const limit) == 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::r#gen::agent::ResourceLimit;

    #[test]
    fn what_is_asked_for_replaces_the_usual_and_the_last_one_counts() {
        assert_eq!(Limits::new(&ProcessLimits::default()).unwrap().resources, [USUAL_FILES]);
        let limit = |name: &str, soft, hard| ResourceLimit { name: name.into(), soft, hard };
        let resources = vec![limit("nofile", 1, 2), limit("core", 0, u64::MAX), limit("nofile", 3, 4)];
        let limits = Limits::new(&ProcessLimits { resources, ..ProcessLimits::default() }).unwrap();
        let core = Resource { number: 4, soft: 0, hard: u64::MAX };
        assert_eq!(limits.resources, [core, Resource { number: NOFILE, soft: 3, hard: 4 }]);
    }

    #[test]
    fn numbers_are_those_of_this_kernel() {
        for (name, number) in [
            ("nproc", i64::from(libc::RLIMIT_NPROC)),
            ("nofile", i64::from(libc::RLIMIT_NOFILE)),
            ("memlock", i64::from(libc::RLIMIT_MEMLOCK)),
            ("rttime", i64::from(libc::RLIMIT_RTTIME)),
        ] {
            assert!(RESOURCES.map(|(name, number)| (name, i64::from(number))).contains(&(name, number)), "{name}");
        }
    }
}
