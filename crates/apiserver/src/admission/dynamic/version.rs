//! What is reviewed, in a version in which somebody wants to see it.

use std::sync::{Arc, OnceLock};

use api_types::{
    Object, Resource, StatusError, Subresource,
    resource::Text,
    schema::{self, Type},
};
use bytes::Bytes;
use serde_json::Value;

use super::{AdmissionRequest, Matched};
use crate::registry::{Registry, Rest, Review};

/// Group, version, and a kind or a plural.
pub(super) struct Names {
    pub group: Text,
    pub version: Text,
    pub name: Text,
}

/// What is reviewed, in one version.
pub(in crate::admission) struct Version {
    pub(super) resource: Names,
    pub(super) kind: Names,
    /// For whom it was asked.
    converted: Option<Arc<Rest>>,
    /// Where its objects were converted; they are put back the same way.
    rest: Option<Arc<Rest>>,
    object: Option<Bytes>,
    old: Option<Bytes>,
    trees: [OnceLock<Value>; 2],
    request: OnceLock<Value>,
}

/// The versions of a review in which somebody wanted to see it, each made once.
#[derive(Default)]
pub(in crate::admission) struct Versions(Vec<Arc<Version>>);

impl Versions {
    /// The review in a version.
    ///
    /// # Errors
    /// When something cannot be converted.
    pub(in crate::admission) async fn of(
        &mut self,
        review: &Review<'_>,
        matched: &Matched,
        registry: &Registry,
    ) -> Result<Arc<Version>, StatusError> {
        if let Some(known) = self.0.iter().find(|version| version.is_of(matched)) {
            return Ok(known.clone());
        }
        let version = Arc::new(Version::of(review, matched, registry).await?);
        self.0.push(version.clone());
        Ok(version)
    }

    /// The object has changed.
    pub(in crate::admission) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Version {
    async fn of(review: &Review<'_>, matched: &Matched, registry: &Registry) -> Result<Self, StatusError> {
        match matched {
            Matched::AsAsked => Ok(Self::as_asked(review)),
            Matched::As(rest) => Self::converted(review, rest, registry).await,
        }
    }

    fn as_asked(review: &Review<'_>) -> Self {
        let row = review.door.row;
        let (group, version, kind) = review.door.kind();
        Self {
            resource: Names { group: row.group.clone(), version: row.version.clone(), name: row.plural.clone() },
            kind: Names { group: owned(group), version: owned(version), name: owned(kind) },
            converted: None,
            rest: None,
            object: review.json().cloned(),
            old: review.old_json().cloned(),
            trees: Default::default(),
            request: OnceLock::new(),
        }
    }

    async fn converted(review: &Review<'_>, rest: &Arc<Rest>, registry: &Registry) -> Result<Self, StatusError> {
        let mut version = Self::as_asked(review);
        let row = &rest.row;
        version.converted = Some(rest.clone());
        version.resource = Names { group: row.group.clone(), version: row.version.clone(), name: row.plural.clone() };
        if !review.is_of_the_row() {
            return Ok(version);
        }
        version.kind = match row.subresource(review.door.subresource) {
            Some(Subresource { options: None, group, version, kind, .. }) => {
                Names { group: group.clone(), version: version.clone(), name: kind.clone() }
            }
            _ => Names { group: row.group.clone(), version: row.version.clone(), name: row.kind.clone() },
        };
        let own = review.door.row;
        let from = registry.find(&own.group, &own.version, &own.plural);
        let from = from.ok_or_else(|| StatusError::internal(format!("{} are not served", own.plural)))?;
        let objects = [review.get(), review.old()].map(|object| object.map(Object::clone_object));
        let [object, old] = objects;
        version.object = convert(&from, rest, object).await?;
        version.old = convert(&from, rest, old).await?;
        version.rest = Some(rest.clone());
        Ok(version)
    }

    /// The object, or the options of a connection.
    pub(in crate::admission) fn object(&self) -> Option<&[u8]> {
        self.object.as_deref()
    }

    /// What is there.
    pub(in crate::admission) fn old_object(&self) -> Option<&[u8]> {
        self.old.as_deref()
    }

    /// The object as a tree; null where there is none.
    pub(in crate::admission) fn tree(&self) -> &Value {
        self.trees[0].get_or_init(|| tree(self.object()))
    }

    /// What is there, as a tree; null where there is nothing.
    pub(in crate::admission) fn old_tree(&self) -> &Value {
        self.trees[1].get_or_init(|| tree(self.old_object()))
    }

    /// The request as expressions see it; null if it cannot be told.
    pub(in crate::admission) fn request(&self, review: &Review<'_>) -> &Value {
        let tell = || serde_json::to_value(AdmissionRequest::new("", review, self)).unwrap_or_default();
        self.request.get_or_init(tell)
    }

    fn is_of(&self, matched: &Matched) -> bool {
        match (&self.converted, matched) {
            (None, Matched::AsAsked) => true,
            (Some(own), Matched::As(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// What is known of its kind; `row` is that of the request.
    pub(in crate::admission) fn schema<'v>(&'v self, row: &'v Resource) -> &'v Type {
        let Names { group, version, name } = &self.kind;
        match &self.rest {
            Some(rest) => rest.row.schema(),
            None if row.group == *group && row.version == *version && row.kind == *name => row.schema(),
            None => schema::of(group, version, name),
        }
    }

    /// Puts JSON of this version in the place of what is reviewed: decoded, converted back and defaulted.
    ///
    /// # Errors
    /// When it is no such object, or cannot be converted.
    pub(in crate::admission) async fn replace(
        &self,
        review: &mut Review<'_>,
        registry: &Registry,
        json: &[u8],
    ) -> Result<(), StatusError> {
        let Some(rest) = &self.rest else { return review.replace(json) };
        let mut object = rest.row.ops.decode_trusted(json).map_err(StatusError::internal)?;
        rest.row.ops.set_defaults(&mut *object)?;
        let own = review.door.row;
        let to = registry.find(&own.group, &own.version, &own.plural);
        let to = to.ok_or_else(|| StatusError::internal(format!("{} are not served", own.plural)))?;
        let converted = rest.convert_to(&to, vec![object]).await?.pop();
        review.put(converted.ok_or_else(|| StatusError::internal("conversion returned nothing"))?)
    }
}

async fn convert(from: &Rest, to: &Rest, object: Option<Box<dyn Object>>) -> Result<Option<Bytes>, StatusError> {
    let Some(object) = object else { return Ok(None) };
    let version = object.meta().resource_version.clone();
    let converted = from.convert_to(to, vec![object]).await?.pop();
    Ok(converted.map(|mut object| {
        object.meta_mut().resource_version = version;
        object.encode().into()
    }))
}

fn tree(json: Option<&[u8]>) -> Value {
    json.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

fn owned(text: &str) -> Text {
    text.to_owned().into()
}
