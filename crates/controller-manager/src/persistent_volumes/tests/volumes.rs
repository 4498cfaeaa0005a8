use serde_json::{Value, json};

use super::{claim, read, volume};
use crate::persistent_volumes::volume::{Verdict, judge};

fn said(verdict: Verdict) -> String {
    match verdict {
        Verdict::Phase(phase) => phase.to_owned(),
        Verdict::Failed(note) => format!("failed, {}: {}", note.reason, note.message),
        Verdict::Unbind => "unbind".to_owned(),
        Verdict::Await => "await".to_owned(),
        Verdict::Mismatch(of_volume, of_claim) => {
            format!("{}: {} {}", of_claim.reason, of_volume.message, of_claim.message)
        }
        Verdict::Leave => "leave".to_owned(),
    }
}

#[test]
fn a_volume_follows_its_claim() {
    let of = |patch: Value| {
        super::merged(json!({"spec": {"claimRef": {"name": "c", "namespace": "ns", "uid": "c"}}}), &patch)
    };
    let made = |policy: &str, phase: &str| {
        of(json!({
            "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "p"}},
            "spec": {"persistentVolumeReclaimPolicy": policy}, "status": {"phase": phase},
        }))
    };
    let kept = |policy: &str, phase: &str| {
        of(json!({"spec": {"persistentVolumeReclaimPolicy": policy}, "status": {"phase": phase}}))
    };
    let named = |name: &str| Some(json!({"spec": {"volumeName": name}}));
    let cases = [
        (json!({}), None, "Available"),
        (of(json!({"spec": {"claimRef": {"uid": null}}})), Some(json!({})), "Available"),
        (of(json!({})), Some(json!({})), "await"),
        (of(json!({})), named("v"), "Bound"),
        (of(json!({})), named("w"), "unbind"),
        (made("Retain", "Bound"), named("w"), "unbind"),
        (made("Delete", "Bound"), named("w"), "Released"),
        (made("Delete", "Released"), named("w"), "leave"),
        (kept("Retain", "Bound"), None, "Released"),
        (kept("Retain", "Released"), None, "leave"),
        (kept("Delete", "Bound"), None, "Released"),
        (
            kept("Delete", "Released"),
            None,
            r#"failed, VolumeFailedDelete: error getting deleter volume plugin for volume "v": no deletable volume plugin matched"#,
        ),
        (made("Delete", "Bound"), None, "Released"),
        (made("Delete", "Released"), None, "leave"),
        (made("Delete", "Failed"), None, "leave"),
        (kept("Recycle", "Released"), None, "failed, VolumeFailedRecycle: No recycler plugin found for the volume!"),
        (
            of(json!({"spec": {"volumeMode": "Block"}})),
            Some(json!({})),
            r#"VolumeMismatch: Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" due to incompatible volumeMode. Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim "c" due to incompatible volumeMode."#,
        ),
    ];
    for (of_volume, of_claim, expected) in cases {
        let claim = of_claim.as_ref().map(|patch| read(&claim("c", patch)));
        assert_eq!(said(judge(&read(&volume("v", &of_volume)), claim.as_ref())), expected, "{of_volume} {of_claim:?}");
    }
}
