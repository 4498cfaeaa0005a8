//! Whom a client may act as.
//!
//! There are several modes, tried in order: the constrained ones ask twice, whether the client may become that user in
//! that mode, and whether it may do in that mode what it wants to do; the last asks only whether it may become each part
//! of that user.

mod headers;
mod modes;

use api_types::StatusError;
use component::auth::{Attributes, Authorizer, Decision, ResourceAttributes, Target, User, user};
pub use headers::wanted;
use modes::{CONSTRAINED, Mode};

/// Somebody whom the client may act as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    /// Who.
    pub user: User,
    /// What allowed it, such as `impersonate:user-info`; empty for the mode without constraints.
    pub constraint: String,
}

/// Whom the client acts as that asks to be `wanted` for what `attributes` say.
///
/// # Errors
/// The refusal of the first mode that could have allowed it.
pub async fn authorize(
    authorizer: &dyn Authorizer,
    wanted: &User,
    attributes: &Attributes<'_>,
) -> Result<Impersonated, StatusError> {
    let mut refusal = None;
    for mode in CONSTRAINED.iter().filter(|mode| (mode.applies)(wanted, attributes.user)) {
        match constrained(authorizer, mode, wanted, attributes).await {
            Ok(user) => return Ok(Impersonated { user, constraint: mode.verb() }),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    let check = Check { authorizer, requestor: attributes.user, verb: "impersonate", group: "", mode: None };
    let free = check.all(wanted).await;
    free.map(|user| Impersonated { user, constraint: String::new() }).map_err(|error| refusal.unwrap_or(error))
}

async fn constrained(
    authorizer: &dyn Authorizer,
    mode: &Mode,
    wanted: &User,
    attributes: &Attributes<'_>,
) -> Result<User, StatusError> {
    let requestor = (mode.seen_as)(attributes.user);
    let mut on = attributes.clone();
    on.user = &requestor;
    on.verb = format!("impersonate-on:{}:{}", mode.name, attributes.verb).into();
    allow(authorizer, &on).await?;
    let verb = mode.verb();
    let check = Check { authorizer, requestor: &requestor, verb: &verb, group: AUTHENTICATION, mode: Some(mode) };
    check.all(wanted).await
}

/// The API group of what is impersonated, but for users, groups and service accounts without constraints.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// From how many groups or extras on one question is asked for all of them first.
const MANY: usize = 4;

/// Asks whether somebody may become each part of a user.
struct Check<'a> {
    authorizer: &'a dyn Authorizer,
    requestor: &'a User,
    verb: &'a str,
    /// The API group of users, groups and service accounts.
    group: &'a str,
    /// `None` for the mode without constraints.
    mode: Option<&'a Mode>,
}

impl Check<'_> {
    /// The user, with the groups that go without saying.
    async fn all(&self, wanted: &User) -> Result<User, StatusError> {
        let mut user = wanted.clone();
        self.name(&mut user).await?;
        if !wanted.uid.is_empty() {
            self.ask(part(AUTHENTICATION, "uids", &wanted.uid)).await?;
        }
        self.groups(&wanted.groups).await?;
        self.extra(wanted).await?;
        let own = match user.name.as_str() {
            user::ANONYMOUS => user::UNAUTHENTICATED,
            _ if user.is_in(user::UNAUTHENTICATED) => return Ok(user),
            _ => user::AUTHENTICATED,
        };
        if !user.is_in(own) {
            user.groups.push(own.to_owned());
        }
        Ok(user)
    }

    async fn name(&self, user: &mut User) -> Result<(), StatusError> {
        let name = user.name.clone();
        let mut asked = part(self.group, "users", &name);
        if let (Some(mode), Some(node)) = (self.mode, user::node(&name)) {
            asked = part(self.group, "nodes", if mode.any_name { "*" } else { node });
            user.groups = vec![user::NODES.to_owned()];
        }
        if let Some((namespace, account)) = user::service_account(&name) {
            asked = part(self.group, "serviceaccounts", account);
            asked.namespace = namespace.into();
            if user.groups.is_empty() {
                user.groups = user::service_account_groups(namespace);
            }
        }
        self.ask(asked).await
    }

    async fn groups(&self, groups: &[String]) -> Result<(), StatusError> {
        let asked = |name| part(self.group, "groups", name);
        if self.mode.is_some() {
            if groups.iter().any(String::is_empty) {
                return Err(self.refuse(asked(""), "impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|group| group == user::MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(self.refuse(asked(user::MASTERS), why));
            }
            if groups.len() >= MANY && self.ask(asked("*")).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            self.ask(asked(group)).await?;
        }
        Ok(())
    }

    async fn extra(&self, wanted: &User) -> Result<(), StatusError> {
        fn asked<'a>(key: &'a str, value: &'a str) -> ResourceAttributes<'a> {
            ResourceAttributes { subresource: key.into(), ..part(AUTHENTICATION, "userextras", value) }
        }
        if self.mode.is_some() && !wanted.extra.is_empty() {
            if let Some(why) = modes::bad_extra(&wanted.extra) {
                return Err(self.refuse(asked("", ""), &why));
            }
            let values: usize = wanted.extra.values().map(Vec::len).sum();
            if values >= MANY && self.ask(asked("*", "*")).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in &wanted.extra {
            for value in values {
                self.ask(asked(key, value)).await?;
            }
        }
        Ok(())
    }

    fn attributes<'a>(&'a self, target: ResourceAttributes<'a>) -> Attributes<'a> {
        Attributes { user: self.requestor, verb: self.verb.into(), target: Target::Resource(target) }
    }

    fn refuse(&self, target: ResourceAttributes<'_>, why: &str) -> StatusError {
        self.attributes(target).forbidden(why)
    }

    async fn ask(&self, target: ResourceAttributes<'_>) -> Result<(), StatusError> {
        allow(self.authorizer, &self.attributes(target)).await
    }
}

/// A part of a user, as a resource that is impersonated.
fn part<'a>(group: &'a str, resource: &'a str, name: &'a str) -> ResourceAttributes<'a> {
    ResourceAttributes {
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        name: name.into(),
        ..ResourceAttributes::default()
    }
}

async fn allow(authorizer: &dyn Authorizer, attributes: &Attributes<'_>) -> Result<(), StatusError> {
    let verdict = authorizer.authorize(attributes).await;
    if verdict.decision == Decision::Allow {
        return Ok(());
    }
    let why = match (verdict.error.as_str(), verdict.reason.as_str()) {
        ("", reason) => reason.to_owned(),
        (error, "") => error.to_owned(),
        (error, reason) => format!("{error}: {reason}"),
    };
    Err(attributes.forbidden(&why))
}

#[cfg(test)]
mod tests;
