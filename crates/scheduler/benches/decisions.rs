//! What decisions cost: 3,000 pods, one after another, on 1,000 nodes. Each pod is read, decided about, assumed, and
//! confirmed, as if the API server had shown it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use scheduler::{
    cache::{Cache, Snapshot},
    config::default_profiles,
    framework::{Candidate, Sampling, schedule},
    model::{Node, Pod},
};
use serde_json::{Value, json};

const NODES: usize = 1_000;
const PODS: usize = 3_000;

fn nodes() -> Cache {
    let mut cache = Cache::default();
    for i in 0..NODES {
        let name = format!("node-{i}");
        let labels =
            json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "zone": format!("zone-{}", i % 3)});
        let node = json!({"metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "100Gi", "pods": "110"}}});
        let node: Node = serde_json::from_value(node).unwrap();
        cache.set_node(&Arc::new(node));
    }
    cache
}

fn pods(spec: &Value) -> Vec<Pod> {
    let pod = |i: usize| {
        let labels = json!({"app": format!("app-{}", i % 30)});
        let mut pod = json!({"metadata": {"uid": format!("uid-{i}"), "namespace": "default", "labels": labels},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]}});
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    };
    (0..PODS).map(pod).collect()
}

fn schedule_all(mut cache: Cache, pods: &[Pod]) -> usize {
    let profiles = default_profiles("default-scheduler");
    let profile = &profiles["default-scheduler"];
    let (mut snapshot, mut sampling) = (Snapshot::default(), Sampling::default());
    for (i, pod) in pods.iter().enumerate() {
        cache.refresh(&mut snapshot);
        let candidate = Candidate { pod, info: &pod.info };
        let decision = schedule(profile, &snapshot, candidate, sampling, &mut |n| i % n).unwrap();
        sampling.start = decision.next_start;
        cache.assume(&pod.info, &decision.node);
        cache.set_pod(pod, &decision.node);
    }
    sampling.start
}

fn decisions(criterion: &mut Criterion) {
    let like = json!({"matchLabels": {"app": "app-1"}});
    let spread = |key: &str, when: &str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": like});
    let apart = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "none"}}}]);
    let cases = [
        ("plain", json!({})),
        (
            "spread",
            json!({"topologySpreadConstraints": [spread("zone", "DoNotSchedule"), spread("kubernetes.io/hostname", "ScheduleAnyway")]}),
        ),
        ("apart", json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}}})),
    ];
    let mut group = criterion.benchmark_group("3000 pods on 1000 nodes");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).throughput(Throughput::Elements(PODS as u64));
    for (name, spec) in cases {
        let pods = pods(&spec);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(nodes, |cache| schedule_all(cache, &pods), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
