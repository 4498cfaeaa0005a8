//! Some pods need what not every kubelet is able to do: nodes declare it.

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
    model::PodSpec,
};

/// See the module.
#[derive(Debug)]
pub struct NodeDeclaredFeatures;

/// A feature, and whether a pod needs it.
type Feature = (&'static str, fn(&PodSpec) -> bool);

/// By upstream's names, sorted.
const FEATURES: &[Feature] = &[
    ("RestartAllContainersOnContainerExits", restarts_all),
    ("UserNamespacesHostNetworkSupport", |spec| spec.host_network && spec.host_users == Some(false)),
];

fn restarts_all(spec: &PodSpec) -> bool {
    let rules = spec.init_containers.iter().chain(&spec.containers).flat_map(|own| &own.restart_policy_rules);
    rules.into_iter().any(|rule| &*rule.action == "RestartAllContainers")
}

fn needs(spec: &PodSpec) -> Vec<&'static str> {
    FEATURES.iter().filter(|(_, needed)| needed(spec)).map(|(name, _)| *name).collect()
}

fn missing<'n>(needs: &[&'n str], declared: &[String]) -> Vec<&'n str> {
    needs.iter().filter(|need| !declared.iter().any(|own| own == *need)).copied().collect()
}

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        let Change::Node { old, new: Some(new) } = change else { return Hint::Skip };
        let changed = old.as_ref().is_none_or(|old| old.status.declared_features != new.status.declared_features);
        Hint::when(changed && missing(&needs(&candidate.pod.spec), &new.status.declared_features).is_empty())
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let needs = needs(&candidate.pod.spec);
        if needs.is_empty() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(move |node: &NodeInfo| {
            let missing = missing(&needs, node.declared_features());
            if missing.is_empty() {
                return Ok(());
            }
            let what = missing.join(", ");
            Err(Rejection::never_here(format!(
                "node declared features check failed - unsatisfied requirements: {what}"
            )))
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Cluster, node};

    #[test]
    fn only_nodes_that_declare_it_do() {
        let declares = |name: &str, features: &[&str]| node(name, json!({"status": {"declaredFeatures": features}}));
        let mut cluster = Cluster::of(&[
            declares("a", &["RestartAllContainersOnContainerExits", "Other"]),
            declares("b", &["UserNamespacesHostNetworkSupport"]),
        ]);
        let rules = json!([{"action": "RestartAllContainers"}]);
        let pod = json!({"metadata": {}, "spec": {"containers": [{"restartPolicyRules": rules}]}});
        assert_eq!(cluster.decide(&pod), Ok("a".to_owned()));
        let pod = json!({"metadata": {}, "spec": {"hostNetwork": true, "hostUsers": false}});
        assert_eq!(cluster.decide(&pod), Ok("b".to_owned()));
        let pod = json!({"metadata": {}, "spec": {"hostNetwork": true, "hostUsers": false,
            "nodeSelector": {"kubernetes.io/hostname": "a"}}});
        assert_eq!(
            cluster.decide(&pod).unwrap_err(),
            "0/2 nodes are available: 1 node declared features check failed - unsatisfied requirements: \
             UserNamespacesHostNetworkSupport, 1 node(s) didn't match Pod's node affinity/selector."
        );
        let pod = json!({"metadata": {}, "spec": {"hostNetwork": true}});
        assert!(cluster.decide(&pod).is_ok());
    }
}
