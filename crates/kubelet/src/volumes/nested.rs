//! Volumes mounted inside volumes: the mount points must be there before the outer one is mounted read-only.

use std::path::{Path, PathBuf};

use api_types::core::Pod;

use super::dir::{Dir, Mounts, is_directory};
use crate::pod::PodExt;

/// Permissions of a mount point.
const POINT: u32 = 0o755;

/// Paths in the volume on which some container of the pod mounts something else, the outermost only.
#[must_use]
pub(super) fn mount_points(pod: &Pod, volume: &str) -> Vec<PathBuf> {
    let mut points = Vec::new();
    for (_, container) in pod.every_container() {
        let mounts = || container.volume_mounts.iter().flatten();
        let mut paths: Vec<&Path> = mounts().map(|mount| Path::new(&mount.mount_path)).collect();
        paths.sort();
        for own in mounts().filter(|mount| mount.name == volume) {
            let below = paths.iter().filter_map(|path| path.strip_prefix(&own.mount_path).ok());
            let mut outermost: Option<&Path> = None;
            for point in below.filter(|point| !point.as_os_str().is_empty()) {
                if outermost.is_none_or(|outer| !point.starts_with(outer)) {
                    outermost = Some(point);
                    points.push(point.to_owned());
                }
            }
        }
    }
    points
}

/// Makes a mount point, unless something else is in its place.
pub(super) fn make(volume: &Dir, point: &Path) -> std::io::Result<()> {
    let mut here = volume.reopen()?;
    for component in point.components() {
        here = match here.find(component)? {
            None => here.make_new(component.as_os_str(), POINT)?,
            Some(found) if is_directory(&found) => here.enter(component, Mounts::Enter)?,
            Some(_) => return Ok(()),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_mounted_in_a_volume_has_a_place() {
        let cases = [
            (json!([["v", "/a"], ["w", "/a/b"]]), vec!["b"]),
            (json!([["v", "/a/"], ["w", "/a/b/c"], ["x", "/a/b/c/d"]]), vec!["b/c"]),
            (json!([["w", "/ab"], ["v", "/a"], ["w", "/"]]), vec![]),
            (json!([["v", "/a"], ["v", "/b"], ["w", "/a/x"], ["w", "/b/y"]]), vec!["x", "y"]),
        ];
        for (mounts, expected) in cases {
            let mounts: Vec<_> =
                mounts.as_array().unwrap().iter().map(|m| json!({"name": m[0], "mountPath": m[1]})).collect();
            let spec = json!({"containers": [{"name": "c", "volumeMounts": mounts}]});
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(mount_points(&pod, "v"), expected, "{mounts:?}");
        }
    }

    #[test]
    fn mount_points_are_made_in_the_volume_alone() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let volume = Dir::open(root.path()).unwrap();
        for _ in 0..2 {
            for point in ["a/b", "link/b"] {
                make(&volume, Path::new(point)).unwrap();
            }
        }
        assert!(make(&volume, Path::new("../b")).is_err());
        assert!(root.path().join("a/b").is_dir());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
