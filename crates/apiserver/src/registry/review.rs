//! One write or connection as admission sees it.

use std::sync::OnceLock;

use api_types::{GroupResource, Object, Resource, StatusError, Subresource, WrongType};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{DryRun, Journal, Reviewed, Target, Write, admission::Rounds, deletion::DeleteRequest};
use crate::request::User;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An object is created.
    Create,
    /// An object is changed.
    Update,
    /// An object is deleted.
    Delete,
    /// A connection into the cluster is opened.
    Connect,
}

impl Operation {
    /// The name as policies and webhooks spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// By which door a request comes in: what it does to which object of which resource, under the names of the request.
/// What happens inside, such as the deletion of a pod that is evicted, is not reviewed once more.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// What is being done.
    pub operation: Operation,
    /// The row of the resource.
    pub row: &'a Resource,
    /// Such as `status` or `eviction`; empty for the object itself.
    pub subresource: &'a str,
    /// Which object. The name is empty when a name is still to be made up.
    pub target: Target<'a>,
}

impl<'a> Door<'a> {
    /// Group, version and kind of what comes through: a pod's `binding` takes a `Binding`, its `log` `PodLogOptions`.
    #[must_use]
    pub fn kind(&self) -> (&'a str, &'a str, &'a str) {
        match self.row.subresource(self.subresource) {
            Some(Subresource { options: Some(options), .. }) => ("", "v1", options),
            Some(sub) => (&sub.group, &sub.version, &sub.kind),
            None => (&self.row.group, &self.row.version, &self.row.kind),
        }
    }

    /// Whether it leads to the objects of a row themselves, to do this.
    #[must_use]
    pub fn leads_to(&self, row: &Resource, operation: Operation) -> bool {
        self.operation == operation && self.subresource.is_empty() && self.row.is(row)
    }

    /// Whether an object of a row is created.
    #[must_use]
    pub fn creates(&self, row: &Resource) -> bool {
        self.leads_to(row, Operation::Create)
    }

    /// Whether an object of a row is created or changed.
    #[must_use]
    pub fn writes(&self, row: &Resource) -> bool {
        self.creates(row) || self.leads_to(row, Operation::Update)
    }

    /// The namespace; that of a namespace is itself.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        let of_itself = self.row.group.is_empty() && self.row.plural == "namespaces";
        if of_itself { self.target.name } else { self.target.namespace }
    }
}

/// Makes an object of JSON.
pub type Decode = fn(&[u8]) -> Result<Box<dyn Object>, serde_json::Error>;

/// A `T` made of JSON.
///
/// # Errors
/// When it is none.
pub fn decode_as<T: Object + DeserializeOwned>(json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
    serde_json::from_slice::<T>(json).map(|object| Box::new(object) as Box<dyn Object>)
}

/// What comes through a door.
enum Subject<'a> {
    /// Nothing: something is deleted.
    Nothing,
    /// An object, and how another is made of JSON; `None` where that is the row's affair.
    Object(&'a mut Box<dyn Object>, Option<Decode>),
    /// The options of a connection, as an object of JSON.
    Connection(&'a Value),
}

/// One write or connection.
pub struct Review<'a> {
    /// By which door it came.
    pub door: Door<'a>,
    /// In which round of mutating plugins it is.
    pub rounds: Rounds,
    write: &'a Write<'a>,
    subject: Subject<'a>,
    old: Option<&'a dyn Object>,
    deletion: Option<&'a DeleteRequest>,
    json: OnceLock<Bytes>,
    old_json: OnceLock<Bytes>,
}

impl<'a> Review<'a> {
    fn new(door: Door<'a>, write: &'a Write<'a>, subject: Subject<'a>) -> Self {
        let (json, old_json) = (OnceLock::new(), OnceLock::new());
        Self { door, rounds: Rounds::default(), write, subject, old: None, deletion: None, json, old_json }
    }

    /// Of an object of the row's own kind.
    pub fn object(door: Door<'a>, write: &'a Write<'a>, object: &'a mut Box<dyn Object>) -> Self {
        Self::new(door, write, Subject::Object(object, None))
    }

    /// Of an object of another kind than the row's, such as a `Binding`.
    pub fn other(door: Door<'a>, write: &'a Write<'a>, object: &'a mut Box<dyn Object>, decode: Decode) -> Self {
        Self::new(door, write, Subject::Object(object, Some(decode)))
    }

    /// Of a deletion.
    pub fn deletion(door: Door<'a>, write: &'a Write<'a>, old: &'a dyn Object, request: &'a DeleteRequest) -> Self {
        Self { old: Some(old), deletion: Some(request), ..Self::new(door, write, Subject::Nothing) }
    }

    /// Of a connection with these options.
    pub fn connection(door: Door<'a>, write: &'a Write<'a>, options: &'a Value) -> Self {
        Self::new(door, write, Subject::Connection(options))
    }

    /// The same with what is there.
    #[must_use]
    pub fn with_old(self, old: &'a dyn Object) -> Self {
        Self { old: Some(old), ..self }
    }

    /// Who does it.
    #[must_use]
    pub fn user(&self) -> &'a User {
        self.write.user
    }

    /// Whether the door has reviewed the request itself.
    pub(super) fn is_done(&self) -> bool {
        self.write.reviewed == Reviewed::Yes
    }

    /// Whether it is only tried: then nothing outside may be changed either.
    #[must_use]
    pub fn dry_run(&self) -> DryRun {
        self.write.options.dry_run
    }

    /// The verb for which the request had to be allowed.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.write.verb.unwrap_or(match self.door.operation {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Connect => "connect",
        })
    }

    /// Tells the client something although it is not refused.
    pub fn warn(&self, warning: String) {
        self.write.warn(warning);
    }

    /// Notes something for whoever reads of the request later, although it is not refused, or because it is.
    pub fn annotate(&self, key: &str, value: &str) {
        if let Some(journal) = self.write.journal {
            journal.note(key, value);
        }
    }

    /// Whether it may be noted what became of the object.
    #[must_use]
    pub fn notes_objects(&self) -> bool {
        self.write.journal.is_some_and(Journal::holds_objects)
    }

    /// What is to be stored, or was sent; `None` for a deletion and a connection. As long as mutating plugins run,
    /// without what the server adds on its own.
    #[must_use]
    pub fn get(&self) -> Option<&dyn Object> {
        match &self.subject {
            Subject::Object(object, _) => Some(&***object),
            Subject::Nothing | Subject::Connection(_) => None,
        }
    }

    /// The object as a `T`, which it has to be; `kind` names that in the error.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect<T: Object>(&self, kind: &'static str) -> Result<&T, WrongType> {
        self.get().and_then(|object| object.downcast_ref()).ok_or(WrongType { expected: kind.into() })
    }

    /// The object as a `T`, for change.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect_mut<T: Object>(&mut self, kind: &'static str) -> Result<&mut T, WrongType> {
        self.json.take();
        match &mut self.subject {
            Subject::Object(object, _) => object.expect_mut(kind),
            Subject::Nothing | Subject::Connection(_) => Err(WrongType { expected: kind.into() }),
        }
    }

    /// What is there; `None` for a creation and a connection.
    #[must_use]
    pub fn old(&self) -> Option<&'a dyn Object> {
        self.old
    }

    /// Puts another object in the place of the one that is reviewed.
    ///
    /// # Errors
    /// When there is none, or the JSON is no object of that kind.
    pub fn replace(&mut self, json: &[u8]) -> Result<(), StatusError> {
        let Subject::Object(object, decode) = &mut self.subject else {
            return Err(StatusError::internal("there is no object to replace"));
        };
        let ops = &self.door.row.ops;
        let decoded = decode.map_or_else(|| ops.decode_trusted(json), |decode| decode(json));
        let mut new = decoded.map_err(StatusError::internal)?;
        if decode.is_none() {
            ops.set_defaults(&mut *new)?;
        }
        **object = new;
        self.json = OnceLock::new();
        Ok(())
    }

    /// Puts another object of the row's own kind in the place of the one that is reviewed.
    ///
    /// # Errors
    /// When there is none, or it is not of the row's kind.
    pub fn put(&mut self, mut new: Box<dyn Object>) -> Result<(), StatusError> {
        let Subject::Object(object, None) = &mut self.subject else {
            return Err(StatusError::internal("there is no object to replace"));
        };
        self.door.row.ops.set_defaults(&mut *new)?;
        **object = new;
        self.json = OnceLock::new();
        Ok(())
    }

    /// Whether what comes through is of the row's own kind, in the row's version, so that it can be converted.
    #[must_use]
    pub fn is_of_the_row(&self) -> bool {
        matches!(&self.subject, Subject::Object(_, None) | Subject::Nothing)
    }

    /// The object, or the options of a connection, as JSON; encoded when it is asked for.
    #[must_use]
    pub fn json(&self) -> Option<&Bytes> {
        match &self.subject {
            Subject::Nothing => None,
            Subject::Object(object, _) => Some(self.json.get_or_init(|| object.encode().into())),
            Subject::Connection(options) => Some(self.json.get_or_init(|| options.to_string().into())),
        }
    }

    /// What is there as JSON; encoded when it is asked for.
    #[must_use]
    pub fn old_json(&self) -> Option<&Bytes> {
        self.old.map(|old| self.old_json.get_or_init(|| old.encode().into()))
    }

    /// The options of the request, as webhooks get them; none of a connection, whose options are what is reviewed.
    #[must_use]
    pub fn options(&self) -> Option<Value> {
        let kind = match self.door.operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return None,
        };
        let mut options = self.deletion.map_or_else(|| self.write.options.to_value(), DeleteRequest::to_value);
        options["apiVersion"] = "meta.k8s.io/v1".into();
        options["kind"] = kind.into();
        if self.dry_run() == DryRun::All {
            options["dryRun"] = json!(["All"]);
        }
        Some(options)
    }

    /// A refusal, in the words of the plugin that refuses.
    #[must_use]
    pub fn forbidden(&self, why: &str) -> StatusError {
        let row = self.door.row;
        StatusError::forbidden(GroupResource::new(&row.group, &row.plural), self.name(), why)
    }

    /// The name of the object as admission tells it: empty when it is still to be made up.
    #[must_use]
    pub fn object_name(&self) -> &str {
        let own = self.get().and_then(|object| object.meta().name.as_deref()).unwrap_or_default();
        if self.door.target.name.is_empty() { own } else { self.door.target.name }
    }

    /// The name, as far as there is one.
    fn name(&self) -> &str {
        let meta = self.get().map(|object| object.meta());
        let own = meta.and_then(|meta| meta.name.as_deref());
        let base = meta.and_then(|meta| meta.generate_name.as_deref());
        let names = [Some(self.door.target.name), own, base];
        names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or("Unknown")
    }
}
