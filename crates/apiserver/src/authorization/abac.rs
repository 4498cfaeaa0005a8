//! Policies in a file, a line of JSON each.

use std::{future::ready, path::Path};

use anyhow::{Context, bail};
use component::auth::{
    Attributes, Authorizer, Rules, Target, User, Verdict,
    authorization::{PathRule, ResourceRule},
    user::AUTHENTICATED,
};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

const VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";
const ALL: &str = "*";
/// What all policies allow.
const READING: [&str; 3] = ["get", "list", "watch"];

/// Decides by the policies of `--authorization-policy-file`.
#[derive(Debug, Default)]
pub struct Abac(Vec<Policy>);

/// One line: what is empty matches nothing, `*` everything.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

/// A line of before there were versions: what is empty matches everything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OldPolicy {
    user: String,
    group: String,
    readonly: bool,
    resource: String,
    namespace: String,
}

impl Abac {
    /// The mode's name.
    pub const NAME: &str = "ABAC";

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a line makes no sense.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let read = |(index, line): (usize, &str)| {
            parse(line.trim()).with_context(|| format!("error reading policy file {}, line {index}", path.display()))
        };
        lines.map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        if self.0.iter().any(|policy| policy.matches(attributes)) {
            return Verdict::allow();
        }
        Verdict::no_opinion("No policy matched.")
    }

    fn list(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        for policy in self.0.iter().filter(|policy| policy.is_about(user)) {
            let verbs: Vec<String> =
                if policy.readonly { READING.map(str::to_owned).into() } else { vec![ALL.to_owned()] };
            if !policy.resource.is_empty() && (policy.namespace == ALL || policy.namespace == namespace) {
                rules.resources.push(ResourceRule {
                    verbs: verbs.clone(),
                    groups: vec![policy.api_group.clone()],
                    resources: vec![policy.resource.clone()],
                    names: Vec::new(),
                });
            }
            if !policy.non_resource_path.is_empty() {
                rules.paths.push(PathRule { verbs, paths: vec![policy.non_resource_path.clone()] });
            }
        }
        rules
    }
}

impl Authorizer for Abac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(self.decide(attributes)))
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(self.list(user, namespace)))
    }
}

fn parse(line: &str) -> anyhow::Result<Policy> {
    let tree: Value = serde_json::from_str(line)?;
    let text = |field: &str| tree.get(field).and_then(Value::as_str).unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("", "") => Ok(serde_json::from_value::<OldPolicy>(tree)?.into()),
        (VERSION, "Policy") => {
            let spec = tree.get("spec").cloned().unwrap_or_default();
            let mut policy: Policy = serde_json::from_value(spec)?;
            if policy.user == ALL || policy.group == ALL {
                (policy.user, policy.group) = (String::new(), AUTHENTICATED.to_owned());
            }
            Ok(policy)
        }
        (version, kind) => bail!("no kind {kind:?} is registered for version {version:?}"),
    }
}

impl From<OldPolicy> for Policy {
    fn from(old: OldPolicy) -> Self {
        let or_all = |text: &str| if text.is_empty() { ALL.to_owned() } else { text.to_owned() };
        let everybody = (old.user.is_empty() && old.group.is_empty()) || old.user == ALL || old.group == ALL;
        let (user, group) =
            if everybody { (String::new(), AUTHENTICATED.to_owned()) } else { (old.user.clone(), old.group.clone()) };
        let everything = old.resource.is_empty() && old.namespace.is_empty();
        Self {
            user,
            group,
            readonly: old.readonly,
            api_group: ALL.to_owned(),
            resource: or_all(&old.resource),
            namespace: or_all(&old.namespace),
            non_resource_path: if everything { ALL.to_owned() } else { String::new() },
        }
    }
}

impl Policy {
    fn matches(&self, attributes: &Attributes<'_>) -> bool {
        let reading = READING.contains(&&*attributes.verb);
        self.is_about(attributes.user) && (reading || !self.readonly) && self.covers(&attributes.target)
    }

    fn is_about(&self, user: &User) -> bool {
        let named = self.user.is_empty() || self.user == ALL || self.user == user.name;
        let member = self.group.is_empty() || self.group == ALL || user.is_in(&self.group);
        named && member && !(self.user.is_empty() && self.group.is_empty())
    }

    fn covers(&self, target: &Target<'_>) -> bool {
        let is = |own: &str, asked: &str| own == ALL || own == asked;
        match target {
            Target::Path(path) => {
                let own = &self.non_resource_path;
                is(own, path) || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
            }
            Target::Resource(place) => {
                is(&self.namespace, &place.namespace)
                    && is(&self.resource, &place.resource)
                    && is(&self.api_group, &place.group)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use component::auth::ResourceAttributes;

    use super::*;

    fn allows(lines: &[&str], user: &str, verb: &str, target: Target<'_>) -> bool {
        let abac = Abac(lines.iter().map(|line| parse(line).unwrap()).collect());
        let user = User::authenticated(user, "", vec!["ops".into()]);
        abac.decide(&Attributes { user: &user, verb: verb.into(), target }) == Verdict::allow()
    }

    fn pods(namespace: &str) -> Target<'_> {
        Target::Resource(ResourceAttributes {
            namespace: namespace.into(),
            resource: "pods".into(),
            ..ResourceAttributes::default()
        })
    }

    fn spec(spec: &str) -> String {
        format!(r#"{{"apiVersion": "{VERSION}", "kind": "Policy", "spec": {spec}}}"#)
    }

    #[test]
    fn policies_match_as_upstreams_do() {
        let reader =
            spec(r#"{"user": "bob", "resource": "pods", "namespace": "x", "readonly": true, "apiGroup": "*"}"#);
        let both = spec(r#"{"user": "bob", "group": "ops", "resource": "*", "namespace": "*", "apiGroup": "*"}"#);
        let health = spec(r#"{"group": "ops", "nonResourcePath": "/healthz*"}"#);
        let nobody = spec(r#"{"resource": "*", "namespace": "*", "apiGroup": "*", "nonResourcePath": "*"}"#);
        let everybody = spec(r#"{"user": "*", "resource": "*", "namespace": "*", "apiGroup": "*"}"#);
        let old = r#"{"user": "bob", "ns": "ignored", "namespace": "x"}"#;
        for (line, user, verb, target, expected) in [
            (&*reader, "bob", "list", pods("x"), true),
            (&*reader, "bob", "create", pods("x"), false),
            (&*reader, "bob", "list", pods("y"), false),
            (&*reader, "ann", "list", pods("x"), false),
            (&*both, "bob", "delete", pods("y"), true),
            (&*both, "bob", "get", Target::Path("/healthz".into()), false),
            (&*health, "ann", "get", Target::Path("/healthz/ping".into()), true),
            (&*health, "ann", "get", Target::Path("/metrics".into()), false),
            (&*health, "ann", "get", pods(""), false),
            (&*nobody, "ann", "get", pods("x"), false),
            (&*everybody, "ann", "create", pods("x"), true),
            (old, "bob", "create", pods("x"), true),
            (old, "bob", "get", Target::Path("/".into()), false),
            (r#"{"readonly": true}"#, "ann", "get", Target::Path("/".into()), true),
        ] {
            assert_eq!(allows(&[line], user, verb, target.clone()), expected, "{line} {user} {verb} {target:?}");
        }
        assert!(parse(r#"{"apiVersion": "v2", "kind": "Policy"}"#).is_err());
    }
}
