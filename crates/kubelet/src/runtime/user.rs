//! Whose process a container's main process is, as the kernel tells it.

use std::fs;

use super::{ContainerState, ContainerStatus, LinuxUser};

/// Fills in the user of a container that runs. One that has ended meanwhile has none.
pub(super) fn find(status: &mut ContainerStatus) {
    if let ContainerState::Running { pid, .. } = status.state {
        status.user = fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|text| parse(&text));
    }
}

/// The real ids. The primary group is the first of all, as other runtimes tell them.
fn parse(status: &str) -> Option<LinuxUser> {
    let ids = |name: &str| -> Option<Vec<i64>> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().map(|id| id.parse().ok()).collect()
    };
    let (uid, gid) = (*ids("Uid")?.first()?, *ids("Gid")?.first()?);
    let others = ids("Groups")?.into_iter().filter(|group| *group != gid);
    Some(LinuxUser { uid, gid, groups: std::iter::once(gid).chain(others).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_or_left_out() {
        let user = |uid, gid, groups: &[i64]| Some(LinuxUser { uid, gid, groups: groups.to_vec() });
        for (text, expected) in [
            ("Name:\tsh\nUid:\t7\t0\t0\t0\nGid:\t8\t8\t8\t8\nGroups:\t6 8 10 \n", user(7, 8, &[8, 6, 10])),
            ("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t0 \n", user(0, 0, &[0])),
            ("Uid:\t0\t0\t0\t0\nGid:\t5\t0\t0\t0\nGroups:\t \n", user(0, 5, &[5])),
            ("Uid:\tx\nGid:\t5\nGroups:\t\n", None),
            ("Uid:\t\nGid:\t5\nGroups:\t\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
