//! The flow schemas and priority levels that every cluster has, as upstream's API server makes them.

use crate::{
    flowcontrol::{
        ExemptPriorityLevelConfiguration, FlowDistinguisherMethod, FlowSchema, FlowSchemaSpec, GroupSubject,
        LimitResponse, LimitedPriorityLevelConfiguration, NonResourcePolicyRule, PolicyRulesWithSubjects,
        PriorityLevelConfiguration, PriorityLevelConfigurationReference, PriorityLevelConfigurationSpec,
        QueuingConfiguration, ResourcePolicyRule, ServiceAccountSubject, Subject, UserSubject,
    },
    meta::ObjectMeta,
};

/// Flow schemas and priority levels that nobody may change.
pub const MANDATORY: [&str; 2] = ["exempt", "catch-all"];
/// Says that the server keeps a spec as it is to be.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Name, shares, how much of them may be lent in percent, and the number of queues with the size of a hand. A level
/// without queues rejects what is too much.
type Level = (&'static str, i32, i32, Option<(i32, i32)>);

const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
];
const QUEUE_LENGTH: i32 = 50;

/// Somebody who asks.
enum Who {
    Groups(&'static [&'static str]),
    Users(&'static [&'static str]),
    /// Service accounts of `kube-system`.
    Accounts(&'static [&'static str]),
}

/// What somebody asks for.
enum What {
    Everything,
    /// Verbs, group, resources, and whether they may also be outside of namespaces.
    Resources(&'static [&'static str], &'static str, &'static [&'static str], Option<bool>),
    /// Read only.
    Paths(&'static [&'static str]),
}

/// One flow schema.
struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i32,
    method: Option<&'static str>,
    who: &'static [Who],
    what: &'static [What],
}

const ALL: &[&str] = &["*"];
const CHANGES: &[&str] = &["get", "create", "update"];
const EVERYBODY: Who = Who::Groups(&["system:unauthenticated", "system:authenticated"]);
const BY_USER: Option<&str> = Some("ByUser");
const BY_NAMESPACE: Option<&str> = Some("ByNamespace");
const COORDINATION: &str = "coordination.k8s.io";

const fn schema(
    name: &'static str,
    level: &'static str,
    precedence: i32,
    method: Option<&'static str>,
    who: &'static [Who],
    what: &'static [What],
) -> Schema {
    Schema { name, level, precedence, method, who, what }
}

const SCHEMAS: &[Schema] = &[
    schema("exempt", "exempt", 1, None, &[Who::Groups(&["system:masters"])], &[What::Everything]),
    schema("catch-all", "catch-all", 10_000, BY_USER, &[EVERYBODY], &[What::Everything]),
    schema("system-nodes", "system", 500, BY_USER, &[Who::Groups(&["system:nodes"])], &[What::Everything]),
    schema(
        "system-node-high",
        "node-high",
        400,
        BY_USER,
        &[Who::Groups(&["system:nodes"])],
        &[
            What::Resources(ALL, "", &["nodes", "nodes/status"], Some(true)),
            What::Resources(ALL, COORDINATION, &["leases"], None),
        ],
    ),
    schema("probes", "exempt", 2, None, &[EVERYBODY], &[What::Paths(&["/healthz", "/readyz", "/livez"])]),
    schema(
        "system-leader-election",
        "leader-election",
        100,
        BY_USER,
        &[Who::Users(&["system:kube-controller-manager", "system:kube-scheduler"]), Who::Accounts(ALL)],
        &[What::Resources(CHANGES, COORDINATION, &["leases"], None)],
    ),
    schema(
        "workload-leader-election",
        "leader-election",
        200,
        BY_USER,
        &[Who::Accounts(ALL)],
        &[
            What::Resources(CHANGES, "", &["endpoints", "configmaps"], None),
            What::Resources(CHANGES, COORDINATION, &["leases"], None),
        ],
    ),
    schema(
        "endpoint-controller",
        "workload-high",
        150,
        BY_USER,
        &[
            Who::Users(&["system:kube-controller-manager"]),
            Who::Accounts(&["endpoint-controller", "endpointslicemirroring-controller"]),
        ],
        &[What::Resources(CHANGES, "", &["endpoints"], None)],
    ),
    schema(
        "kube-controller-manager",
        "workload-high",
        800,
        BY_NAMESPACE,
        &[Who::Users(&["system:kube-controller-manager"])],
        &[What::Everything],
    ),
    schema(
        "kube-scheduler",
        "workload-high",
        800,
        BY_NAMESPACE,
        &[Who::Users(&["system:kube-scheduler"])],
        &[What::Everything],
    ),
    schema(
        "kube-system-service-accounts",
        "workload-high",
        900,
        BY_NAMESPACE,
        &[Who::Accounts(ALL)],
        &[What::Everything],
    ),
    schema(
        "service-accounts",
        "workload-low",
        9000,
        BY_USER,
        &[Who::Groups(&["system:serviceaccounts"])],
        &[What::Everything],
    ),
    schema("global-default", "global-default", 9900, BY_USER, &[EVERYBODY], &[What::Everything]),
];

/// Every priority level that is built in.
#[must_use]
pub fn priority_levels() -> Vec<PriorityLevelConfiguration> {
    let exempt = ExemptPriorityLevelConfiguration { lendable_percent: Some(0), nominal_concurrency_shares: Some(0) };
    let exempt = PriorityLevelConfigurationSpec { type_: "Exempt".into(), exempt: Some(exempt), limited: None };
    let exempt = PriorityLevelConfiguration { metadata: metadata("exempt"), spec: Some(exempt), status: None };
    [exempt].into_iter().chain(LEVELS.iter().map(limited)).collect()
}

/// A priority level that is built in.
#[must_use]
pub fn priority_level(name: &str) -> Option<PriorityLevelConfiguration> {
    priority_levels().into_iter().find(|level| level.metadata.name.as_deref() == Some(name))
}

/// Every flow schema that is built in.
#[must_use]
pub fn flow_schemas() -> Vec<FlowSchema> {
    SCHEMAS.iter().map(flow).collect()
}

/// A flow schema that is built in.
#[must_use]
pub fn flow_schema(name: &str) -> Option<FlowSchema> {
    SCHEMAS.iter().find(|schema| schema.name == name).map(flow)
}

fn metadata(name: &str) -> ObjectMeta {
    let annotations = Some([(AUTO_UPDATE.to_owned(), "true".to_owned())].into());
    ObjectMeta { name: Some(name.into()), annotations, ..ObjectMeta::default() }
}

fn limited((name, shares, lent, queues): &Level) -> PriorityLevelConfiguration {
    let queuing = queues.map(|(queues, hand)| QueuingConfiguration {
        queues: Some(queues),
        hand_size: Some(hand),
        queue_length_limit: Some(QUEUE_LENGTH),
    });
    let response = if queuing.is_some() { "Queue" } else { "Reject" };
    let limited = LimitedPriorityLevelConfiguration {
        nominal_concurrency_shares: Some(*shares),
        lendable_percent: Some(*lent),
        limit_response: Some(LimitResponse { type_: response.into(), queuing }),
        ..LimitedPriorityLevelConfiguration::default()
    };
    let spec = PriorityLevelConfigurationSpec { type_: "Limited".into(), limited: Some(limited), exempt: None };
    PriorityLevelConfiguration { metadata: metadata(name), spec: Some(spec), status: None }
}

fn flow(schema: &Schema) -> FlowSchema {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for what in schema.what {
        match what {
            What::Everything => {
                resources.push(resource_rule(ALL, "*", ALL, Some(true)));
                paths.push(path_rule(ALL, ALL));
            }
            What::Resources(verbs, group, names, cluster) => {
                resources.push(resource_rule(verbs, group, names, *cluster));
            }
            What::Paths(urls) => paths.push(path_rule(&["get"], urls)),
        }
    }
    let rules = PolicyRulesWithSubjects {
        subjects: schema.who.iter().flat_map(subjects).collect(),
        resource_rules: Some(resources).filter(|rules| !rules.is_empty()),
        non_resource_rules: Some(paths).filter(|rules| !rules.is_empty()),
    };
    let spec = FlowSchemaSpec {
        priority_level_configuration: PriorityLevelConfigurationReference { name: schema.level.into() },
        matching_precedence: Some(schema.precedence),
        distinguisher_method: schema.method.map(|method| FlowDistinguisherMethod { type_: method.into() }),
        rules: Some(vec![rules]),
    };
    FlowSchema { metadata: metadata(schema.name), spec: Some(spec), status: None }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn resource_rule(verbs: &[&str], group: &str, names: &[&str], cluster_scope: Option<bool>) -> ResourcePolicyRule {
    ResourcePolicyRule {
        verbs: owned(verbs),
        api_groups: vec![group.into()],
        resources: owned(names),
        namespaces: Some(owned(ALL)),
        cluster_scope,
    }
}

fn path_rule(verbs: &[&str], urls: &[&str]) -> NonResourcePolicyRule {
    NonResourcePolicyRule { verbs: owned(verbs), non_resource_urls: owned(urls) }
}

fn subjects(who: &Who) -> Vec<Subject> {
    let (names, subject): (&[&str], fn(String) -> Subject) = match who {
        Who::Groups(names) => {
            (names, |name| Subject { kind: "Group".into(), group: Some(GroupSubject { name }), ..Subject::default() })
        }
        Who::Users(names) => {
            (names, |name| Subject { kind: "User".into(), user: Some(UserSubject { name }), ..Subject::default() })
        }
        Who::Accounts(names) => (names, |name| Subject {
            kind: "ServiceAccount".into(),
            service_account: Some(ServiceAccountSubject { name, namespace: "kube-system".into() }),
            ..Subject::default()
        }),
    };
    names.iter().map(|name| subject((*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn what_is_built_in_is_valid_and_complete() {
        for mut schema in flow_schemas() {
            assert!(schema.validate().is_empty(), "{schema:?}");
            let level = &schema.spec.as_ref().unwrap().priority_level_configuration.name;
            assert!(priority_level(level).is_some(), "{level}");
            let before = schema.clone();
            schema.set_defaults();
            assert_eq!(schema, before, "defaults change nothing");
        }
        for mut level in priority_levels() {
            let before = level.clone();
            level.set_defaults();
            assert_eq!(level, before, "defaults change nothing");
        }
    }
}
