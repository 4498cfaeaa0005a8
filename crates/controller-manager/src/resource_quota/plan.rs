//! What a quota's status should say.

use std::collections::BTreeMap;

use api_types::{
    core::ResourceQuota,
    jiff::Timestamp,
    quantity::Quantity,
    quota::{self, Amounts, Counted, Subject},
};
use serde_json::{Map, Value, json};

const NUMBER: &str = "count/";

/// What a quota limits.
fn hard(quota: &ResourceQuota) -> Amounts {
    quota::from_wire(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()))
}

fn shown(quota: &ResourceQuota) -> [Option<Amounts>; 2] {
    let status = quota.status.as_ref();
    let list = |list: Option<&BTreeMap<String, _>>| list.map(|list| quota::from_wire(Some(list)));
    [list(status.and_then(|status| status.hard.as_ref())), list(status.and_then(|status| status.used.as_ref()))]
}

/// Group and plural of the resources that a quota counts, and how.
pub(super) fn counted(quota: &ResourceQuota) -> BTreeMap<(String, String), Counted> {
    hard(quota).keys().filter_map(|name| behind(name)).collect()
}

/// The resource behind a name.
fn behind(name: &str) -> Option<((String, String), Counted)> {
    let of = |group: &str, plural: &str| {
        let counted = Counted::of(group, plural)?;
        counted.is_named(name).then(|| ((group.to_owned(), plural.to_owned()), counted))
    };
    let special = ["pods", "services", "persistentvolumeclaims"].into_iter().find_map(|plural| of("", plural));
    special.or_else(|| {
        let number = name.strip_prefix(NUMBER).unwrap_or(name);
        let (plural, group) = number.split_once('.').unwrap_or((number, ""));
        of(group, plural)
    })
}

/// What objects use together of what a quota limits; what is limited and not counted is left as it is.
pub(super) fn used(quota: &ResourceQuota, subjects: &[(&Counted, Vec<Subject>)], now: Timestamp) -> Amounts {
    let hard = hard(quota);
    let [_, before] = shown(quota);
    let mut used: Amounts = before.unwrap_or_default();
    used.retain(|name, _| hard.contains_key(name));
    for (counted, subjects) in subjects {
        for name in counted.named(hard.keys()) {
            used.insert(name.to_owned(), Quantity::ZERO);
        }
        for subject in subjects.iter().filter(|subject| subject.is_in_scope(quota)) {
            for (name, amount) in subject.usage(now) {
                if let Some(sum) = used.get_mut(&name).filter(|_| hard.contains_key(&name)) {
                    *sum += amount;
                }
            }
        }
    }
    used
}

/// Whether the status says what it should.
pub(super) fn is_as_it_should_be(quota: &ResourceQuota, used: &Amounts) -> bool {
    shown(quota) == [Some(hard(quota)), Some(used.clone())]
}

/// Whether less is used than the status says.
pub(super) fn gives_back(quota: &ResourceQuota, used: &Amounts) -> bool {
    let [_, before] = shown(quota);
    let less = |(name, amount): (&String, &Quantity)| used.get(name).is_some_and(|now| now < amount);
    before.is_some_and(|before| before.iter().any(less))
}

/// Whether an update of a quota leaves something to count: its limits have changed, or the status does not tell them.
pub(super) fn is_new_to_count(old: &ResourceQuota, new: &ResourceQuota) -> bool {
    let [shown, _] = shown(new);
    old.spec != new.spec || shown.unwrap_or_default() != hard(new)
}

/// The status, as a merge patch.
pub(super) fn status(quota: &ResourceQuota, used: &Amounts) -> Value {
    let [before_hard, before_used] = shown(quota);
    let list = |before: Option<Amounts>, now: &Amounts| -> Value {
        let gone = before.unwrap_or_default().into_keys().filter(|name| !now.contains_key(name));
        let gone = gone.map(|name| (name, Value::Null));
        let now = quota::to_wire(now).into_iter().map(|(name, amount)| (name, Value::from(amount.0)));
        now.chain(gone).collect::<Map<String, Value>>().into()
    };
    json!({"hard": list(before_hard, &hard(quota)), "used": list(before_used, used)})
}

#[cfg(test)]
mod tests {
    use api_types::core::Pod;

    use super::*;

    fn quota(spec: Value, status: Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": spec, "status": status})).unwrap()
    }

    fn pod(cpu: &str, phase: &str) -> Subject {
        let spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
        let pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}});
        Subject::of_pod(&serde_json::from_value::<Pod>(pod).unwrap())
    }

    #[test]
    fn names_lead_to_resources() {
        let hard =
            ["pods", "requests.cpu", "count/jobs.batch", "secrets", "count/secrets", "services.nodeports", "x.y/z"];
        let hard: BTreeMap<&str, &str> = hard.into_iter().map(|name| (name, "1")).collect();
        let found = counted(&quota(json!({"hard": hard}), json!({})));
        let names: Vec<String> = found.keys().map(|(group, plural)| format!("{group}/{plural}")).collect();
        assert_eq!(names, ["/pods", "/secrets", "/services", "batch/jobs"]);
    }

    #[test]
    fn what_there_is_is_counted() {
        let spec = json!({"hard": {"pods": "9", "requests.cpu": "9", "count/pods": "9", "widgets": "1"}});
        let quota =
            quota(spec, json!({"hard": {"pods": "5", "old": "1"}, "used": {"pods": "7", "widgets": "3", "old": "1"}}));
        let subjects = vec![pod("1", "Running"), pod("500m", "Pending"), pod("4", "Succeeded")];
        let used = used(&quota, &[(&Counted::Pods, subjects)], Timestamp::UNIX_EPOCH);
        assert!(!is_as_it_should_be(&quota, &used) && gives_back(&quota, &used));
        let expected = json!({
            "hard": {"count/pods": "9", "old": null, "pods": "9", "requests.cpu": "9", "widgets": "1"},
            "used": {"count/pods": "3", "old": null, "pods": "2", "requests.cpu": "1500m", "widgets": "3"},
        });
        assert_eq!(status(&quota, &used), expected);
    }

    #[test]
    fn what_the_api_server_charges_is_not_counted_anew() {
        let spec = json!({"hard": {"pods": "9"}});
        let of = |hard: &str, used: &str| quota(spec.clone(), json!({"hard": {"pods": hard}, "used": {"pods": used}}));
        assert!(!is_new_to_count(&of("9", "1"), &of("9", "2")));
        assert!(is_new_to_count(&of("9", "1"), &of("8", "1")));
        assert!(is_new_to_count(&quota(json!({"hard": {"pods": "8"}}), json!({"hard": {"pods": "9"}})), &of("9", "1")));
        assert!(is_as_it_should_be(&of("9", "0"), &[("pods".to_owned(), Quantity::ZERO)].into()));
    }
}
