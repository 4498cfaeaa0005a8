//! Which pods are protected by disruption budgets.

use std::{collections::HashMap, sync::Arc};

use crate::{cache::PodInfo, directory::Directory};

/// Pods whose going would violate a budget, and the others; both in the order in which they come. Each pod uses up what
/// its budgets allow, for those that come after it.
pub(super) fn split(pods: Vec<Arc<PodInfo>>, directory: &Directory) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    // What budgets allow, by namespace and name.
    let mut allowed: HashMap<(Box<str>, String), i32> = HashMap::new();
    let mut violates = |pod: &Arc<PodInfo>| {
        let mut violated = false;
        directory.budgets_of(&pod.kin, |name, budget| {
            // Its going has been counted already.
            if budget.disrupted.contains(&*pod.identity.name) {
                return;
            }
            let key = (pod.kin.namespace.clone(), name.to_owned());
            let left = allowed.entry(key).or_insert(budget.allowed);
            *left = left.saturating_sub(1);
            violated |= *left < 0;
        });
        violated
    };
    pods.into_iter().partition(|pod| violates(pod))
}
