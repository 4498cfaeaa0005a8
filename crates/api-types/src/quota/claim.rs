//! Claims: how much storage, and of which class.

use super::{Amounts, ONE, Subject, scope::Facts};
use crate::{core::PersistentVolumeClaim, quantity::Quantity};

const NAMES: &[&str] = &["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"];
const CLASS: &str = ".storageclass.storage.k8s.io/";
const OF_CLASS: &[&str] = &["persistentvolumeclaims", "requests.storage"];
/// The annotation that named a class before there was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const STORAGE: &str = "storage";

pub(super) fn is_named(name: &str) -> bool {
    NAMES.contains(&name) || name.split_once(CLASS).is_some_and(|(_, of)| OF_CLASS.contains(&of))
}

pub(super) fn subject(claim: &PersistentVolumeClaim) -> Subject {
    let spec = claim.spec.as_ref();
    let mut amounts: Amounts = NAMES[..2].iter().map(|name| ((*name).to_owned(), ONE)).collect();
    let class = class(claim);
    let of_class = |what: &str| class.filter(|class| !class.is_empty()).map(|class| format!("{class}{CLASS}{what}"));
    amounts.extend(of_class("persistentvolumeclaims").map(|name| (name, ONE)));
    if let Some(size) = size(claim) {
        amounts.insert("requests.storage".into(), size);
        amounts.extend(of_class("requests.storage").map(|name| (name, size)));
    }
    let attributes = spec.and_then(|spec| spec.volume_attributes_class_name.clone());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|status| status.target_volume_attributes_class_name.clone());
    let classes = [attributes, current, target].into_iter().flatten().filter(|name| !name.is_empty());
    Subject { always: amounts, facts: Facts::Claim { attributes: classes.collect() }, ..Subject::default() }
}

fn class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotated.or(named).map(String::as_str)
}

/// What is asked for, or what is being given if that is more: a failed growth can be taken back.
fn size(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let asked = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get(STORAGE)?;
    let asked = Quantity::try_from(asked).unwrap_or_default();
    let given = claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref()?.get(STORAGE));
    let given = given.map(|given| Quantity::try_from(given).unwrap_or_default());
    Some(given.map_or(asked, |given| asked.max(given)))
}
