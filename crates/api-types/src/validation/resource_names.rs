//! Rules for names of what pods ask for and quotas count.

use super::names;
use crate::field::{FieldError, Path};

const HUGE_PAGES: &str = "hugepages-";
const REQUESTS_HUGE_PAGES: &str = "requests.hugepages-";
const REQUESTS: &str = "requests.";
const NATIVE_DOMAIN: &str = "kubernetes.io/";

/// Counted by name, in a quota.
const OBJECTS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// Measured, in a quota.
const MEASURED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
const OF_CONTAINERS: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Whether a quota knows the name, of those without a domain.
pub(crate) fn is_standard_of_quota(name: &str) -> bool {
    OBJECTS.contains(&name)
        || MEASURED.contains(&name)
        || name.starts_with(HUGE_PAGES)
        || name.starts_with(REQUESTS_HUGE_PAGES)
}

/// Whether amounts are whole.
pub(crate) fn is_counted(name: &str) -> bool {
    OBJECTS.contains(&name) || is_extended(name)
}

/// Whether it is a resource of devices, as node and pods name it.
pub(crate) fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains(NATIVE_DOMAIN);
    // A quota counts what is asked for, under a longer name.
    !native && !name.starts_with(REQUESTS) && names::qualified_name(&format!("{REQUESTS}{name}")).is_empty()
}

/// Whether more may be promised than there is.
pub(crate) fn may_be_overcommitted(name: &str) -> bool {
    !name.starts_with(HUGE_PAGES) && (!name.contains('/') || name.contains(NATIVE_DOMAIN))
}

/// Any resource's name.
pub(crate) fn any(path: &Path, name: &str) -> Vec<FieldError> {
    let standard = is_standard_of_quota(name) || name == "storage";
    qualified(path, name, standard.then_some(()).ok_or("must be a standard resource type or fully qualified"))
}

/// A resource's name in a quota.
pub(crate) fn of_quota(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = any(path, name);
    if !name.contains('/') && !is_standard_of_quota(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for quota"));
    }
    errors
}

/// A resource's name in a container.
pub(crate) fn of_container(path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = any(path, name);
    if !name.contains('/') {
        if !OF_CONTAINERS.contains(&name) && !name.starts_with(HUGE_PAGES) {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !name.contains(NATIVE_DOMAIN) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
    errors
}

/// A qualified name; one without a domain is `standard` or not.
fn qualified(path: &Path, name: &str, standard: Result<(), &str>) -> Vec<FieldError> {
    let errors = names::check(names::qualified_name, path, name);
    match standard {
        Err(detail) if errors.is_empty() && !name.contains('/') => vec![FieldError::invalid(path, name, detail)],
        _ => errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_place() {
        let path = Path::new("x");
        let cases = [
            ("cpu", 0, 0, 0),
            ("hugepages-2Mi", 0, 0, 0),
            ("pods", 0, 0, 1),
            ("storage", 0, 1, 1),
            ("example.com/gpu", 0, 0, 0),
            ("nonsense", 1, 2, 2),
            ("a b", 1, 2, 2),
        ];
        for (name, anywhere, quota, container) in cases {
            let found = (any(&path, name).len(), of_quota(&path, name).len(), of_container(&path, name).len());
            assert_eq!(found, (anywhere, quota, container), "{name}");
        }
        assert!(is_counted("example.com/gpu") && is_counted("pods") && !is_counted("cpu"));
    }
}
