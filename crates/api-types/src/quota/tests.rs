use serde_json::{Value, json};

use super::*;

fn pod(spec: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn shown(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
}

fn quota(spec: &Value) -> ResourceQuota {
    serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": spec})).unwrap()
}

#[test]
fn names_belong_to_resources() {
    let cases = [
        (("", "pods"), "pods", true),
        (("", "pods"), "count/pods", true),
        (("", "pods"), "requests.example.com/gpu", true),
        (("", "pods"), "example.com/gpu", false),
        (("", "pods"), "requests.hugepages-2Mi", true),
        (("", "pods"), "requests.storage", false),
        (("", "services"), "services.nodeports", true),
        (("", "persistentvolumeclaims"), "gold.storageclass.storage.k8s.io/requests.storage", true),
        (("", "persistentvolumeclaims"), "gold.storageclass.storage.k8s.io/pods", false),
        (("", "secrets"), "secrets", true),
        (("", "secrets"), "count/secrets", true),
        (("apps", "deployments"), "count/deployments.apps", true),
        (("apps", "deployments"), "deployments", false),
    ];
    for ((group, plural), name, named) in cases {
        assert_eq!(Counted::of(group, plural).unwrap().is_named(name), named, "{plural} {name}");
    }
    assert_eq!(Counted::of("events.k8s.io", "events"), None);
}

#[test]
fn pods_use_what_they_ask_for_until_they_end() {
    let now = Timestamp::UNIX_EPOCH;
    let spec = json!({
        "containers": [{"name": "c", "resources": {
            "requests": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"},
            "limits": {"cpu": "2", "example.com/gpu": "2"},
        }}],
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "3"}}}],
        "overhead": {"cpu": "100m"},
    });
    let mut pod = pod(&spec);
    let expected = "count/pods=1 cpu=3100m hugepages-2Mi=4Mi limits.cpu=2100m memory=1Gi pods=1 requests.cpu=3100m \
                    requests.example.com/gpu=2 requests.hugepages-2Mi=4Mi requests.memory=1Gi";
    assert_eq!(shown(&Subject::of_pod(&pod).usage(now)), expected);
    pod.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
    assert_eq!(shown(&Subject::of_pod(&pod).usage(now)), "count/pods=1");
    pod.status = None;
    pod.metadata.deletion_grace_period_seconds = Some(30);
    pod.metadata.deletion_timestamp = Some(crate::meta::Time(now));
    let subject = Subject::of_pod(&pod);
    let at = |seconds| subject.usage(Timestamp::from_second(seconds).unwrap());
    assert_eq!(shown(&at(30)), expected);
    assert_eq!(shown(&at(31)), "count/pods=1");
}

#[test]
fn scopes_take_in_or_leave_out() {
    let plain = json!({"containers": [{"name": "c"}]});
    let deadline = json!({"containers": [{"name": "c"}], "activeDeadlineSeconds": 1});
    let asks =
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "priorityClassName": "high"});
    let crosses = json!({"containers": [{"name": "c"}], "affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k", "namespaces": ["a"]}]}}});
    let selector = |scope: &str, operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": values}]}});
    let cases = [
        (json!({}), [true, true, true, true]),
        (json!({"scopes": ["Terminating"]}), [false, true, false, false]),
        (json!({"scopes": ["NotTerminating"]}), [true, false, true, true]),
        (json!({"scopes": ["BestEffort"]}), [true, true, false, true]),
        (json!({"scopes": ["NotBestEffort"]}), [false, false, true, false]),
        (json!({"scopes": ["Terminating", "BestEffort"]}), [false, true, false, false]),
        (json!({"scopes": ["CrossNamespacePodAffinity"]}), [false, false, false, true]),
        (json!({"scopes": ["PriorityClass"]}), [false, false, true, false]),
        (selector("PriorityClass", "In", json!(["high"])), [false, false, true, false]),
        (selector("PriorityClass", "In", json!(["low"])), [false, false, false, false]),
        (selector("PriorityClass", "NotIn", json!(["low"])), [true, true, true, true]),
        (selector("PriorityClass", "DoesNotExist", json!([])), [true, true, false, true]),
    ];
    let subjects = [plain, deadline, asks, crosses].map(|spec| Subject::of_pod(&pod(&spec)));
    for (spec, expected) in cases {
        let quota = quota(&spec);
        assert_eq!(subjects.each_ref().map(|subject| subject.is_in_scope(&quota)), expected, "{spec}");
    }
    let service = Subject::of_service(&Service::default());
    assert!(
        service.is_in_scope(&quota(&json!({}))) && !service.is_in_scope(&quota(&json!({"scopes": ["BestEffort"]})))
    );
}

#[test]
fn what_is_limited_has_to_be_named() {
    let pod = pod(&json!({
        "containers": [{"name": "b", "resources": {"limits": {"cpu": "1"}}}, {"name": "a"}],
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1", "memory": "1"}}}],
    }));
    let check = |names: &[&str]| Subject::of_pod(&pod).check_names(&names.iter().copied().collect());
    assert_eq!(check(&["pods", "requests.storage"]), Ok(()));
    assert_eq!(
        check(&["pods", "memory", "limits.cpu"]),
        Err("must specify limits.cpu for: a,i; memory for: a,b".to_owned())
    );
}

#[test]
fn services_and_claims_use() {
    let service = |spec: Value| {
        let service = serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap();
        shown(&Subject::of_service(&service).usage(Timestamp::UNIX_EPOCH))
    };
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    let used = |ports: u8, balancers: u8| {
        format!("count/services=1 services=1 services.loadbalancers={balancers} services.nodeports={ports}")
    };
    assert_eq!(service(json!({"ports": ports})), used(0, 0));
    assert_eq!(service(json!({"type": "NodePort", "ports": ports})), used(2, 0));
    assert_eq!(service(json!({"type": "LoadBalancer", "ports": ports})), used(2, 1));
    let explicit = json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false});
    assert_eq!(service(explicit), used(1, 1));
    let claim = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"allocatedResources": {"storage": "2Gi"}}});
    let claim = Subject::of_claim(&serde_json::from_value(claim).unwrap());
    assert_eq!(
        shown(&claim.usage(Timestamp::UNIX_EPOCH)),
        "count/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
         gold.storageclass.storage.k8s.io/requests.storage=2Gi persistentvolumeclaims=1 requests.storage=2Gi"
    );
}
