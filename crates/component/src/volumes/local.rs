//! Volumes that are directories of nodes and made when claims want them: what the controller that makes the volumes and
//! the kubelets, which have the directories, tell each other.

/// Who makes such volumes, as classes name it.
pub const PROVISIONER: &str = "ferrokube.io/local-path";
/// On a node: the directory that its volumes are in. A node that does not say has none.
pub const DIRECTORY: &str = "ferrokube.io/local-volumes";
/// Where a kubelet takes directories away: `DELETE <ROUTE>/<volume>?path=<path>`.
pub const ROUTE: &str = "/localVolumes";
/// What such volumes' names begin with; a claim's uid follows.
const PREFIX: &str = "pvc-";

/// The volume of the claim with this uid.
#[must_use]
pub fn name_of(claim_uid: &str) -> String {
    format!("{PREFIX}{claim_uid}")
}

/// Whether a volume is called so: nothing else is ever made or taken away in a node's directory.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_uid = |uid: &str| uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    name.strip_prefix(PREFIX).is_some_and(is_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        assert!(is_name(&name_of("0f39d2a0-7a3b-4c5d-8e9f-001122334455")));
        for name in
            ["pvc-", "pvc-..", "0f39d2a0-7a3b-4c5d-8e9f-001122334455", "pvc-0f39d2a0/../../../../../../../etc/pass"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
