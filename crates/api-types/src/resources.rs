//! The table of resources: one row for everything that the API server serves.
//!
//! Adding a plain kind is a row here and a file in `kinds/`.

use crate::{
    apps, coordination, core, discovery, events,
    resource::{Resource, Subresource},
};

const STATUS_VERBS: &[&str] = &["get", "patch", "update"];
const CREATE: &[&str] = &["create"];
/// A stream is opened with GET (WebSocket) or POST (SPDY).
const STREAM_VERBS: &[&str] = &["create", "get"];
const NO_DELETE_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

const fn core_sub(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group: "", version: "v1", kind, verbs }
}

const fn status_of(group: &'static str, kind: &'static str) -> Subresource {
    Subresource { name: "status", group, version: "v1", kind, verbs: STATUS_VERBS }
}

const SCALE: Subresource =
    Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: STATUS_VERBS };

const EVICTION: Subresource =
    Subresource { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: CREATE };

/// Groups in upstream's order of priority, rows within a group by name.
static RESOURCES: &[Resource] = &[
    Resource::of::<core::Binding>("bindings", "binding").verbs(CREATE),
    Resource::of::<core::ComponentStatus>("componentstatuses", "componentstatus")
        .short(&["cs"])
        .cluster()
        .verbs(&["get", "list"]),
    Resource::of::<core::ConfigMap>("configmaps", "configmap").short(&["cm"]),
    Resource::of::<core::Endpoints>("endpoints", "endpoints").short(&["ep"]),
    Resource::of::<core::Event>("events", "event").short(&["ev"]),
    Resource::of::<core::Namespace>("namespaces", "namespace")
        .short(&["ns"])
        .cluster()
        .verbs(NO_DELETE_COLLECTION)
        .subresources(&[core_sub("finalize", "Namespace", &["update"]), status_of("", "Namespace")]),
    Resource::of::<core::Node>("nodes", "node").short(&["no"]).cluster().subresources(&[status_of("", "Node")]),
    Resource::of::<core::Pod>("pods", "pod").short(&["po"]).categories(&["all"]).subresources(&[
        core_sub("attach", "PodAttachOptions", STREAM_VERBS),
        core_sub("binding", "Binding", CREATE),
        EVICTION,
        core_sub("exec", "PodExecOptions", STREAM_VERBS),
        core_sub("log", "Pod", &["get"]),
        status_of("", "Pod"),
    ]),
    Resource::of::<core::ReplicationController>("replicationcontrollers", "replicationcontroller")
        .short(&["rc"])
        .categories(&["all"])
        .subresources(&[SCALE, status_of("", "ReplicationController")]),
    Resource::of::<core::Secret>("secrets", "secret"),
    Resource::of::<core::ServiceAccount>("serviceaccounts", "serviceaccount").short(&["sa"]),
    Resource::of::<core::Service>("services", "service")
        .short(&["svc"])
        .categories(&["all"])
        .subresources(&[status_of("", "Service")]),
    Resource::of::<apps::Deployment>("deployments", "deployment")
        .short(&["deploy"])
        .categories(&["all"])
        .subresources(&[SCALE, status_of("apps", "Deployment")]),
    Resource::of::<apps::ReplicaSet>("replicasets", "replicaset")
        .short(&["rs"])
        .categories(&["all"])
        .subresources(&[SCALE, status_of("apps", "ReplicaSet")]),
    Resource::of::<events::Event>("events", "event").short(&["ev"]),
    Resource::of::<coordination::Lease>("leases", "lease"),
    Resource::of::<discovery::EndpointSlice>("endpointslices", "endpointslice"),
];

/// Every row: groups in upstream's order of priority, rows within a group sorted by name.
#[must_use]
pub fn resources() -> &'static [Resource] {
    RESOURCES
}

/// The row served at `/apis/<group>/<version>/<plural>` (`/api/<version>/<plural>` for core, whose
/// group is empty).
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|r| r.plural == plural && r.group == group && r.version == version)
}

/// The row of the kind that an object's `apiVersion` and `kind` name.
#[must_use]
pub fn find_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    RESOURCES.iter().find(|r| r.kind == kind && r.group == group && r.version == version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::resource::ALL_VERBS;

    /// One line a row, as `kubectl api-resources -o wide` tells it on upstream:
    /// plural, short names, apiVersion, namespaced, kind, verbs, categories, subresources.
    const FACTS: &str = "\
bindings - v1 true Binding create - -
componentstatuses cs v1 false ComponentStatus get,list - -
configmaps cm v1 true ConfigMap ALL - -
endpoints ep v1 true Endpoints ALL - -
events ev v1 true Event ALL - -
namespaces ns v1 false Namespace create,delete,get,list,patch,update,watch - finalize:Namespace:update,status:Namespace:get+patch+update
nodes no v1 false Node ALL - status:Node:get+patch+update
pods po v1 true Pod ALL all attach:PodAttachOptions:create+get,binding:Binding:create,eviction:policy/v1.Eviction:create,exec:PodExecOptions:create+get,log:Pod:get,status:Pod:get+patch+update
replicationcontrollers rc v1 true ReplicationController ALL all scale:autoscaling/v1.Scale:get+patch+update,status:ReplicationController:get+patch+update
secrets - v1 true Secret ALL - -
serviceaccounts sa v1 true ServiceAccount ALL - -
services svc v1 true Service ALL all status:Service:get+patch+update
deployments deploy apps/v1 true Deployment ALL all scale:autoscaling/v1.Scale:get+patch+update,status:Deployment:get+patch+update
replicasets rs apps/v1 true ReplicaSet ALL all scale:autoscaling/v1.Scale:get+patch+update,status:ReplicaSet:get+patch+update
events ev events.k8s.io/v1 true Event ALL - -
leases - coordination.k8s.io/v1 true Lease ALL - -
endpointslices - discovery.k8s.io/v1 true EndpointSlice ALL - -
";

    fn or_dash(words: &[&str]) -> String {
        if words.is_empty() { "-".to_owned() } else { words.join(",") }
    }

    fn subresource_fact(row: &Resource, sub: &Subresource) -> String {
        let own = (sub.group, sub.version) == (row.group, row.version);
        let prefix = if own { String::new() } else { format!("{}/{}.", sub.group, sub.version) };
        format!("{}:{prefix}{}:{}", sub.name, sub.kind, sub.verbs.join("+"))
    }

    fn fact(row: &Resource) -> String {
        let verbs = if row.verbs == ALL_VERBS { "ALL".to_owned() } else { row.verbs.join(",") };
        let subs: Vec<String> = row.subresources.iter().map(|sub| subresource_fact(row, sub)).collect();
        let subs: Vec<&str> = subs.iter().map(String::as_str).collect();
        format!(
            "{} {} {} {} {} {verbs} {} {}",
            row.plural,
            or_dash(row.short_names),
            row.api_version(),
            row.namespaced(),
            row.kind,
            or_dash(row.categories),
            or_dash(&subs)
        )
    }

    #[test]
    fn rows_agree_with_upstream() {
        let rows: Vec<String> = resources().iter().map(fact).collect();
        let expected: Vec<&str> = FACTS.lines().collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn no_row_is_there_twice() {
        let mut plurals = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for row in resources() {
            assert!(plurals.insert((row.group, row.version, row.plural)), "{} twice", row.plural);
            assert!(kinds.insert((row.group, row.version, row.kind)), "{} twice", row.kind);
        }
    }

    #[test]
    fn verbs_and_subresources_are_sorted() {
        for row in resources() {
            assert!(row.verbs.is_sorted(), "{}", row.plural);
            assert!(row.subresources.is_sorted_by_key(|sub| sub.name), "{}", row.plural);
            assert!(row.subresources.iter().all(|sub| sub.verbs.is_sorted()), "{}", row.plural);
        }
    }

    #[test]
    fn rows_are_found_by_path_and_by_kind() {
        for row in resources() {
            let by_path = find(row.group, row.version, row.plural).map(|found| found.kind);
            let by_kind = find_kind(&row.api_version(), row.kind).map(|found| found.plural);
            assert_eq!((by_path, by_kind), (Some(row.kind), Some(row.plural)));
        }
        assert!(find("", "v2", "pods").is_none());
        assert!(find_kind("apps/v1", "Pod").is_none());
    }

    #[test]
    fn every_kind_can_be_decoded_defaulted_checked_and_shown() {
        for row in resources() {
            let ops = row.ops;
            let mut object = ops.decode(b"{}", &mut |field| panic!("{field}")).unwrap();
            ops.set_defaults(&mut *object);
            let once = object.to_value();
            ops.set_defaults(&mut *object);
            assert_eq!(object.to_value(), once, "{}: defaults are not idempotent", row.plural);
            assert_eq!((&once["apiVersion"], &once["kind"]), (&row.api_version().into(), &row.kind.into()));
            ops.validate(&*object);
            assert!(ops.validate_update(&*object, &*object).is_empty(), "{}", row.plural);
            assert_eq!(ops.cells(&*object).len(), ops.columns().len(), "{}", row.plural);
            let fields: BTreeSet<&str> = ops.selectable().iter().map(|field| field.path).collect();
            assert_eq!(fields.len(), ops.selectable().len(), "{}", row.plural);
        }
    }

    #[test]
    fn unknown_fields_are_told_by_their_path() {
        let mut unknown = Vec::new();
        let json = br#"{"kind":"Pod","spec":{"containers":[{"name":"a","nmae":1}],"x":{"y":1}},"z":2}"#;
        find("", "v1", "pods").unwrap().ops.decode(json, &mut |field| unknown.push(field)).unwrap();
        assert_eq!(unknown, ["spec.containers[0].nmae", "spec.x", "z"]);
    }

    #[test]
    fn another_kind_or_another_type_is_refused() {
        let pods = find("", "v1", "pods").unwrap().ops;
        for json in ["{", "[]", r#"{"kind":"Node"}"#, r#"{"spec":1}"#, "{} x"] {
            assert!(pods.decode(json.as_bytes(), &mut |_| {}).is_err(), "{json}");
        }
    }
}
