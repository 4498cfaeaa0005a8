//! What kubelets may, by what is there.

use serde_json::{Value, json};

use super::*;

fn nodes() -> (Arc<Nodes>, Vec<Arc<dyn Mirror>>) {
    let nodes = Arc::new(Nodes::default());
    let part = |read, remove| -> Arc<dyn Mirror> { Arc::new(Part { nodes: nodes.clone(), read, remove }) };
    let mirrors = vec![
        part(pod::read, Graph::remove_pod),
        part(volume::read, |graph, _, name| graph.remove_volume(name)),
        part(volume::read_attachment, |graph, _, name| graph.remove_own(Thing::Attachment, name)),
        part(volume::read_slice, |graph, _, name| graph.remove_own(Thing::Slice, name)),
    ];
    (nodes, mirrors)
}

fn put(mirror: &Arc<dyn Mirror>, name: &str, object: &Value) {
    mirror.put("x", name, object.to_string().as_bytes());
}

fn full_pod(node: &str) -> Value {
    json!({
        "spec": {
            "nodeName": node,
            "serviceAccountName": "robot",
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
                {"name": "B", "value": "literal", "valueFrom": null},
                {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ]}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "env-map"}}, {"secretRef": {"name": "all-secret"}}]}],
            "ephemeralContainers": [{"env": [{"name": "D", "valueFrom": {"configMapKeyRef": {"name": "debug-map"}}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "vol-secret"}},
                {"name": "b", "configMap": {"name": "vol-map"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "proj-secret"}},
                    {"configMap": {"name": "proj-map"}}, {"serviceAccountToken": {"path": "token"}}]}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
                {"name": "f", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
                {"name": "g", "emptyDir": {}},
            ],
            "resourceClaims": [{"name": "r", "resourceClaimName": "direct"}, {"name": "t"}],
        },
        "status": {"resourceClaimStatuses": [{"name": "t", "resourceClaimName": "made"}]},
    })
}

/// verb group resource[/subresource] namespace name [field selector], then the answer: yes, or the reason.
const CASES: &str = "\
get core secrets x pull: yes
list core secrets x pull: yes
watch core secrets x vol-secret: yes
get core secrets x env-secret: yes
get core secrets x all-secret: yes
get core secrets x proj-secret: yes
get core secrets x csi-secret: yes
get core secrets x volume-secret: yes
get core secrets other volume-secret: no relationship found between node 'n' and this object
get core secrets y away-secret: yes
get core secrets x strange: no relationship found between node 'n' and this object
list core secrets x -: No Object name found
list core secrets - -: can only read namespaced object of this type
delete core secrets x pull: can only read resources of this type
get core configmaps x vol-map: yes
get core configmaps x env-map: yes
get core configmaps x proj-map: yes
get core configmaps x debug-map: yes
get core persistentvolumeclaims x claim: yes
get core persistentvolumeclaims x p-e: yes
list core persistentvolumeclaims x claim: can only get individual resources of this type
patch core persistentvolumeclaims/status x claim: yes
get core persistentvolumeclaims/status x claim: can only get/update/patch this type
get core persistentvolumes - pv: yes
get core persistentvolumes - free: no relationship found between node 'n' and this object
get resource.k8s.io resourceclaims x direct: yes
get resource.k8s.io resourceclaims x made: yes
get storage.k8s.io volumeattachments - mine: yes
get storage.k8s.io volumeattachments - theirs: no relationship found between node 'n' and this object
create core serviceaccounts/token x robot: yes
create core serviceaccounts/token x other: no relationship found between node 'n' and this object
get core serviceaccounts x robot: yes
delete core serviceaccounts x robot: can only create tokens for individual service accounts
create core serviceaccounts x robot: can only create token subresource of serviceaccount
create coordination.k8s.io leases kube-node-lease -: yes
update coordination.k8s.io leases kube-node-lease n: yes
update coordination.k8s.io leases kube-node-lease m: can only access node lease with the same name as the requesting node
get coordination.k8s.io leases x n: can only access leases in the \"kube-node-lease\" system namespace
list coordination.k8s.io leases kube-node-lease -: can only get, create, update, patch, or delete a node lease
update storage.k8s.io csinodes - n: yes
update storage.k8s.io csinodes - m: can only access CSINode with the same name as the requesting node
get resource.k8s.io resourceslices - mine: yes
get resource.k8s.io resourceslices - theirs: no relationship found between node 'n' and this object
list resource.k8s.io resourceslices - - nodeName=n: yes
list resource.k8s.io resourceslices - - nodeName=m: can only list/watch/deletecollection resourceslices with nodeName field selector
get core nodes - n: yes
get core nodes - m: node 'n' cannot read 'm', only its own Node object
list core nodes - -: node 'n' cannot read all nodes, only its own Node object
patch core nodes/status - n: yes
delete core nodes - n: no
get core nodes/proxy - n: no
list core pods - - spec.nodeName=n: yes
watch core pods - - spec.nodeName=n,status.phase=Running: yes
list core pods - - spec.nodeName!=n: can only list/watch pods with spec.nodeName field selector
list core pods x -: can only list/watch pods with spec.nodeName field selector
get core pods x p: yes
get core pods x q: no relationship found between node 'n' and this object
watch core pods x p: yes
create core pods x -: yes
update core pods x p: no
patch core pods/status x p: yes
create core pods/eviction x p: yes
create core pods/exec x p: no
list core services - -: yes
create core services x -: no
create core events x -: yes
watch storage.k8s.io csidrivers - -: yes
list node.k8s.io runtimeclasses - -: yes
create authentication.k8s.io tokenreviews - -: yes
";

fn asked<'a>(user: &'a User, words: &'a [&'a str]) -> Attributes<'a> {
    let or_empty = |word: &'a str| if matches!(word, "core" | "-") { "" } else { word };
    let (resource, subresource) = words[2].split_once('/').unwrap_or((words[2], ""));
    let place = ResourceAttributes {
        group: or_empty(words[1]).into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: or_empty(words[3]).into(),
        name: or_empty(words[4]).into(),
        field_selector: words.get(5).copied().unwrap_or_default().into(),
        ..ResourceAttributes::default()
    };
    Attributes { user, verb: words[0].into(), target: Target::Resource(place) }
}

#[test]
fn a_node_may_what_its_pods_need() {
    let (nodes, mirrors) = nodes();
    let [pods, volumes, attachments, slices] = &mirrors[..] else { panic!("other mirrors") };
    put(pods, "p", &full_pod("n"));
    put(
        pods,
        "q",
        &json!({"spec": {"nodeName": "m", "volumes": [{"name": "s", "secret": {"secretName": "strange"}}]}}),
    );
    put(pods, "unscheduled", &json!({"spec": {"volumes": [{"name": "s", "secret": {"secretName": "strange"}}]}}));
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "h"}}, "spec": {"nodeName": "n",
        "volumes": [{"name": "s", "secret": {"secretName": "strange"}}]}});
    put(pods, "mirror", &mirror);
    let secrets = json!({"nodeStageSecretRef": {"name": "volume-secret", "namespace": "x"},
        "nodePublishSecretRef": {"name": "away-secret", "namespace": "y"},
        "controllerExpandSecretRef": {"name": "strange", "namespace": "x"}});
    put(volumes, "pv", &json!({"spec": {"claimRef": {"namespace": "x", "name": "claim"}, "csi": secrets}}));
    put(volumes, "free", &json!({"spec": {"csi": secrets}}));
    for mirror in [attachments, slices] {
        put(mirror, "mine", &json!({"spec": {"nodeName": "n"}}));
        put(mirror, "theirs", &json!({"spec": {"nodeName": "m"}}));
    }
    let user = User::authenticated("system:node:n", "", vec!["system:nodes".into()]);
    for line in CASES.lines() {
        let (words, expected) = line.split_once(": ").unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let verdict = nodes.decide(&asked(&user, &words));
        let answer = match verdict.reason.as_str() {
            _ if verdict == Verdict::allow() => "yes",
            "" => "no",
            reason => reason,
        };
        assert_eq!(answer, expected, "{line}");
    }
}

#[test]
fn who_is_no_node_is_others_affair() {
    let (nodes, _) = nodes();
    let lease = ["get", "coordination.k8s.io", "leases", "kube-node-lease", "n"];
    let decide = |name: &str, groups: &[&str]| {
        let user = User::authenticated(name, "", groups.iter().map(|group| (*group).to_owned()).collect());
        nodes.decide(&asked(&user, &lease))
    };
    assert_eq!(decide("system:node:n", &["system:nodes"]), Verdict::allow());
    assert_eq!(decide("system:node:n", &[]), Verdict::default());
    assert_eq!(decide("n", &["system:nodes"]), Verdict::default());
    assert_eq!(decide("system:node:", &["system:nodes"]).reason, r#"unknown node for user "system:node:""#);
}

#[test]
fn what_goes_leaves_nothing_behind() {
    let (nodes, mirrors) = nodes();
    let [pods, volumes, attachments, slices] = &mirrors[..] else { panic!("other mirrors") };
    put(pods, "p", &full_pod("n"));
    put(pods, "p", &full_pod("n"));
    put(pods, "r", &full_pod("n"));
    put(
        volumes,
        "pv",
        &json!({"spec": {"claimRef": {"namespace": "x", "name": "claim"}, "rbd": {"secretRef": {"name": "s"}}}}),
    );
    let leads = |name: &str| nodes.graph.read().leads_to(Thing::Secret, "x", name, "n");
    assert!(leads("s") && leads("pull"));
    pods.remove("x", "p");
    assert!(leads("s") && leads("pull"), "another pod needs it, too");
    put(volumes, "pv", &json!({"spec": {"claimRef": null, "rbd": {"secretRef": {"name": "s"}}}}));
    assert!(!leads("s"));
    put(pods, "r", &json!({"spec": {"nodeName": "m"}}));
    assert!(!leads("pull"));
    put(attachments, "a", &json!({"spec": {"nodeName": "n"}}));
    put(attachments, "a", &json!({"spec": {}}));
    put(slices, "a", &json!({"spec": {"nodeName": "n"}}));
    put(slices, "a", &json!({"nonsense": 1}));
    pods.put("x", "r", b"nonsense");
    assert!(nodes.graph.read().is_empty());
}
