//! `--authorization-config`: the list of authorizers in a file, which is read again when it changes.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use component::{
    auth::{AlwaysAllow, Attributes, Authorizer, Authorizers, Masters, Rules, User, Verdict, delegated::ReviewVersion},
    files::FromFiles,
    flags::duration,
};
use futures::future::BoxFuture;
use serde::Deserialize;

use super::{
    Authorization,
    conditions::Conditions,
    modes::AlwaysDeny,
    node::Nodes,
    rbac::Rbac,
    webhook::{Failure, Settings, Webhook},
};
use crate::webhook::Connection;

const GROUP: &str = "apiserver.config.k8s.io/";
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];
/// The longest that a webhook may be waited for.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    authorizers: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    r#type: String,
    #[serde(default)]
    name: String,
    webhook: Option<WebhookLine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookLine {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    #[serde(default = "yes")]
    cache_authorized_requests: bool,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    #[serde(default = "yes")]
    cache_unauthorized_requests: bool,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    #[serde(default)]
    failure_policy: String,
    connection_info: ConnectionLine,
    #[serde(default)]
    match_conditions: Vec<ConditionLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionLine {
    #[serde(default)]
    expression: String,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectionLine {
    r#type: String,
    kube_config_file: Option<std::path::PathBuf>,
}

/// What is kept when the file changes.
struct BuiltIn {
    rbac: Arc<Rbac>,
    nodes: Arc<Nodes>,
}

/// Decides as the file says at the moment.
struct Configured(FromFiles<Authorizers>);

impl Authorizer for Configured {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        let list = self.0.get();
        Box::pin(async move { list.authorize(attributes).await })
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Rules> {
        let list = self.0.get();
        Box::pin(async move { list.rules(user, namespace).await })
    }
}

/// The authorizers that a file lists.
///
/// # Errors
/// When it cannot be read or makes no sense.
pub fn read(path: &Path) -> anyhow::Result<Authorization> {
    let built_in = BuiltIn { rbac: Arc::default(), nodes: Arc::default() };
    let mirrors = built_in.rbac.mirrors().into_iter().chain(built_in.nodes.mirrors()).collect();
    let own = path.to_owned();
    let configured = FromFiles::new("the authorization configuration", vec![path.to_owned()], move || {
        let text = std::fs::read_to_string(&own).with_context(|| own.display().to_string())?;
        parse(&text, &built_in)
    })?;
    Ok(Authorization { authorizer: Arc::new(Configured(configured)), mirrors })
}

/// Whether a file lists this type of authorizer; not when it makes no sense.
#[must_use]
pub fn lists(path: &Path, kind: &str) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let file = api_types::yaml::from_str(&text).ok().and_then(|tree| serde_json::from_value::<File>(tree).ok());
    file.is_some_and(|file| file.authorizers.iter().any(|line| line.r#type == kind))
}

fn parse(text: &str, built_in: &BuiltIn) -> anyhow::Result<Authorizers> {
    let file: File = serde_json::from_value(api_types::yaml::from_str(text)?)?;
    let known = file.api_version.strip_prefix(GROUP).is_some_and(|version| VERSIONS.contains(&version));
    ensure!(
        known && file.kind == "AuthorizationConfiguration",
        "no kind {:?} in version {:?}",
        file.kind,
        file.api_version
    );
    ensure!(
        !file.authorizers.is_empty(),
        "authorizers: Required value: at least one authorization mode must be defined"
    );
    let mut members: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, line) in file.authorizers.iter().enumerate() {
        let made = line.build(built_in).with_context(|| format!("authorizers[{index}]"))?;
        let twice =
            |(kind, name): &(&str, &str)| *name == line.name || (*kind == line.r#type && line.r#type != Webhook::NAME);
        ensure!(!seen.iter().any(twice), "authorizers[{index}]: Duplicate value: {:?}", line.name);
        seen.push((&line.r#type, &line.name));
        members.push(made);
    }
    Ok(Authorizers::new(members))
}

impl Line {
    fn build(&self, built_in: &BuiltIn) -> anyhow::Result<Arc<dyn Authorizer>> {
        let kind = self.r#type.as_str();
        ensure!(!kind.is_empty(), "type: Required value");
        ensure!(!self.name.is_empty(), "name: Required value");
        let wrong = api_types::validation::names::dns1123_subdomain(&self.name);
        ensure!(wrong.is_empty(), "name: Invalid value: {:?}: {}", self.name, wrong.join("; "));
        match (kind, &self.webhook) {
            (Webhook::NAME, Some(webhook)) => Ok(Arc::new(webhook.build()?)),
            (Webhook::NAME, None) => bail!("webhook: Required value: required when type=Webhook"),
            (_, Some(_)) => bail!("webhook: Invalid value: may only be specified when type=Webhook"),
            (Rbac::NAME, None) => Ok(built_in.rbac.clone()),
            (Nodes::NAME, None) => Ok(built_in.nodes.clone()),
            (AlwaysAllow::NAME, None) => Ok(Arc::new(AlwaysAllow)),
            (AlwaysDeny::NAME, None) => Ok(Arc::new(AlwaysDeny)),
            _ => bail!(
                "type: Unsupported value: {kind:?}: supported values: \"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\""
            ),
        }
    }
}

impl WebhookLine {
    fn build(&self) -> anyhow::Result<Webhook> {
        let webhook = Webhook::new(self.settings()?)?;
        let expressions = self.match_conditions.iter().map(|condition| condition.expression.as_str());
        Ok(webhook.when(Conditions::compile(expressions)?))
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let version = match self.subject_access_review_version.as_str() {
            "v1" => ReviewVersion::V1,
            "v1beta1" => ReviewVersion::V1beta1,
            "" => bail!("subjectAccessReviewVersion: Required value"),
            other => {
                bail!("subjectAccessReviewVersion: Unsupported value: {other:?}: supported values: \"v1\", \"v1beta1\"")
            }
        };
        let conditions = self.match_condition_subject_access_review_version.as_str();
        ensure!(
            !conditions.is_empty() || self.match_conditions.is_empty(),
            "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified"
        );
        ensure!(
            matches!(conditions, "" | "v1"),
            "matchConditionSubjectAccessReviewVersion: Unsupported value: {conditions:?}: supported values: \"v1\""
        );
        let failure = match self.failure_policy.as_str() {
            "NoOpinion" => Failure::NoOpinion,
            "Deny" => Failure::Deny,
            "" => bail!("failurePolicy: Required value"),
            other => bail!("failurePolicy: Unsupported value: {other:?}: supported values: \"Deny\", \"NoOpinion\""),
        };
        ensure!(!self.timeout.is_empty(), "timeout: Required value");
        let timeout = time("timeout", &self.timeout)?;
        ensure!(
            timeout > Duration::ZERO && timeout <= LONGEST,
            "timeout: Invalid value: {:?}: must be > 0s and <= 30s",
            self.timeout
        );
        Ok(Settings {
            connection: self.connection_info.connection()?,
            version,
            allowed_ttl: ttl("authorizedTTL", self.authorized_ttl.as_deref(), "5m", self.cache_authorized_requests)?,
            refused_ttl: ttl(
                "unauthorizedTTL",
                self.unauthorized_ttl.as_deref(),
                "30s",
                self.cache_unauthorized_requests,
            )?,
            timeout,
            failure,
        })
    }
}

fn time(field: &str, text: &str) -> anyhow::Result<Duration> {
    duration(text).map_err(anyhow::Error::msg).with_context(|| field.to_owned())
}

fn ttl(field: &str, text: Option<&str>, default: &str, cached: bool) -> anyhow::Result<Duration> {
    let ttl = time(field, text.unwrap_or(default))?;
    Ok(if cached { ttl } else { Duration::ZERO })
}

impl ConnectionLine {
    fn connection(&self) -> anyhow::Result<Connection> {
        match (self.r#type.as_str(), &self.kube_config_file) {
            ("InClusterConfig", None) => Ok(Connection::InCluster),
            ("InClusterConfig", Some(_)) => {
                bail!("connectionInfo.kubeConfigFile: Invalid value: can only be set when type=KubeConfigFile")
            }
            ("KubeConfigFile", Some(path)) => {
                ensure!(
                    path.is_absolute(),
                    "connectionInfo.kubeConfigFile: Invalid value: {:?}: must be an absolute path",
                    path.display()
                );
                Ok(Connection::Kubeconfig(path.clone()))
            }
            ("KubeConfigFile", None) => bail!("connectionInfo.kubeConfigFile: Required value"),
            (other, _) => bail!(
                "connectionInfo.type: Unsupported value: {other:?}: supported values: \"InClusterConfig\", \"KubeConfigFile\""
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(authorizers: &str) -> String {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: {authorizers}"
        );
        let built_in = BuiltIn { rbac: Arc::default(), nodes: Arc::default() };
        parse(&text, &built_in).map(|_| String::new()).unwrap_or_else(|error| format!("{error:#}"))
    }

    #[test]
    fn files_are_checked() {
        let webhook = |more: &str| {
            errors(&format!(
                "[{{type: Webhook, name: w, webhook: {{subjectAccessReviewVersion: v1, timeout: 3s, \
                failurePolicy: Deny, connectionInfo: {{type: InClusterConfig}}{more}}}}}]"
            ))
        };
        assert_eq!(errors("[{type: Node, name: node}, {type: RBAC, name: rbac}]"), "");
        assert_eq!(webhook(""), "");
        let conditions = ", matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: 'has(request.resourceAttributes)'}]";
        assert_eq!(webhook(conditions), "");
        for (found, expected) in [
            (errors("[]"), "at least one authorization mode must be defined"),
            (errors("[{type: RBAC, name: a}, {type: RBAC, name: b}]"), "authorizers[1]: Duplicate value: \"b\""),
            (errors("[{type: RBAC, name: a}, {type: Node, name: a}]"), "authorizers[1]: Duplicate value: \"a\""),
            (errors("[{type: RBAC}]"), "authorizers[0]: name: Required value"),
            (errors("[{type: Magic, name: a}]"), "type: Unsupported value: \"Magic\""),
            (errors("[{type: Webhook, name: a}]"), "webhook: Required value"),
            (errors("[{type: RBAC, name: a, color: red}]"), "unknown field `color`"),
            (
                webhook(", matchConditions: [{expression: 'true'}]"),
                "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified",
            ),
            (
                webhook(", matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: '1'}]"),
                "matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
            ),
            (webhook(", authorizedTTL: soon"), "authorizedTTL: invalid duration"),
        ] {
            assert!(found.contains(expected), "{found} does not say {expected}");
        }
    }
}
