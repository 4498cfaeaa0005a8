//! Accounts whose pods may mount only those secrets that the account names.

use std::collections::HashSet;

use api_types::core::{EnvVar, Pod, ServiceAccount};

/// Asks for that; deprecated upstream, but obeyed.
const ENFORCED: &str = "kubernetes.io/enforce-mountable-secrets";
/// What Go reads as true.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// Why a pod may not run as the account, if it may not. `added` looks at nothing but ephemeral containers.
pub(super) fn forbidden(pod: &Pod, account: &ServiceAccount, added: bool) -> Option<String> {
    let asked = account.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ENFORCED));
    if !asked.is_some_and(|asked| TRUE.contains(&asked.as_str())) {
        return None;
    }
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let mountable = account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref()).collect();
    let allowed = Allowed { account: name, mountable };
    let spec = pod.spec.as_ref()?;
    let containers = |kind: &'static str, list: &'_ [(&str, Option<&Vec<EnvVar>>)]| {
        list.iter().find_map(|(container, variables)| allowed.variables(kind, container, *variables))
    };
    let ephemeral: Vec<_> =
        spec.ephemeral_containers.iter().flatten().map(|c| (c.name.as_str(), c.env.as_ref())).collect();
    if added {
        return containers("ephemeral container", &ephemeral);
    }
    let init: Vec<_> = spec.init_containers.iter().flatten().map(|c| (c.name.as_str(), c.env.as_ref())).collect();
    let main: Vec<_> = spec.containers.iter().map(|c| (c.name.as_str(), c.env.as_ref())).collect();
    allowed
        .volumes(pod)
        .or_else(|| containers("init container", &init))
        .or_else(|| containers("container", &main))
        .or_else(|| pulled(pod, account))
}

struct Allowed<'a> {
    account: &'a str,
    mountable: HashSet<&'a str>,
}

impl Allowed<'_> {
    fn refusal(&self, what: &str, secret: &str) -> Option<String> {
        (!self.mountable.contains(secret)).then(|| {
            format!(
                "{what} secret.secretName=\"{secret}\" is not allowed because service account {} does not reference that secret",
                self.account
            )
        })
    }

    fn volumes(&self, pod: &Pod) -> Option<String> {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut secrets = volumes.filter_map(|volume| volume.secret.as_ref());
        secrets.find_map(|secret| self.refusal("volume with", secret.secret_name.as_deref().unwrap_or_default()))
    }

    fn variables(&self, kind: &str, container: &str, variables: Option<&Vec<EnvVar>>) -> Option<String> {
        variables.into_iter().flatten().find_map(|variable| {
            let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            self.refusal(&format!("{kind} {container} with envVar {} referencing", variable.name), &key.name)
        })
    }
}

fn pulled(pod: &Pod, account: &ServiceAccount) -> Option<String> {
    let allowed: HashSet<&str> =
        account.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    let name = account.metadata.name.as_deref().unwrap_or_default();
    let secrets = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    secrets.enumerate().find(|(_, secret)| !allowed.contains(secret.name.as_str())).map(|(index, secret)| {
        format!(
            "imagePullSecrets[{index}].name=\"{}\" is not allowed because service account {name} does not reference that imagePullSecret",
            secret.name
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(spec: Value, added: bool) -> Option<String> {
        let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let metadata = json!({"name": "sa", "annotations": {ENFORCED: "true"}});
        let account =
            json!({"metadata": metadata, "secrets": [{"name": "mine"}], "imagePullSecrets": [{"name": "pull"}]});
        let mut account: ServiceAccount = serde_json::from_value(account).unwrap();
        let why = forbidden(&pod, &account, added);
        account.metadata.annotations = None;
        assert_eq!(forbidden(&pod, &account, added), None, "nobody asked");
        why
    }

    #[test]
    fn only_named_secrets_are_mounted() {
        let variable =
            |secret: &str| json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]);
        let suffix = |what: &str| {
            Some(format!(
                "{what} secret.secretName=\"x\" is not allowed because service account sa does not reference that secret"
            ))
        };
        let cases = [
            (json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}), suffix("volume with")),
            (json!({"initContainers": [{"name": "i", "env": variable("x")}]}), suffix("init container i with envVar A referencing")),
            (json!({"containers": [{"name": "c", "env": variable("x")}]}), suffix("container c with envVar A referencing")),
            (json!({"imagePullSecrets": [{"name": "pull"}, {"name": "x"}]}), Some("imagePullSecrets[1].name=\"x\" is not allowed because service account sa does not reference that imagePullSecret".to_owned())),
            (json!({"containers": [{"name": "c", "env": variable("mine")}], "imagePullSecrets": [{"name": "pull"}]}), None),
        ];
        for (spec, expected) in cases {
            assert_eq!(check(spec.clone(), false), expected, "{spec}");
        }
        let added = json!({"ephemeralContainers": [{"name": "e", "env": variable("x")}]});
        assert_eq!(check(added, true), suffix("ephemeral container e with envVar A referencing"));
    }
}
