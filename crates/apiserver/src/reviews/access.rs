//! What somebody may do.

use std::borrow::Cow;

use api_types::{
    StatusError,
    authorization::{
        FieldSelectorAttributes, LabelSelectorAttributes, LocalSubjectAccessReview, NonResourceAttributes,
        ResourceAttributes as ReviewedResource, SelfSubjectAccessReview, SubjectAccessReview, SubjectAccessReviewSpec,
        SubjectAccessReviewStatus,
    },
    meta::{FieldSelectorRequirement, LabelSelectorRequirement},
    selector::{field, label},
};
use component::auth::{Attributes, Decision, ResourceAttributes, Target, User};

use super::{Reviewer, validate};

impl Reviewer {
    /// Says what somebody may do.
    ///
    /// # Errors
    /// 422 when the question makes no sense.
    pub async fn access(&self, mut review: SubjectAccessReview) -> Result<SubjectAccessReview, StatusError> {
        validate::subject(&review.metadata, &review.spec)?;
        review.status = Some(self.decide_for(&review.spec).await);
        Ok(review)
    }

    /// Says what somebody may do in a namespace.
    ///
    /// # Errors
    /// 422 when the question makes no sense, 400 when it is about another namespace than the path.
    pub async fn local_access(
        &self,
        namespace: &str,
        mut review: LocalSubjectAccessReview,
    ) -> Result<LocalSubjectAccessReview, StatusError> {
        validate::local_subject(&review.metadata, &review.spec)?;
        if review.metadata.namespace.as_deref().unwrap_or_default() != namespace {
            let why = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
            return Err(StatusError::bad_request(why));
        }
        review.status = Some(self.decide_for(&review.spec).await);
        Ok(review)
    }

    /// Says what the client may do.
    ///
    /// # Errors
    /// 422 when the question makes no sense.
    pub async fn own_access(
        &self,
        user: &User,
        mut review: SelfSubjectAccessReview,
    ) -> Result<SelfSubjectAccessReview, StatusError> {
        validate::own(&review.metadata, &review.spec)?;
        let (resource, path) = (&review.spec.resource_attributes, &review.spec.non_resource_attributes);
        review.status = Some(self.decide(user, resource.as_ref(), path.as_ref()).await);
        Ok(review)
    }

    async fn decide_for(&self, spec: &SubjectAccessReviewSpec) -> SubjectAccessReviewStatus {
        let user = User {
            name: spec.user.clone().unwrap_or_default(),
            uid: spec.uid.clone().unwrap_or_default(),
            groups: spec.groups.clone().unwrap_or_default(),
            extra: spec.extra.clone().unwrap_or_default(),
        };
        self.decide(&user, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()).await
    }

    async fn decide(
        &self,
        user: &User,
        resource: Option<&ReviewedResource>,
        path: Option<&NonResourceAttributes>,
    ) -> SubjectAccessReviewStatus {
        let mut errors = Vec::new();
        let attributes = match (resource, path) {
            (Some(resource), _) => resource_attributes(user, resource, &mut errors),
            (None, path) => path_attributes(user, path),
        };
        let verdict = self.authorizer.authorize(&attributes).await;
        if !verdict.error.is_empty() {
            errors.insert(0, verdict.error);
        }
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        SubjectAccessReviewStatus {
            allowed: verdict.decision == Decision::Allow,
            denied: (verdict.decision == Decision::Deny).then_some(true),
            reason: text(verdict.reason),
            evaluation_error: text(errors.join("; ")),
        }
    }
}

fn text(text: Option<&String>) -> Cow<'_, str> {
    text.map(String::as_str).unwrap_or_default().into()
}

fn path_attributes<'a>(user: &'a User, path: Option<&'a NonResourceAttributes>) -> Attributes<'a> {
    let verb = text(path.and_then(|path| path.verb.as_ref()));
    Attributes { user, verb, target: Target::Path(text(path.and_then(|path| path.path.as_ref()))) }
}

fn resource_attributes<'a>(user: &'a User, asked: &'a ReviewedResource, errors: &mut Vec<String>) -> Attributes<'a> {
    let field_selector = field_selector(asked.field_selector.as_ref(), errors);
    let label_selector = label_selector(asked.label_selector.as_ref(), errors);
    let version = text(asked.version.as_ref());
    let target = ResourceAttributes {
        group: text(asked.group.as_ref()),
        version: if version.is_empty() { "*".into() } else { version },
        namespace: text(asked.namespace.as_ref()),
        resource: text(asked.resource.as_ref()),
        subresource: text(asked.subresource.as_ref()),
        name: text(asked.name.as_ref()),
        field_selector: field_selector.into(),
        label_selector: label_selector.into(),
    };
    Attributes { user, verb: text(asked.verb.as_ref()), target: Target::Resource(target) }
}

/// A selector as text. What is not understood is left out, which makes the question a wider one, and noted.
fn selector<R>(
    what: &str,
    requirements: Option<&[R]>,
    write: impl Fn(&R) -> Option<String>,
    errors: &mut Vec<String>,
) -> String {
    let requirements = requirements.unwrap_or_default();
    let understood: Vec<String> = requirements.iter().filter_map(write).collect();
    if understood.len() < requirements.len() {
        let partially = if understood.is_empty() { "" } else { "partially " };
        errors.push(format!("spec.resourceAttributes.{what} {partially}ignored due to parse error"));
    }
    understood.join(",")
}

fn field_selector(asked: Option<&FieldSelectorAttributes>, errors: &mut Vec<String>) -> String {
    let Some(asked) = asked else { return String::new() };
    if let Some(raw) = asked.raw_selector.as_ref().filter(|raw| !raw.is_empty()) {
        let parse = |raw: &String| raw.parse::<field::Selector>().ok().map(|selector| selector.to_string());
        return selector("fieldSelector", Some(std::slice::from_ref(raw)), parse, errors);
    }
    let write = |requirement: &FieldSelectorRequirement| {
        let [value] = requirement.values.as_deref()? else { return None };
        let operator = match requirement.operator.as_str() {
            "In" => "=",
            "NotIn" => "!=",
            _ => return None,
        };
        Some(format!("{}{operator}{}", requirement.key, field::escape(value)))
    };
    selector("fieldSelector", asked.requirements.as_deref(), write, errors)
}

fn label_selector(asked: Option<&LabelSelectorAttributes>, errors: &mut Vec<String>) -> String {
    let Some(asked) = asked else { return String::new() };
    let parse = |raw: &String| raw.parse::<label::Selector>().ok().map(|_| raw.clone());
    if let Some(raw) = asked.raw_selector.as_ref().filter(|raw| !raw.is_empty()) {
        return selector("labelSelector", Some(std::slice::from_ref(raw)), parse, errors);
    }
    let write = |requirement: &LabelSelectorRequirement| {
        let (key, values) = (&requirement.key, requirement.values.as_deref().unwrap_or_default().join(","));
        let text = match requirement.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        };
        parse(&text)
    };
    selector("labelSelector", asked.requirements.as_deref(), write, errors)
}
