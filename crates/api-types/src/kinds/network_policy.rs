//! `networking.k8s.io/v1.NetworkPolicy`.

use serde_json::Value;

use crate::{
    IntOrString,
    field::{FieldError, Path},
    networking::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    object::{Column, Kind},
    pod_spec::defaults::default_text,
    table,
    validation::{
        address::{self, Kept},
        endpoint, names, number, selector,
    },
};

const TYPES: [&str; 2] = ["Egress", "Ingress"];

impl Kind for NetworkPolicy {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Pod-Selector",
            "Selects the pods to which this NetworkPolicy object applies.  The array of ingress rules is applied to any pods selected by this field. Multiple network policies can select the same set of pods.  In this case, the ingress rules for each are combined additively. This field is NOT optional and follows standard label selector semantics. An empty podSelector matches all pods in this namespace.",
        ),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        let ingress = spec.ingress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        let egress = spec.egress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        for port in ingress.chain(egress) {
            default_text(&mut port.protocol, "TCP");
        }
        if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
            let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
            let types = ["Ingress"].into_iter().chain(egress.then_some("Egress"));
            spec.policy_types = Some(types.map(str::to_owned).collect());
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        self.spec.as_ref().map(|own| spec(own, &Kept::default())).unwrap_or_default()
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        let kept =
            old.spec.iter().flat_map(blocks).flat_map(|block| block.except.iter().flatten().chain([&block.cidr]));
        let kept: Kept<'_> = kept.map(String::as_str).collect();
        self.spec.as_ref().map(|own| spec(own, &kept)).unwrap_or_default()
    }

    fn cells(&self) -> Vec<Value> {
        let selector = self.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
        vec![
            self.metadata.name.clone().into(),
            selector.map_or_else(|| table::NONE.to_owned(), table::selector).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

/// The ranges that traffic may come from or go to.
fn blocks(spec: &NetworkPolicySpec) -> impl Iterator<Item = &IPBlock> {
    let from = spec.ingress.iter().flatten().flat_map(|rule| rule.from.iter().flatten());
    let to = spec.egress.iter().flatten().flat_map(|rule| rule.to.iter().flatten());
    from.chain(to).filter_map(|peer| peer.ip_block.as_ref())
}

fn spec(spec: &NetworkPolicySpec, kept: &Kept<'_>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    if let Some(pods) = &spec.pod_selector {
        errors.extend(selector::validate(&path.child("podSelector"), pods));
    }
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = path.child("ingress").index(i);
        errors.extend(ports(&path.child("ports"), rule.ports.as_deref().unwrap_or_default()));
        errors.extend(all_peers(&path.child("from"), rule.from.as_deref().unwrap_or_default(), kept));
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        let path = path.child("egress").index(i);
        errors.extend(ports(&path.child("ports"), rule.ports.as_deref().unwrap_or_default()));
        errors.extend(all_peers(&path.child("to"), rule.to.as_deref().unwrap_or_default(), kept));
    }
    errors.extend(types(&path.child("policyTypes"), spec.policy_types.as_deref().unwrap_or_default()));
    errors
}

fn types(path: &Path, types: &[String]) -> Vec<FieldError> {
    if types.len() > TYPES.len() {
        return vec![FieldError::invalid(path, types.to_vec(), "may not specify more than two policyTypes")];
    }
    let indexed = types.iter().enumerate().filter(|(_, kind)| !TYPES.contains(&kind.as_str()));
    indexed.map(|(i, kind)| FieldError::not_supported(&path.index(i), kind.as_str(), &TYPES)).collect()
}

fn ports(path: &Path, ports: &[NetworkPolicyPort]) -> Vec<FieldError> {
    ports.iter().enumerate().flat_map(|(i, own)| port(&path.index(i), own)).collect()
}

fn port(path: &Path, own: &NetworkPolicyPort) -> Vec<FieldError> {
    let (port_path, end_path) = (path.child("port"), path.child("endPort"));
    let mut errors = Vec::new();
    if let Some(other) = own.protocol.as_deref().filter(|protocol| !endpoint::PROTOCOLS.contains(protocol)) {
        errors.push(FieldError::not_supported(&path.child("protocol"), other, &endpoint::PROTOCOLS));
    }
    match (&own.port, own.end_port) {
        (None, None) => {}
        (None, Some(end)) => {
            errors.push(FieldError::invalid(&end_path, end, "may not be specified when `port` is not specified"));
        }
        (Some(IntOrString::Int(first)), end) => {
            errors.extend(number::port(&port_path, *first));
            if let Some(end) = end.filter(|end| end < first) {
                errors.push(FieldError::invalid(&end_path, end, "must be greater than or equal to `port`"));
            }
            errors.extend(end.map(|end| number::port(&end_path, end)).unwrap_or_default());
        }
        (Some(IntOrString::String(name)), end) => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.extend(end.map(|end| FieldError::invalid(&end_path, end, detail)));
            errors.extend(names::check(names::port_name, &port_path, name));
        }
    }
    errors
}

fn all_peers(path: &Path, peers: &[NetworkPolicyPeer], kept: &Kept<'_>) -> Vec<FieldError> {
    peers.iter().enumerate().flat_map(|(i, own)| peer(&path.index(i), own, kept)).collect()
}

fn peer(path: &Path, own: &NetworkPolicyPeer, kept: &Kept<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selectors = [("podSelector", &own.pod_selector), ("namespaceSelector", &own.namespace_selector)];
    for (field, own) in selectors {
        errors.extend(own.iter().flat_map(|own| selector::validate(&path.child(field), own)));
    }
    errors.extend(own.ip_block.iter().flat_map(|block| ip_block(&path.child("ipBlock"), block, kept)));
    let selected = own.pod_selector.is_some() || own.namespace_selector.is_some();
    match (selected, &own.ip_block) {
        (false, None) => errors.push(FieldError::required(path, "must specify a peer")),
        (true, Some(_)) => errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer")),
        _ => {}
    }
    errors
}

fn ip_block(path: &Path, block: &IPBlock, kept: &Kept<'_>) -> Vec<FieldError> {
    let cidr_path = path.child("cidr");
    if block.cidr.is_empty() {
        return vec![FieldError::required(&cidr_path, "")];
    }
    let mut errors = address::unless_kept(address::lenient_range, &cidr_path, &block.cidr, kept);
    let Some(range) = address::parse_range(&block.cidr) else { return errors };
    for (i, except) in block.except.iter().flatten().enumerate() {
        let path = path.child("except").index(i);
        errors.extend(address::unless_kept(address::lenient_range, &path, except, kept));
        let Some(inner) = address::parse_range(except) else { continue };
        if !range.contains(&inner.network()) || range.prefix_len() >= inner.prefix_len() {
            errors.push(FieldError::invalid(&path, except.as_str(), "must be a strict subset of `cidr`"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(spec: Value) -> NetworkPolicy {
        let mut policy: NetworkPolicy = serde_json::from_value(json!({"spec": spec})).unwrap();
        policy.set_defaults();
        policy
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn types_follow_the_rules() {
        let types = |spec| policy(spec).spec.unwrap().policy_types.unwrap();
        assert_eq!(types(json!({})), ["Ingress"]);
        assert_eq!(types(json!({"egress": [{}]})), ["Ingress", "Egress"]);
        assert_eq!(types(json!({"policyTypes": ["Egress"]})), ["Egress"]);
    }

    #[test]
    fn mistakes_are_told() {
        let block = |block: Value| json!({"ingress": [{"from": [{"ipBlock": block}]}]});
        let cases = [
            (json!({"podSelector": {}}), vec![]),
            (json!({"egress": [{"to": [{}]}]}), vec!["spec.egress[0].to[0]: Required value: must specify a peer"]),
            (
                json!({"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
                vec!["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
            ),
            (block(json!({"cidr": ""})), vec!["spec.ingress[0].from[0].ipBlock.cidr: Required value"]),
            (
                block(json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.1/16", "11.0.0.0/16"]})),
                vec![
                    r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.1.0.1/16": must not have bits set beyond the prefix length"#,
                    r#"spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`"#,
                ],
            ),
            (
                json!({"ingress": [{"ports": [{"port": 80, "endPort": 79}, {"endPort": 1}, {"port": "a", "endPort": 1, "protocol": "X"}]}]}),
                vec![
                    "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
                    "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not specified",
                    r#"spec.ingress[0].ports[2].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#,
                    "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
                ],
            ),
            (
                json!({"policyTypes": ["X"]}),
                vec![r#"spec.policyTypes[0]: Unsupported value: "X": supported values: "Egress", "Ingress""#],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&policy(spec).validate()), expected);
        }
    }

    #[test]
    fn ranges_that_were_there_may_stay() {
        let old = policy(json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}));
        let new = policy(json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}));
        assert_eq!(old.validate().len(), 1);
        assert_eq!(texts(&new.revalidate(&old)), Vec::<String>::new());
    }
}
