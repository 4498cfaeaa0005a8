use api_types::quantity::Quantity;
use serde_json::{Value, json};

use super::*;
use crate::env::Allocatable;

fn pod(uid: &str, cpu: &str) -> Arc<Pod> {
    let resources: Value = json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    let pod = json!({"metadata": {"name": uid, "uid": uid},
        "spec": {"containers": [{"name": "c", "resources": resources}, {"name": "d"}]}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn cpu(pod: &Pod) -> String {
    let resources = pod.pod_spec().containers[0].resources.as_ref().unwrap();
    resources.requests.as_ref().unwrap()["cpu"].0.clone()
}

#[test]
fn a_resize_is_granted_when_it_fits() {
    let allocatable = Allocatable::from([("cpu".to_owned(), Quantity::from_milli(2000))]);
    let table = Allocations::default();
    table.hold(&pod("a", "1"));
    table.hold(&pod("b", "500m"));
    let resize = |wanted: &str| table.resize(&pod("b", wanted), &allocatable);
    assert_eq!(resize("1"), Ok(()));
    let beside = "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
    assert_eq!(resize("1500m"), Err(Refusal::Deferred(beside.to_owned())));
    assert_eq!(table.deferred(), ["b".into()]);
    assert_eq!(cpu(&table.applied(&pod("b", "1500m"))), "1", "what was refused is not held");
    let alone = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
    assert_eq!(resize("3"), Err(Refusal::Infeasible(alone.to_owned())));
    assert_eq!(table.deferred(), []);
    table.release(&"a".into());
    assert_eq!(resize("1500m"), Ok(()));
}

#[test]
fn an_allocation_survives_the_kubelet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("allocation");
    assert_eq!(read(&path).unwrap(), None);
    let allocation = Allocation::of(&pod("a", "1"));
    write(&path, &allocation).unwrap();
    assert_eq!(read(&path).unwrap(), Some(allocation.clone()));
    let wish = pod("a", "2");
    assert_eq!(cpu(&allocation.apply(&wish)), "1");
    let same = pod("a", "1");
    assert!(Arc::ptr_eq(&allocation.apply(&same), &same));
    for broken in ["", "{", "[1]", "{\"containers\": 3}"] {
        std::fs::write(&path, broken).unwrap();
        assert!(read(&path).is_err(), "{broken}");
    }
}
