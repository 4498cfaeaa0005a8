//! What good practice demands besides.

use api_types::core::Volume;

use super::{
    Member, Pod, Version, Violation,
    baseline::{added, any_proc_mount, bad_seccomp_profiles, confines, seccomp_of},
    words::{Texts, containers, plural, quoted, setters},
};

/// Since then what has no meaning on Windows need not be said there.
const WINDOWS: Version = Version(25);
/// Since then root may run where root in the pod is nobody on the node.
const OWN_USERS: Version = Version(35);

pub(super) fn privilege_escalation(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version >= WINDOWS && pod.is_for_windows() {
        return None;
    }
    let refuses =
        |member: &Member<'_>| member.context.is_some_and(|context| context.allow_privilege_escalation == Some(false));
    let names = pod.which(|member| !refuses(member));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

pub(super) fn capabilities(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    const REASON: &str = "unrestricted capabilities";
    if version >= WINDOWS && pod.is_for_windows() {
        return None;
    }
    let drops_all = |member: &Member<'_>| {
        let capabilities = member.context.and_then(|context| context.capabilities.as_ref());
        capabilities.and_then(|own| own.drop.as_ref()).is_some_and(|all| all.iter().any(|name| name == "ALL"))
    };
    let keeping = pod.which(|member| !drops_all(member));
    let must = r#"must set securityContext.capabilities.drop=["ALL"]"#;
    let keeping = (!keeping.is_empty()).then(|| format!("{} {must}", containers(&keeping)));
    let adding = added(pod, REASON, &|name| name == "NET_BIND_SERVICE").map(|violation| violation.detail);
    let details: Vec<String> = keeping.into_iter().chain(adding).collect();
    if details.is_empty() { None } else { Violation::new(REASON, details.join("; ")) }
}

pub(super) fn proc_mount(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    any_proc_mount(pod)
}

pub(super) fn volumes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let bad = pod.spec.volumes.iter().flatten().filter(|volume| !is_harmless(volume));
    let (names, kinds): (Vec<&str>, Texts<'_>) = bad.map(|volume| (volume.name.as_str(), kind(volume))).unzip();
    if names.is_empty() {
        return None;
    }
    let (volumes, uses) = (plural("volume", "volumes", names.len()), plural("uses", "use", names.len()));
    let what = plural("restricted volume type", "restricted volume types", kinds.len());
    let detail = format!("{volumes} {} {uses} {what} {}", quoted(names), quoted(kinds));
    Violation::new("restricted volume types", detail)
}

fn is_harmless(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

fn kind(volume: &Volume) -> &'static str {
    let kinds = [
        ("hostPath", volume.host_path.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("fc", volume.fc.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("storageos", volume.storageos.is_some()),
    ];
    kinds.into_iter().find(|(_, is)| *is).map_or("unknown", |(kind, _)| kind)
}

pub(super) fn run_as_non_root(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if version >= OWN_USERS && pod.has_own_users() {
        return None;
    }
    let of_pod = pod.context().and_then(|context| context.run_as_non_root);
    let of = |member: &Member<'_>| member.context.and_then(|context| context.run_as_non_root);
    if let Some(who) = setters(of_pod == Some(false), &pod.which(|member| of(member) == Some(false))) {
        return Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = pod.which(|member| of(member).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    Violation::new(REASON, detail)
}

pub(super) fn run_as_user(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version >= OWN_USERS && pod.has_own_users() {
        return None;
    }
    let of_pod = pod.context().and_then(|context| context.run_as_user) == Some(0);
    let of = |member: &Member<'_>| member.context.and_then(|context| context.run_as_user) == Some(0);
    let who = setters(of_pod, &pod.which(of))?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub(super) fn seccomp_profile(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version >= WINDOWS && pod.is_for_windows() {
        return None;
    }
    if let Some(bad) = bad_seccomp_profiles(pod) {
        return Some(bad);
    }
    let of_pod = pod.context().and_then(|context| context.seccomp_profile.as_ref());
    let confined = of_pod.is_some_and(|profile| confines(&profile.type_));
    let silent = pod.which(|member| seccomp_of(member.context).is_none() && !confined);
    if silent.is_empty() {
        return None;
    }
    let must = r#"must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#;
    Violation::new("seccompProfile", format!("pod or {} {must}", containers(&silent)))
}
