//! Users and groups as the root's own /etc/passwd and /etc/group name them: no NSS, since it is another system's root.

use crate::root;
use crate::rpc::status::{Code, Status};
use std::path::Path;

/// Who a program runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
    pub name: String,
    pub home: Option<String>,
    pub shell: String,
}

/// Finds a user in the files of a root.
pub fn of_root(root: &Path, wanted: &str) -> Result<Account, Status> {
    let (passwd, group) = (root::read_text(root, "etc/passwd"), root::read_text(root, "etc/group"));
    find(wanted, &passwd, &group).map_err(|unknown| {
        let message = format!("unknown {unknown}: not in the guest's /etc/passwd and /etc/group");
        Status::new(Code::FailedPrecondition, "unknown-user", message)
    })
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Finds "name", "uid", "name:group" or "uid:gid"; nothing means root. A number needs no entry. The error is what is unknown.
pub fn find(wanted: &str, passwd: &str, group: &str) -> Result<Account, String> {
    let (user, group_name) = match wanted.split_once(':') {
        Some((user, group_name)) => (user, Some(group_name)),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry = passwd_entries(passwd).find(|entry| match number {
        Some(uid) => entry.uid == uid,
        None => entry.name == user,
    });
    let mut account = match (entry, number) {
        (Some(entry), _) => Account {
            uid: entry.uid,
            gid: entry.gid,
            groups: Vec::new(),
            name: entry.name.to_owned(),
            home: Some(entry.home.to_owned()).filter(|home| home.starts_with('/')),
            shell: Some(entry.shell).filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh").to_owned(),
        },
        (None, Some(uid)) => nameless(uid),
        (None, None) => return Err(format!("user {user}")),
    };
    account.groups = match group_name {
        Some(name) => {
            account.gid = find_group(name, group).ok_or_else(|| format!("group {name}"))?;
            Vec::new()
        }
        None => group_entries(group)
            .filter(|entry| entry.members.split(',').any(|member| member == account.name))
            .map(|entry| entry.gid)
            .collect(),
    };
    account.groups.push(account.gid);
    account.groups.sort_unstable();
    account.groups.dedup();
    Ok(account)
}

fn nameless(uid: u32) -> Account {
    let (name, home) = if uid == 0 { ("root".to_owned(), Some("/root".to_owned())) } else { (uid.to_string(), None) };
    Account { uid, gid: 0, groups: Vec::new(), name, home, shell: "/bin/sh".to_owned() }
}

fn find_group(wanted: &str, group: &str) -> Option<u32> {
    wanted.parse().ok().or_else(|| group_entries(group).find(|entry| entry.name == wanted).map(|entry| entry.gid))
}

/// Lines that are not entries are skipped: a broken one must not lock everybody out.
fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next()?, fields.next()?);
        Some(PasswdEntry { name, uid, gid, home, shell: fields.next().unwrap_or_default() })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(GroupEntry { name, gid: fields.next()?.parse().ok()?, members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "# comment\nroot:x:0:0:root:/root:/bin/bash\nbroken:x:one:2\nci:x:1000:1001:CI:/home/ci:\nno::5:5::\n";
    const GROUP: &str = "root:x:0:\nci:x:1001:\ndocker:x:999:ci,other\nadm:x:4:ci\nlike:x:7:cider\n";

    #[test]
    fn nobody_in_particular_means_root() {
        let root = find("", PASSWD, GROUP).unwrap();
        assert_eq!((root.uid, root.gid, root.home.as_deref(), &*root.shell), (0, 0, Some("/root"), "/bin/bash"));
        assert_eq!(find("", "", "").unwrap().name, "root");
    }

    #[test]
    fn name_brings_its_groups_home_and_a_shell() {
        let ci = find("ci", PASSWD, GROUP).unwrap();
        assert_eq!((ci.uid, ci.gid, ci.groups), (1000, 1001, vec![4, 999, 1001]));
        assert_eq!((ci.home.as_deref(), &*ci.shell), (Some("/home/ci"), "/bin/sh"));
        assert_eq!(find("1000", PASSWD, GROUP).unwrap().name, "ci");
    }

    #[test]
    fn named_group_replaces_all_groups() {
        let ci = find("ci:docker", PASSWD, GROUP).unwrap();
        assert_eq!((ci.uid, ci.gid, ci.groups), (1000, 999, vec![999]));
        assert_eq!(find("77:88", PASSWD, GROUP).unwrap().groups, vec![88]);
    }

    #[test]
    fn number_without_an_entry_is_taken_as_it_is() {
        let account = find("4242", PASSWD, GROUP).unwrap();
        assert_eq!((account.uid, account.gid, &*account.name, account.home), (4242, 0, "4242", None));
    }

    #[test]
    fn what_is_unknown_is_named() {
        assert_eq!(find("nobody", PASSWD, GROUP).unwrap_err(), "user nobody");
        assert_eq!(find("ci:wheel", PASSWD, GROUP).unwrap_err(), "group wheel");
        assert_eq!(find("broken", PASSWD, GROUP).unwrap_err(), "user broken");
        assert_eq!(find("-1", PASSWD, GROUP).unwrap_err(), "user -1");
    }
}
