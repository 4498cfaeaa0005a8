//! `fsGroup`: whose a pod's own volumes are.

use std::io;
use std::os::fd::AsFd;

use api_types::core::Pod;

use super::dir::give;
use crate::pod::PodExt;

/// Group that every file of the pod's own volumes belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// `fsGroup`.
    pub group: Option<u32>,
    /// Who alone runs in the pod, if that is one user.
    pub user: Option<u32>,
}

/// What the group may do with the files of a volume.
const READ: u32 = 0o440;
const READ_AND_WRITE: u32 = 0o660;
/// Directories can be entered, and what is made in them belongs to the group too.
const ENTER: u32 = 0o2110;

/// What the group gets of one volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    group: Option<u32>,
    add: u32,
}

impl Share {
    /// The group's share of a volume that containers cannot write to.
    pub(super) fn read(ownership: Ownership) -> Self {
        Self { group: ownership.group, add: READ }
    }

    /// The group's share of a volume that containers can write to.
    pub(super) fn write(ownership: Ownership) -> Self {
        Self { group: ownership.group, add: READ_AND_WRITE }
    }

    /// The group itself.
    pub(super) fn group(self) -> Option<u32> {
        self.group
    }

    /// Permissions of a file that would have these without a group.
    pub(super) fn of_file(self, mode: u32) -> u32 {
        if self.group.is_some() { mode | self.add } else { mode }
    }

    /// Permissions of a directory that would have these without a group.
    pub(super) fn of_directory(self, mode: u32) -> u32 {
        if self.group.is_some() { mode | self.add | ENTER } else { mode }
    }

    /// Gives an open directory to the group.
    pub(super) fn give_directory(self, directory: impl AsFd + Copy) -> io::Result<()> {
        if self.group.is_none() { Ok(()) } else { give(directory, None, self.group, self.of_directory(0)) }
    }

    /// Gives an open file to the group, and to `user` if it is one user's.
    pub(super) fn give_file(self, file: impl AsFd + Copy, user: Option<u32>) -> io::Result<()> {
        if self.group.is_none() && user.is_none() {
            return Ok(());
        }
        give(file, user, self.group, self.of_file(0))
    }
}

impl Ownership {
    /// What the pod asks for.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let group = pod.pod_spec().security_context.as_ref().and_then(|context| context.fs_group);
        Self { group: group.and_then(|group| u32::try_from(group).ok()), user: only_user(pod) }
    }
}

/// The user of all containers, if all say the same.
fn only_user(pod: &Pod) -> Option<u32> {
    let of_pod = pod.pod_spec().security_context.as_ref().and_then(|context| context.run_as_user);
    let containers = pod.all_containers();
    let mut users = containers
        .iter()
        .map(|(_, container)| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_says_whose_its_volumes_are() {
        let cases = [
            (json!({}), [json!({}), json!({})], (None, None)),
            (json!({"fsGroup": 7, "runAsUser": 5}), [json!({}), json!({})], (Some(7), Some(5))),
            (json!({"runAsUser": 5}), [json!({"runAsUser": 6}), json!({})], (None, None)),
            (json!({}), [json!({"runAsUser": 6}), json!({"runAsUser": 6})], (None, Some(6))),
            (json!({}), [json!({"runAsUser": 6}), json!({})], (None, None)),
        ];
        for (of_pod, [a, b], (group, user)) in cases {
            let containers = json!([{"name": "a", "securityContext": a}, {"name": "b", "securityContext": b}]);
            let spec = json!({"securityContext": of_pod, "containers": containers});
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(Ownership::of(&pod), Ownership { group, user }, "{spec}");
        }
    }

    #[test]
    fn a_group_adds_permissions() {
        let ownership = Ownership { group: Some(7), user: None };
        assert_eq!(Share::read(ownership).of_file(0o400), 0o440);
        assert_eq!(Share::read(ownership).of_directory(0o755), 0o2755);
        assert_eq!(Share::write(ownership).of_directory(0o700), 0o2770);
        assert_eq!(Share::write(Ownership::default()).of_directory(0o777), 0o777);
    }
}
