//! A security context in CRI's words: pure.

use super::protocol::{
    Capability, ContainerSecurityContext, Int64Value, NamespaceOption, ProfileType, SecurityProfile,
};
use super::{ImageInfo, SeccompProfile, SecurityContext};

/// What is hidden of `/proc` and `/sys`, and what of them cannot be written: upstream's lists.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Everything about privileges.
pub(super) fn of_container(
    security: &SecurityContext,
    namespaces: NamespaceOption,
    image: &ImageInfo,
) -> ContainerSecurityContext {
    let number = |value: Option<i64>| value.map(|value| Int64Value { value });
    let paths = |list: &[&str]| match security.unmasked_proc || security.privileged {
        true => Vec::new(),
        false => list.iter().map(|path| (*path).to_owned()).collect(),
    };
    let user = user(security, image);
    ContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: names(&security.capabilities.add),
            drop_capabilities: names(&security.capabilities.drop),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces),
        run_as_username: user.err().unwrap_or_default(),
        run_as_user: number(user_id(security, image)),
        run_as_group: number(security.run_as_group),
        readonly_rootfs: security.read_only_root_fs,
        supplemental_groups: security.supplemental_groups.clone(),
        no_new_privs: security.no_new_privileges,
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp(&security.seccomp)),
        apparmor: security.apparmor.as_deref().map(apparmor),
    }
}

/// The user's number, or else the name that the image gives. A group needs one of them beside it.
fn user(security: &SecurityContext, image: &ImageInfo) -> Result<i64, String> {
    let own = image.user.split(':').next().unwrap_or_default();
    security.run_as_user.or_else(|| image.uid()).ok_or_else(|| own.to_owned())
}

fn user_id(security: &SecurityContext, image: &ImageInfo) -> Option<i64> {
    user(security, image).ok()
}

/// Runtimes want capabilities without the prefix.
fn names(capabilities: &[String]) -> Vec<String> {
    capabilities.iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
}

fn seccomp(profile: &SeccompProfile) -> SecurityProfile {
    let plain = |kind: ProfileType| SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() };
    match profile {
        SeccompProfile::Unconfined => plain(ProfileType::Unconfined),
        SeccompProfile::RuntimeDefault => plain(ProfileType::RuntimeDefault),
        SeccompProfile::Localhost(path) => SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: path.to_string_lossy().into_owned(),
        },
    }
}

fn apparmor(name: &str) -> SecurityProfile {
    match name {
        "unconfined" => SecurityProfile { profile_type: ProfileType::Unconfined.into(), localhost_ref: String::new() },
        name => SecurityProfile { profile_type: ProfileType::Localhost.into(), localhost_ref: name.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_pods_or_the_images() {
        let of = |pod: Option<i64>, image: &str| {
            let security = SecurityContext { run_as_user: pod, run_as_group: Some(7), ..SecurityContext::default() };
            let image = ImageInfo { user: image.to_owned(), ..ImageInfo::default() };
            let context = of_container(&security, NamespaceOption::default(), &image);
            (context.run_as_user.map(|user| user.value), context.run_as_username)
        };
        assert_eq!(of(Some(5), "9:9"), (Some(5), String::new()));
        assert_eq!(of(None, "9:9"), (Some(9), String::new()));
        assert_eq!(of(None, ""), (Some(0), String::new()));
        assert_eq!(of(None, "web:web"), (None, "web".to_owned()));
    }

    #[test]
    fn profiles_and_paths_are_told() {
        let security = SecurityContext {
            seccomp: SeccompProfile::Localhost("/p.json".into()),
            apparmor: Some("unconfined".into()),
            ..SecurityContext::default()
        };
        let context = of_container(&security, NamespaceOption::default(), &ImageInfo::default());
        assert_eq!(context.seccomp.unwrap().localhost_ref, "/p.json");
        assert_eq!(context.apparmor.unwrap().profile_type(), ProfileType::Unconfined);
        assert!(context.masked_paths.contains(&"/proc/kcore".to_owned()));
        let open = SecurityContext { unmasked_proc: true, ..SecurityContext::default() };
        let context = of_container(&open, NamespaceOption::default(), &ImageInfo::default());
        assert!(context.masked_paths.is_empty() && context.readonly_paths.is_empty() && context.apparmor.is_none());
    }
}
