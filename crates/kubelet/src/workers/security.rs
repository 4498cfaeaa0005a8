//! Security contexts: the pod's, overridden by the container's.

use std::path::{Component, Path, PathBuf};

use api_types::core::{Container, Pod};

use crate::pod::PodExt;
use crate::runtime::{Capabilities, ImageInfo, SeccompProfile, SecurityContext};

/// What the container's process may do.
pub(super) fn of_container(pod: &Pod, container: &Container, root: &Path) -> SecurityContext {
    let pod_context = pod.pod_spec().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let capabilities = own.capabilities.unwrap_or_default();
    let seccomp = own.seccomp_profile.or(pod_context.seccomp_profile);
    let apparmor = own.app_armor_profile.or(pod_context.app_armor_profile);
    let mut groups = pod_context.supplemental_groups.unwrap_or_default();
    groups.extend(pod_context.fs_group);
    SecurityContext {
        run_as_user: own.run_as_user.or(pod_context.run_as_user),
        run_as_group: own.run_as_group.or(pod_context.run_as_group),
        supplemental_groups: groups,
        privileged: own.privileged == Some(true),
        capabilities: Capabilities {
            add: capabilities.add.unwrap_or_default(),
            drop: capabilities.drop.unwrap_or_default(),
        },
        read_only_root_fs: own.read_only_root_filesystem == Some(true),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        seccomp: match seccomp.as_ref().map(|profile| profile.type_.as_str()) {
            Some("RuntimeDefault") => SeccompProfile::RuntimeDefault,
            Some("Localhost") => {
                let file = seccomp.and_then(|profile| profile.localhost_profile).unwrap_or_default();
                SeccompProfile::Localhost(profile_path(root, &file))
            }
            _ => SeccompProfile::Unconfined,
        },
        apparmor: apparmor.and_then(|profile| match profile.type_.as_str() {
            "Localhost" => profile.localhost_profile,
            "Unconfined" => Some("unconfined".to_owned()),
            _ => None,
        }),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    }
}

/// A file below the directory of profiles. Of a path that leads out of it nothing is left but the directory, which is
/// no profile.
fn profile_path(root: &Path, file: &str) -> PathBuf {
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    let directory = root.join("seccomp");
    if inside { directory.join(file) } else { directory }
}

/// Refuses a container that must not run as root but would.
///
/// # Errors
/// Upstream's words.
pub(super) fn check_non_root(pod: &Pod, container: &Container, image: &ImageInfo) -> Result<(), String> {
    let pod_context = pod.pod_spec().security_context.as_ref();
    let own = container.security_context.as_ref();
    let demanded = own.and_then(|own| own.run_as_non_root).or(pod_context.and_then(|pod| pod.run_as_non_root));
    if demanded != Some(true) {
        return Ok(());
    }
    let user = own.and_then(|own| own.run_as_user).or(pod_context.and_then(|pod| pod.run_as_user));
    let described = format!("(pod: {:?}, container: {})", pod.described(), container.name);
    match user.map_or_else(|| image.uid(), Some) {
        Some(0) if user.is_some() => Err(format!("container's runAsUser breaks non-root policy {described}")),
        Some(0) => Err(format!("container has runAsNonRoot and image will run as root {described}")),
        Some(_) => Ok(()),
        None => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {described}",
            image.user
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn profiles_stay_in_their_directory() {
        for (file, expected) in [
            ("a.json", "/r/seccomp/a.json"),
            ("my/a.json", "/r/seccomp/my/a.json"),
            ("../../etc/shadow", "/r/seccomp"),
            ("/etc/shadow", "/r/seccomp"),
            ("my/../../x", "/r/seccomp"),
        ] {
            assert_eq!(profile_path(Path::new("/r"), file), Path::new(expected), "{file}");
        }
    }

    #[test]
    fn root_is_refused_when_it_must_not_be() {
        let cases = [
            (json!({}), json!({}), "", None),
            (json!({"runAsNonRoot": true}), json!({}), "1000", None),
            (json!({"runAsNonRoot": true}), json!({}), "", Some("image will run as root")),
            (json!({"runAsNonRoot": true}), json!({}), "www", Some("non-numeric user (www)")),
            (json!({"runAsNonRoot": true, "runAsUser": 1}), json!({}), "", None),
            (json!({"runAsNonRoot": true}), json!({"runAsUser": 0}), "1", Some("breaks non-root policy")),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), "", None),
        ];
        for (pod_context, own, user, expected) in cases {
            let pod: Pod = serde_json::from_value(json!({"spec": {"securityContext": pod_context,
                "containers": [{"name": "c", "securityContext": own}]}}))
            .unwrap();
            let image = ImageInfo { user: user.to_owned(), ..ImageInfo::default() };
            let got = check_non_root(&pod, &pod.pod_spec().containers[0], &image);
            match expected {
                None => assert_eq!(got, Ok(())),
                Some(words) => assert!(got.unwrap_err().contains(words), "{words}"),
            }
        }
    }
}
