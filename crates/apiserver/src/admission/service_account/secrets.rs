//! Accounts whose pods may mount only those secrets that the account names.

use std::collections::HashSet;

use api_types::core::{Container, EnvFromSource, EnvVar, Pod, ServiceAccount};

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
    let containers = |kind: &str, list: &[Environment<'_>]| {
        list.iter().find_map(|environment| allowed.environment(kind, environment))
    };
    let ephemeral: Vec<_> = (spec.ephemeral_containers.iter().flatten())
        .map(|c| Environment::of(&c.name, c.env.as_deref(), c.env_from.as_deref()))
        .collect();
    if added {
        return containers("ephemeral container", &ephemeral);
    }
    let init: Vec<_> = spec.init_containers.iter().flatten().map(Environment::of_container).collect();
    let main: Vec<_> = spec.containers.iter().map(Environment::of_container).collect();
    allowed
        .volumes(pod)
        .or_else(|| containers("init container", &init))
        .or_else(|| containers("container", &main))
        .or_else(|| pulled(pod, account))
}

/// From where a container has its environment.
struct Environment<'a> {
    container: &'a str,
    variables: &'a [EnvVar],
    sources: &'a [EnvFromSource],
}

impl<'a> Environment<'a> {
    fn of_container(container: &'a Container) -> Self {
        Self::of(&container.name, container.env.as_deref(), container.env_from.as_deref())
    }

    fn of(container: &'a str, variables: Option<&'a [EnvVar]>, sources: Option<&'a [EnvFromSource]>) -> Self {
        Self { container, variables: variables.unwrap_or_default(), sources: sources.unwrap_or_default() }
    }
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

    fn environment(&self, kind: &str, environment: &Environment<'_>) -> Option<String> {
        let container = environment.container;
        let by_name = environment.variables.iter().find_map(|variable| {
            let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            self.refusal(&format!("{kind} {container} with envVar {} referencing", variable.name), &key.name)
        });
        by_name.or_else(|| {
            let mut secrets = environment.sources.iter().filter_map(|source| source.secret_ref.as_ref());
            secrets.find_map(|own| self.refusal(&format!("{kind} {container} with envFrom referencing"), &own.name))
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
        let whole = |secret: &str| json!([{"configMapRef": {"name": "x"}}, {"secretRef": {"name": secret}}]);
        let suffix = |what: &str| {
            Some(format!(
                "{what} secret.secretName=\"x\" is not allowed because service account sa does not reference that secret"
            ))
        };
        let cases = [
            (json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}), suffix("volume with")),
            (json!({"initContainers": [{"name": "i", "env": variable("x")}]}), suffix("init container i with envVar A referencing")),
            (json!({"containers": [{"name": "c", "env": variable("x")}]}), suffix("container c with envVar A referencing")),
            (json!({"initContainers": [{"name": "i", "envFrom": whole("x")}]}), suffix("init container i with envFrom referencing")),
            (json!({"containers": [{"name": "c", "envFrom": whole("x")}]}), suffix("container c with envFrom referencing")),
            (json!({"containers": [{"name": "c", "envFrom": whole("mine")}]}), None),
            (json!({"imagePullSecrets": [{"name": "pull"}, {"name": "x"}]}), Some("imagePullSecrets[1].name=\"x\" is not allowed because service account sa does not reference that imagePullSecret".to_owned())),
            (json!({"containers": [{"name": "c", "env": variable("mine")}], "imagePullSecrets": [{"name": "pull"}]}), None),
        ];
        for (spec, expected) in cases {
            assert_eq!(check(spec.clone(), false), expected, "{spec}");
        }
        let added = json!({"ephemeralContainers": [{"name": "e", "env": variable("x")}]});
        assert_eq!(check(added, true), suffix("ephemeral container e with envVar A referencing"));
        let added = json!({"ephemeralContainers": [{"name": "e", "envFrom": whole("x")}]});
        assert_eq!(check(added, true), suffix("ephemeral container e with envFrom referencing"));
    }
}
