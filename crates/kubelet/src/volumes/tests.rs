//! Whole volumes on a real disk, with containers that do what they can against the node.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use super::mounts::MountError;
use super::payload::Tokens;
use super::testing::{Disk, needs_root};
use super::*;
use crate::env::Allocatable;
use crate::objects::testing::FixedObjects;
use crate::runtime::{Mount, PodUid};

/// A pod with these volumes and mounts, on this disk.
struct Machine {
    disk: Disk,
    pod: Pod,
}

impl Machine {
    fn new(volumes: Value, mounts: Value, context: Value) -> Self {
        let containers = json!([{"name": "c", "volumeMounts": mounts}]);
        let spec = json!({"volumes": volumes, "containers": containers, "securityContext": context});
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u"});
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        Self { disk: Disk::new(), pod }
    }

    fn directory(&self) -> PodDirectory {
        PodDirectory::new(self.disk.path(), &PodUid("u".into()))
    }

    /// What a kubelet does that knows nothing of an earlier one.
    async fn set_up(&self, secret: &str) -> SetUp {
        let objects = FixedObjects::new(
            json!([{"metadata": {"name": "cm"}, "data": {"key": "text"}}]),
            json!([{"metadata": {"name": "s"}, "stringData": {}, "data": {"pw": secret}}]),
        );
        let sources = PayloadSources {
            pod: &self.pod,
            ips: &[],
            node_ips: &[],
            allocatable: &Allocatable::new(),
            claimed: &Claimed::default(),
            objects: &objects,
            tokens: &Tokens::new(),
        };
        super::set_up(&sources, &self.directory()).await
    }

    async fn mounts(&self) -> Result<Vec<Mount>, MountError> {
        let set_up = self.set_up("eA==").await;
        assert!(set_up.failed.is_empty(), "{:?}", set_up.failed);
        let container = self.pod.pod_spec().containers[0].clone();
        let env = vec![("POD".to_owned(), "p1".to_owned()), ("EMPTY".to_owned(), String::new())];
        let sources = MountSources { container, volumes: set_up.volumes, env, directory: self.directory() };
        tokio::task::spawn_blocking(move || sources.mounts()).await.unwrap()
    }

    fn mounted(&self) -> usize {
        mount_table::at_or_below(self.disk.path()).unwrap().len()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn all_kinds() -> Value {
    json!([
        {"name": "empty", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "map", "configMap": {"name": "cm"}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 256}},
        {"name": "down", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "cm"}}]}},
        {"name": "unused", "nfs": {"server": "s", "path": "/"}},
    ])
}

fn mount_all() -> Value {
    let names = ["empty", "memory", "map", "secret", "down", "all"];
    names.iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect()
}

#[tokio::test]
async fn volumes_are_where_and_how_they_should_be() {
    if !needs_root() {
        return;
    }
    let machine = Machine::new(all_kinds(), mount_all(), json!({"fsGroup": 77}));
    let mounts = machine.mounts().await.unwrap();
    let by_name = |name: &str| mounts.iter().find(|mount| mount.container_path == format!("/{name}")).unwrap();
    let cases = [
        ("empty", "empty-dir", false, 0o2777, None),
        ("memory", "empty-dir", false, 0o2777, None),
        ("map", "configmap", true, 0o2755, Some(("key", "text", 0o644))),
        ("secret", "secret", true, 0o2755, Some(("pw", "x", 0o440))),
        ("down", "downward-api", true, 0o2755, Some(("name", "p", 0o644))),
        ("all", "projected", true, 0o2755, Some(("pw", "x", 0o644))),
    ];
    let root = machine.directory().path();
    let disk = fs::metadata(machine.disk.path()).unwrap().dev();
    for (name, plugin, read_only, wanted, file) in cases {
        let found = by_name(name);
        assert_eq!(found.host_path, root.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name));
        assert_eq!((found.read_only, mode(&found.host_path)), (read_only, wanted), "{name}");
        let metadata = fs::metadata(&found.host_path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 77), "{name}");
        assert_eq!(metadata.dev() == disk, ["empty", "map"].contains(&name), "what {name} is on");
        if let Some((file, text, wanted)) = file {
            let file = found.host_path.join(file);
            assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file)), (text, wanted), "{name}");
        }
    }
    for private in ["", "volumes", "volumes/kubernetes.io~secret", "volumes/kubernetes.io~empty-dir"] {
        assert_eq!(mode(&root.join(private)), 0o750, "{private}");
    }
    assert!(fs::write(by_name("memory").host_path.join("big"), vec![0; 2 << 20]).is_err(), "the limit holds");
    machine.directory().remove().await.unwrap();
    assert!(!root.exists() && machine.mounted() == 0);
}

#[tokio::test]
async fn one_volume_that_fails_does_not_stop_the_others() {
    let volumes = json!([
        {"name": "a", "nfs": {"server": "s", "path": "/"}},
        {"name": "b", "configMap": {"name": "absent"}},
        {"name": "c", "emptyDir": {}},
        {"name": "d", "emptyDir": {"medium": "Drum"}},
    ]);
    let mounts: Value =
        ["a", "b", "c", "d"].iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    let machine = Machine::new(volumes, mounts, json!({}));
    let set_up = machine.set_up("").await;
    assert_eq!(set_up.volumes.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!(
        set_up.complaints(),
        [
            "MountVolume.SetUp failed for volume \"b\" : configmap \"absent\" not found",
            "MountVolume.SetUp failed for volume \"d\" : unknown storage medium \"Drum\"",
            "Unable to attach or mount volumes: unmounted volumes=[a b d], unattached volumes=[], failed to process \
             volumes=[a]: failed to get Plugin from volumeSpec for volume \"a\" err=no volume plugin matched",
        ]
    );
}

#[tokio::test]
async fn a_restarted_kubelet_finds_the_volumes_again() {
    if !needs_root() {
        return;
    }
    let machine = Machine::new(all_kinds(), mount_all(), json!({}));
    let volumes = machine.set_up("eA==").await.volumes;
    let mounted = machine.mounted();
    for name in ["empty", "memory"] {
        fs::write(volumes[name].path.join("kept"), "text").unwrap();
        fs::set_permissions(&volumes[name].path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(machine.set_up("eQ==").await.volumes, volumes);
    assert_eq!(machine.mounted(), mounted, "nothing is mounted twice");
    for name in ["empty", "memory"] {
        assert_eq!(fs::read_to_string(volumes[name].path.join("kept")).unwrap(), "text");
        assert_eq!(mode(&volumes[name].path), 0o700, "what a container made of it");
    }
    assert_eq!(fs::read_to_string(volumes["secret"].path.join("pw")).unwrap(), "y");
    // The node has been restarted: what was mounted is not.
    for name in ["memory", "secret"] {
        nix::mount::umount(&volumes[name].path).unwrap();
    }
    machine.set_up("eQ==").await;
    assert_eq!(machine.mounted(), mounted);
    assert_eq!(fs::read_to_string(volumes["secret"].path.join("pw")).unwrap(), "y");
    machine.directory().remove().await.unwrap();
    assert!(!machine.directory().path().exists() && machine.mounted() == 0);
}

#[tokio::test]
async fn cleaning_up_goes_on_where_a_crash_ended_it() {
    if !needs_root() {
        return;
    }
    let mounts = json!([{"name": "empty", "mountPath": "/a", "subPath": "part"},
        {"name": "secret", "mountPath": "/b", "subPath": "pw"}, {"name": "memory", "mountPath": "/c"}]);
    let machine = Machine::new(all_kinds(), mounts, json!({}));
    let directory = machine.directory();
    let volume = |plugin: &str, name: &str| directory.volume(plugin, name);
    let steps: [&dyn Fn(); 5] = [
        &|| {},
        &|| fs::remove_dir_all(directory.path().join("volumes/kubernetes.io~downward-api")).unwrap_or_default(),
        &|| nix::mount::umount(&volume("empty-dir", "memory")).unwrap(),
        &|| nix::mount::umount(&directory.sub_path("empty", "c", 0)).unwrap(),
        &|| fs::create_dir(volume("empty-dir", ".unfinished")).unwrap(),
    ];
    for crash in steps {
        machine.mounts().await.unwrap();
        crash();
        let again = PodDirectory::new(machine.disk.path(), &PodUid("u".into()));
        again.remove().await.unwrap();
        assert!(!directory.path().exists() && machine.mounted() == 0);
        again.remove().await.unwrap();
    }
    fs::create_dir_all(directory.path().join("volumes/kubernetes.io~tape/t")).unwrap();
    let error = directory.remove().await.unwrap_err();
    assert!(error.to_string().contains("kubernetes.io~tape"), "{error}");
    assert!(directory.path().join("volumes/kubernetes.io~tape/t").exists(), "what nobody knows stays");
}

#[tokio::test]
async fn what_containers_leave_in_a_volume_is_no_danger() {
    if !needs_root() {
        return;
    }
    let machine = Machine::new(all_kinds(), mount_all(), json!({}));
    let volumes = machine.set_up("eA==").await.volumes;
    let outside = machine.disk.canary().parent().unwrap().to_owned();
    for name in ["empty", "memory"] {
        let volume = &volumes[name].path;
        fs::create_dir_all(volume.join("dir/mount")).unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        mount(Some(&outside), &volume.join("dir/mount"), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    // The name of a mount is not what leads to it.
    let volume = &volumes["empty"].path;
    fs::rename(volume.join("dir"), volume.join("moved")).unwrap();
    symlink("/", volume.join("dir")).unwrap();
    machine.directory().remove().await.unwrap();
    assert!(!machine.directory().path().exists() && machine.mounted() == 0);
    assert!(machine.disk.canary_lives());
}

#[tokio::test]
async fn sub_paths_stay_in_the_volume() {
    if !needs_root() {
        return;
    }
    let create = || MountError::Create { volume: "v".into(), container: "c".into() };
    let cases = [
        (json!({"subPath": "inside"}), Ok(Some("inside"))),
        (json!({"subPath": "file"}), Ok(Some("file"))),
        (json!({"subPath": "new/deep"}), Ok(Some("new/deep"))),
        (json!({"subPath": "inside/./new"}), Ok(Some("inside/new"))),
        (json!({"subPath": "in"}), Ok(Some("inside"))),
        (json!({"subPath": "inside/up"}), Ok(Some("inside"))),
        (json!({"subPath": "in/made"}), Ok(Some("inside/made"))),
        (json!({"subPathExpr": "$(POD)/x"}), Ok(Some("p1/x"))),
        (json!({"subPath": "."}), Ok(Some(""))),
        (json!({"subPath": ""}), Ok(None)),
        (json!({"subPath": "out"}), Err(create())),
        (json!({"subPath": "out/canary"}), Err(create())),
        (json!({"subPath": "out/new"}), Err(create())),
        (json!({"subPath": "far"}), Err(create())),
        (json!({"subPath": "proc/root"}), Err(create())),
        (json!({"subPath": "dangling"}), Err(create())),
        (json!({"subPath": "dangling/x"}), Err(create())),
        (json!({"subPath": "file/x"}), Err(create())),
        (json!({"subPath": "../v"}), Err(MountError::Backsteps("../v".into()))),
        (json!({"readOnly": true, "recursiveReadOnly": "Enabled"}), Err(MountError::RecursiveReadOnly("v".into()))),
        (json!({"subPath": "/etc"}), Err(MountError::Absolute("/etc".into()))),
        (json!({"subPathExpr": "$(NO)$(EMPTY)/x"}), Err(MountError::Variables("EMPTY, NO".into()))),
    ];
    for (mut mount, expected) in cases {
        mount["name"] = json!("v");
        mount["mountPath"] = json!("/v");
        let machine = Machine::new(json!([{"name": "v", "emptyDir": {}}]), json!([mount]), json!({"fsGroup": 77}));
        let volume = machine.set_up("").await.volumes["v"].path.clone();
        let outside = machine.disk.canary().parent().unwrap().to_owned();
        fs::create_dir_all(volume.join("inside")).unwrap();
        fs::write(volume.join("file"), "").unwrap();
        symlink(&outside, volume.join("out")).unwrap();
        symlink("../../../../../../../../../../etc", volume.join("far")).unwrap();
        symlink("inside", volume.join("in")).unwrap();
        symlink("../inside", volume.join("inside/up")).unwrap();
        symlink("/proc/self", volume.join("proc")).unwrap();
        symlink("nowhere", volume.join("dangling")).unwrap();
        let found = machine.mounts().await.map(|mounts| mounts[0].host_path.clone());
        match (found, expected) {
            (Ok(found), Ok(None)) => assert_eq!(found, volume),
            (Ok(found), Ok(Some(wanted))) => {
                let wanted = volume.join(wanted);
                assert_eq!(found, machine.directory().sub_path("v", "c", 0), "{mount}");
                let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).unwrap();
                assert_eq!(identity(&found), identity(&wanted), "{mount}");
                let made = wanted.is_dir() && !["inside", ""].iter().any(|own| volume.join(own) == wanted);
                if made {
                    assert_eq!((mode(&wanted), fs::metadata(&wanted).unwrap().gid()), (0o2777, 77), "{mount}");
                }
            }
            (found, expected) => assert_eq!(found.map(Some), expected.map(|_| None), "{mount}"),
        }
        assert!(machine.disk.canary_lives());
        machine.directory().remove().await.unwrap();
        assert_eq!(machine.mounted(), 0);
    }
}

#[tokio::test]
async fn a_sub_path_that_changes_is_mounted_anew() {
    if !needs_root() {
        return;
    }
    let mounts = json!([{"name": "v", "mountPath": "/v", "subPath": "part"}]);
    let machine = Machine::new(json!([{"name": "v", "emptyDir": {}}]), mounts, json!({}));
    let part = machine.directory().volume("empty-dir", "v").join("part");
    let mut inodes = BTreeSet::new();
    let makes: [&dyn Fn(); 4] = [
        &|| {},
        &|| {},
        &|| {
            fs::rename(&part, part.with_file_name("old")).unwrap();
            fs::create_dir(&part).unwrap();
        },
        &|| {
            fs::remove_dir(&part).unwrap();
            fs::write(&part, "file").unwrap();
        },
    ];
    for make in makes {
        make();
        let found = machine.mounts().await.unwrap()[0].host_path.clone();
        let inode = fs::metadata(&found).unwrap().ino();
        assert_eq!(inode, fs::metadata(&part).unwrap().ino());
        assert_eq!(machine.mounted(), 1);
        inodes.insert(inode);
    }
    assert_eq!(inodes.len(), 3);
}

#[test]
fn what_was_found_is_what_is_mounted() {
    if !needs_root() {
        return;
    }
    let disk = Disk::new();
    let volume = disk.path().join("volume");
    fs::create_dir_all(volume.join("part")).unwrap();
    fs::write(volume.join("part/own"), "").unwrap();
    let directory = PodDirectory::new(disk.path(), &PodUid("u".into()));
    let part =
        sub_path::SubPath { volume_path: &volume, volume: "v", path: Path::new("part"), container: "c", index: 0 };
    let opened = part.open().unwrap();
    fs::rename(volume.join("part"), volume.join("moved")).unwrap();
    symlink(disk.canary().parent().unwrap(), volume.join("part")).unwrap();
    let mounted = part.bind(&opened, &directory).unwrap();
    assert!(mounted.join("own").exists() && !mounted.join("canary").exists());
}

/// A container that swaps the sub-path for a link, as fast as it can.
#[test]
fn a_busy_container_gets_no_other_sub_path() {
    if !needs_root() {
        return;
    }
    let disk = Disk::new();
    let outside = disk.canary().parent().unwrap().to_owned();
    let volume = disk.path().join("volume");
    fs::create_dir_all(&volume).unwrap();
    let directory = PodDirectory::new(disk.path(), &PodUid("u".into()));
    let stop = AtomicBool::new(false);
    let mut got = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["a", "a/b", "a/b/c"] {
                    let path = volume.join(name);
                    let _ = fs::rename(&path, volume.join("moved"));
                    let _ = symlink(&outside, &path);
                    let _ = fs::remove_file(&path);
                    let _ = fs::create_dir(&path);
                }
                let _ = fs::remove_dir_all(volume.join("moved"));
            }
        });
        while got < 200 {
            let path = Path::new("a/b/c");
            let part = sub_path::SubPath { volume_path: &volume, volume: "v", path, container: "c", index: 0 };
            let Ok(opened) = part.open() else { continue };
            let Ok(mounted) = part.bind(&opened, &directory) else { continue };
            assert!(!mounted.join("canary").exists());
            got += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(disk.canary_lives());
    remove::unmount(&dir::Dir::open(disk.path()).unwrap(), OsStr::new("pods")).unwrap();
}
