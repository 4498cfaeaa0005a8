//! What users may do: an ordered list of authorizers.

use std::{borrow::Cow, future::ready, sync::Arc};

use api_types::status::{GroupResource, StatusError};
use futures::future::BoxFuture;

use super::{User, user::MASTERS};

/// What somebody wants to do, as authorizers see it.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// What: any word. `get`, `list`, `impersonate`, `bind`; the method in lower case for paths.
    pub verb: Cow<'a, str>,
    /// With what.
    pub target: Target<'a>,
}

/// What is to be done something with.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// An object or a collection.
    Resource(ResourceAttributes<'a>),
    /// A path that is no resource.
    Path(Cow<'a, str>),
}

/// An object or a collection. What does not apply is empty.
#[derive(Clone, Debug, Default)]
pub struct ResourceAttributes<'a> {
    /// API group; empty for core.
    pub group: Cow<'a, str>,
    /// API version; `*` for any.
    pub version: Cow<'a, str>,
    /// Empty at cluster scope and for all namespaces.
    pub namespace: Cow<'a, str>,
    /// The plural.
    pub resource: Cow<'a, str>,
    /// Such as `status`.
    pub subresource: Cow<'a, str>,
    /// The object, where one is meant.
    pub name: Cow<'a, str>,
    /// What a collection is narrowed to, in the grammar of selectors, not parsed.
    pub field_selector: Cow<'a, str>,
    /// What a collection is narrowed to, in the grammar of selectors, not parsed.
    pub label_selector: Cow<'a, str>,
}

/// An authorizer's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Allow,
    /// It may not, whatever later authorizers would say.
    Deny,
    /// Others may decide; nobody's opinion is a refusal.
    #[default]
    NoOpinion,
}

/// An authorizer's answer with its reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// Why, for people; may be empty.
    pub reason: String,
    /// What went wrong while it was found; empty when nothing did. An answer can be good all the same.
    pub error: String,
}

impl Verdict {
    /// It may be done.
    #[must_use]
    pub fn allow() -> Self {
        Self { decision: Decision::Allow, ..Self::default() }
    }

    /// It may not be done.
    #[must_use]
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Deny, reason: reason.into(), error: String::new() }
    }

    /// Others may decide.
    #[must_use]
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: reason.into(), error: String::new() }
    }

    /// Others may decide, because this failed.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: String::new(), error: error.into() }
    }
}

/// What a user may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What may be done with resources.
    pub resources: Vec<ResourceRule>,
    /// What may be done with paths.
    pub paths: Vec<PathRule>,
    /// Whether there is more that cannot be listed.
    pub incomplete: bool,
    /// What went wrong; may be empty.
    pub error: String,
}

/// What may be done with some resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceRule {
    /// Verbs; `*` for all.
    pub verbs: Vec<String>,
    /// API groups; `*` for all.
    pub groups: Vec<String>,
    /// Plurals; `*` for all.
    pub resources: Vec<String>,
    /// Names; none for all.
    pub names: Vec<String>,
}

/// What may be done with some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRule {
    /// Verbs; `*` for all.
    pub verbs: Vec<String>,
    /// Paths; `*` for all.
    pub paths: Vec<String>,
}

/// Decides what users may do.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides about one thing.
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict>;

    /// What a user may do in a namespace. An authorizer that cannot list it says so.
    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Rules>;
}

/// Authorizers in their order: the first that has an opinion decides.
#[derive(Clone, Default)]
pub struct Authorizers(Vec<Arc<dyn Authorizer>>);

impl Authorizers {
    /// A list.
    #[must_use]
    pub fn new(members: Vec<Arc<dyn Authorizer>>) -> Self {
        Self(members)
    }
}

impl Authorizer for Authorizers {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let mut said: Vec<Verdict> = Vec::new();
            for member in &self.0 {
                let verdict = member.authorize(attributes).await;
                if verdict.decision != Decision::NoOpinion {
                    return verdict;
                }
                if verdict != Verdict::default() {
                    said.push(verdict);
                }
            }
            Verdict {
                decision: Decision::NoOpinion,
                reason: joined(said.iter().map(|verdict| &verdict.reason), "\n"),
                error: aggregate(said.iter().map(|verdict| &verdict.error)),
            }
        })
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(async move {
            let mut all = Rules::default();
            let mut errors = Vec::new();
            for member in &self.0 {
                let rules = member.rules(user, namespace).await;
                all.resources.extend(rules.resources);
                all.paths.extend(rules.paths);
                all.incomplete |= rules.incomplete;
                errors.push(rules.error);
            }
            all.error = aggregate(errors.iter());
            all
        })
    }
}

/// Allows everything.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

impl AlwaysAllow {
    /// The mode's name.
    pub const NAME: &str = "AlwaysAllow";
}

impl Authorizer for AlwaysAllow {
    fn authorize<'a>(&'a self, _: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(Verdict::allow()))
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        let all = || vec!["*".to_owned()];
        let resources = ResourceRule { verbs: all(), groups: all(), resources: all(), names: Vec::new() };
        let paths = PathRule { verbs: all(), paths: all() };
        Box::pin(ready(Rules { resources: vec![resources], paths: vec![paths], ..Rules::default() }))
    }
}

/// Allows everything to `system:masters`.
#[derive(Clone, Copy, Debug)]
pub struct Masters;

impl Authorizer for Masters {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        let verdict = if attributes.user.is_in(MASTERS) { Verdict::allow() } else { Verdict::default() };
        Box::pin(ready(verdict))
    }

    /// As upstream, which lists what others give, and no more.
    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        Box::pin(ready(Rules::default()))
    }
}

fn joined<'a>(texts: impl Iterator<Item = &'a String>, separator: &str) -> String {
    texts.filter(|text| !text.is_empty()).map(String::as_str).collect::<Vec<_>>().join(separator)
}

/// The only error as it is, several as Go writes them.
fn aggregate<'a>(errors: impl Iterator<Item = &'a String> + Clone) -> String {
    let text = joined(errors.clone(), ", ");
    if errors.filter(|error| !error.is_empty()).count() > 1 { format!("[{text}]") } else { text }
}

impl Attributes<'_> {
    /// A refusal in upstream's words: who may not do what to which resource where.
    #[must_use]
    pub fn forbidden(&self, reason: &str) -> StatusError {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let (user, verb) = (&self.user.name, &self.verb);
        let resource = match &self.target {
            Target::Path(path) => {
                let what = format!("User {user:?} cannot {verb} path {path:?}{reason}");
                return StatusError::forbidden(GroupResource::default(), "", &what);
            }
            Target::Resource(resource) => resource,
        };
        let kind = match &*resource.subresource {
            "" => resource.resource.to_string(),
            subresource => format!("{}/{subresource}", resource.resource),
        };
        let scope = match &*resource.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let what =
            format!("User {user:?} cannot {verb} resource {kind:?} in API group {:?} {scope}{reason}", resource.group);
        StatusError::forbidden(GroupResource::new(&resource.group, &resource.resource), &resource.name, &what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authorizer that always says the same.
    struct Fixed(Verdict);

    impl Authorizer for Fixed {
        fn authorize<'a>(&'a self, _: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
            let verdict = self.0.clone();
            Box::pin(async { verdict })
        }

        fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
            Box::pin(async { Rules { incomplete: true, error: "cannot list".into(), ..Rules::default() } })
        }
    }

    async fn decide(members: Vec<Verdict>) -> Verdict {
        let user = User::anonymous();
        let attributes = Attributes { user: &user, verb: "bind".into(), target: Target::Path("/x".into()) };
        let members = members.into_iter().map(|verdict| Arc::new(Fixed(verdict)) as Arc<dyn Authorizer>);
        Authorizers::new(members.collect()).authorize(&attributes).await
    }

    #[tokio::test]
    async fn the_first_opinion_decides() {
        let verdict = decide(vec![Verdict::no_opinion("who?"), Verdict::allow(), Verdict::deny("no")]).await;
        assert_eq!(verdict, Verdict::allow());
        let verdict = decide(vec![Verdict::deny("no"), Verdict::allow()]).await;
        assert_eq!((verdict.decision, verdict.reason.as_str()), (Decision::Deny, "no"));
        let verdict = decide(vec![Verdict::failed("down"), Verdict::allow()]).await;
        assert_eq!(verdict, Verdict::allow(), "a failure is no opinion");
        let verdict = decide(vec![Verdict::no_opinion("a"), Verdict::failed("x"), Verdict::no_opinion("b")]).await;
        assert_eq!(verdict, Verdict { decision: Decision::NoOpinion, reason: "a\nb".into(), error: "x".into() });
        assert_eq!(decide(vec![Verdict::failed("x"), Verdict::failed("y")]).await.error, "[x, y]");
        assert_eq!(decide(vec![]).await.decision, Decision::NoOpinion);
    }

    #[tokio::test]
    async fn rules_are_added_up() {
        let members: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Fixed(Verdict::allow()))];
        let rules = Authorizers::new(members).rules(&User::anonymous(), "x").await;
        assert_eq!(rules, Rules { incomplete: true, error: "cannot list".into(), ..Rules::default() });
    }

    #[test]
    fn refusals_are_in_upstreams_words() {
        let user = User::authenticated("ann", "", Vec::new());
        let message =
            |target, reason| Attributes { user: &user, verb: "use".into(), target }.forbidden(reason).to_string();
        let scale = ResourceAttributes {
            group: "apps".into(),
            resource: "deployments".into(),
            subresource: "scale".into(),
            namespace: "x".into(),
            name: "web".into(),
            ..ResourceAttributes::default()
        };
        assert_eq!(
            message(Target::Resource(scale), "because"),
            r#"deployments.apps "web" is forbidden: User "ann" cannot use resource "deployments/scale" in API group "apps" in the namespace "x": because"#
        );
        let nodes = ResourceAttributes { resource: "nodes".into(), ..ResourceAttributes::default() };
        assert_eq!(
            message(Target::Resource(nodes), ""),
            r#"nodes is forbidden: User "ann" cannot use resource "nodes" in API group "" at the cluster scope"#
        );
        assert_eq!(message(Target::Path("/x".into()), ""), r#"forbidden: User "ann" cannot use path "/x""#);
    }
}
