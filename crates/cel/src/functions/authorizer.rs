//! `authorizer.group('apps').resource('deployments').check('create').allowed()`: who may, asked by an expression.

use std::{any::Any, fmt, sync::Arc};

use super::{Call, Function, Library, Row, no_overload};
use crate::{
    types::Type,
    value::{Error, Opaque, Value},
};

const ASKS: &str = "kubernetes.authorization.Authorizer";
const PATH: &str = "kubernetes.authorization.PathCheck";
const GROUP: &str = "kubernetes.authorization.GroupCheck";
const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

const NARROWED: &[&str] =
    &["kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck"];

/// Kubernetes' authorization checks, for expressions that have a variable `authorizer`.
pub const AUTHORIZER: Library = Library(&[
    row("path", path, &["kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck"]),
    row("group", group, &["kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck"]),
    row(
        "serviceAccount",
        service_account,
        &["kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer"],
    ),
    row(
        "resource",
        resource,
        &["kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck"],
    ),
    row("subresource", narrowed, NARROWED),
    row("namespace", narrowed, NARROWED),
    row("name", narrowed, NARROWED),
    row("fieldSelector", narrowed, NARROWED),
    row("labelSelector", narrowed, NARROWED),
    row(
        "check",
        check,
        &[
            "kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision",
            "kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision",
        ],
    ),
    row("errored", decided, &["kubernetes.authorization.Decision.() -> bool"]),
    row("error", decided, &["kubernetes.authorization.Decision.() -> string"]),
    row("allowed", decided, &["kubernetes.authorization.Decision.() -> bool"]),
    row("reason", decided, &["kubernetes.authorization.Decision.() -> string"]),
]);

const fn row(name: &'static str, function: Function, declarations: &'static [&'static str]) -> Row {
    Row { name, function, declarations }
}

/// What is to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Namespace and name of the account that asks instead of the user.
    pub service_account: Option<(String, String)>,
    /// A path, if it is not about resources.
    pub path: Option<String>,
    /// The group of the resource.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource, or none.
    pub subresource: String,
    /// The namespace, or none.
    pub namespace: String,
    /// The name, or none.
    pub name: String,
    /// Only objects with such fields.
    pub field_selector: String,
    /// Only objects with such labels.
    pub label_selector: String,
    /// What is done.
    pub verb: String,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: String,
    /// What went wrong while it was decided, or nothing.
    pub error: String,
}

/// Who is asked.
pub trait Authorize: fmt::Debug + Send + Sync {
    /// The decision.
    fn decide(&self, question: &Question) -> Decision;
}

/// A question that is not complete yet.
#[derive(Clone, Debug)]
struct Asking {
    of: &'static str,
    whom: Arc<dyn Authorize>,
    question: Question,
}

#[derive(Debug)]
struct Decided(Decision);

impl Opaque for Asking {
    fn value_type(&self) -> Type {
        Type::Opaque(self.of.into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other
            .as_any()
            .downcast_ref::<Self>()
            .is_some_and(|other| self.of == other.of && self.question == other.question)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Opaque for Decided {
    fn value_type(&self) -> Type {
        Type::Opaque(DECISION.into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Value<'_> {
    /// The variable `authorizer`.
    #[must_use]
    pub fn authorizer(whom: Arc<dyn Authorize>) -> Self {
        Self::opaque(Asking { of: ASKS, whom, question: Question::default() })
    }

    /// The variable `authorizer.requestResource`: a question about what the request is about.
    #[must_use]
    pub fn resource_check(whom: Arc<dyn Authorize>, question: Question) -> Self {
        Self::opaque(Asking { of: RESOURCE, whom, question })
    }
}

/// The question that is gone on with, and its text.
fn asked<'v>(args: &'v [Value<'_>], of: &str) -> Result<(Asking, &'v str), Error> {
    match args {
        [asking, Value::String(text)] => match asking.downcast::<Asking>() {
            Some(asking) if asking.of == of => Ok((asking.clone(), text)),
            _ => Err(Error::no_overload()),
        },
        _ => Err(Error::no_overload()),
    }
}

fn path<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (mut asking, text) = asked(args, ASKS)?;
    if text.trim().is_empty() {
        return Err(Error::new("path must not be empty"));
    }
    asking.of = PATH;
    asking.question.path = Some(text.to_owned());
    Ok(Value::opaque(asking))
}

fn group<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (mut asking, text) = asked(args, ASKS)?;
    asking.of = GROUP;
    text.clone_into(&mut asking.question.group);
    Ok(Value::opaque(asking))
}

fn service_account<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [asking, Value::String(namespace), Value::String(name)] = args else { return no_overload() };
    let Some(asking) = asking.downcast::<Asking>().filter(|asking| asking.of == ASKS) else { return no_overload() };
    let label = |text: &str| {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(sound)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(Error::new("Invalid service account name"));
    }
    if !label(namespace) {
        return Err(Error::new("Invalid service account namespace"));
    }
    let mut asking = asking.clone();
    asking.question.service_account = Some((namespace.to_string(), name.to_string()));
    Ok(Value::opaque(asking))
}

fn resource<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (mut asking, text) = asked(args, GROUP)?;
    if text.trim().is_empty() {
        return Err(Error::new("resource must not be empty"));
    }
    asking.of = RESOURCE;
    text.clone_into(&mut asking.question.resource);
    Ok(Value::opaque(asking))
}

fn narrowed<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (mut asking, text) = asked(args, RESOURCE)?;
    let question = &mut asking.question;
    let part = match call.name {
        "subresource" => &mut question.subresource,
        "namespace" => &mut question.namespace,
        "name" => &mut question.name,
        "fieldSelector" => &mut question.field_selector,
        _ => &mut question.label_selector,
    };
    text.clone_into(part);
    Ok(Value::opaque(asking))
}

fn check<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (mut asking, verb) = asked(args, PATH).or_else(|_| asked(args, RESOURCE))?;
    // Somebody else may have to be asked, so that what is too much is refused before.
    call.meter.work(1)?;
    verb.clone_into(&mut asking.question.verb);
    Ok(Value::opaque(Decided(asking.whom.decide(&asking.question))))
}

fn decided<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Some(Decided(decision)) = args.first().and_then(Value::downcast::<Decided>) else { return no_overload() };
    Ok(match call.name {
        "allowed" => Value::Bool(decision.allowed),
        "errored" => Value::Bool(!decision.error.is_empty()),
        "error" => Value::string(&*decision.error),
        _ => Value::string(&*decision.reason),
    })
}
