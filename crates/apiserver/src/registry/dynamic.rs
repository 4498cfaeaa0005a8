//! The strategy of kinds that come at run time: a generation that counts what is wanted, and a status of its own where
//! the row has one.

use api_types::{
    Dynamic, Object, StatusError, WrongType,
    autoscaling::{Scale, ScaleSpec, ScaleStatus},
    custom::ScalePaths,
    meta::ObjectMeta,
};
use futures::future::{self, BoxFuture};
use serde_json::{Map, Value};

use super::{
    DryRun, Part, Strategy,
    reservation::Reservation,
    strategy::{AbsentUpdate, BlindUpdate, DeleteAnswer, Dependents, Grace},
};
use crate::request::User;

/// Who writes the status of a kind that came at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusOwner {
    /// Whoever writes the object: it is a field like others.
    Writer,
    /// Only those who write `/status`.
    Subresource,
}

/// What kinds that come at run time have in common.
#[derive(Clone, Debug)]
pub struct DynamicStrategy {
    /// Who writes the status.
    pub status: StatusOwner,
    /// Where the replicas are, if there is a scale.
    pub scale: Option<ScalePaths>,
}

const STATUS: &str = "status";
const KIND: &str = "custom resource";

impl DynamicStrategy {
    /// Everything that is wanted of the object: all but metadata and, if it has an owner of its own, the status.
    fn same_wish(&self, new: &Dynamic, old: &Dynamic) -> bool {
        let wished = |name: &str| self.status == StatusOwner::Writer || name != STATUS;
        let of = |fields: &Map<String, Value>| fields.keys().filter(|name| wished(name)).count();
        let same = |(name, value): (&String, &Value)| !wished(name) || old.fields.get(name) == Some(value);
        of(&new.fields) == of(&old.fields) && new.fields.iter().all(same)
    }

    fn keep_status(&self, new: &mut Dynamic, old: &Dynamic) {
        if self.status == StatusOwner::Subresource {
            new.fields.remove(STATUS);
            new.fields.extend(old.fields.get(STATUS).map(|status| (STATUS.to_owned(), status.clone())));
        }
    }
}

/// Through `/status`, nothing but the status is written.
fn keep_all_but_status(new: &mut Dynamic, old: &Dynamic) {
    let status = new.fields.remove(STATUS);
    new.fields.clone_from(&old.fields);
    new.fields.remove(STATUS);
    new.fields.extend(status.map(|status| (STATUS.to_owned(), status)));
    let mut metadata = old.metadata.clone();
    metadata.managed_fields = new.metadata.managed_fields.take();
    new.metadata = metadata;
}

/// The names of a simple path such as `.spec.size`.
fn steps(path: &str) -> Vec<&str> {
    path.split('.').filter(|step| !step.is_empty()).collect()
}

fn replicas(object: &Dynamic, path: &str) -> Option<i32> {
    let found = object.at(path.trim_start_matches('.'))?.as_i64()?;
    Some(i32::try_from(found).unwrap_or(if found < 0 { i32::MIN } else { i32::MAX }))
}

fn scale_of(object: &Dynamic, paths: &ScalePaths) -> Scale {
    let meta = &object.metadata;
    let selector = paths.selector.as_deref().and_then(|path| object.at(path.trim_start_matches('.')));
    Scale {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            creation_timestamp: meta.creation_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: Some(ScaleSpec { replicas: replicas(object, &paths.wanted) }),
        status: Some(ScaleStatus {
            replicas: replicas(object, &paths.actual).unwrap_or(0),
            selector: selector.and_then(Value::as_str).map(str::to_owned),
        }),
    }
}

/// Puts a value at a path; objects on the way are made.
fn set(fields: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            fields.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = fields.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

impl Strategy for DynamicStrategy {
    fn blind_update(&self) -> BlindUpdate {
        BlindUpdate::Refused
    }

    fn absent_update(&self) -> AbsentUpdate {
        AbsentUpdate::NotFound
    }

    fn delete_answer(&self) -> DeleteAnswer {
        DeleteAnswer::Status
    }

    fn dependents(&self) -> Dependents {
        Dependents::Collected
    }

    fn prepare_for_create(&self, new: &mut dyn Object) -> Result<(), WrongType> {
        let new = new.expect_mut::<Dynamic>(KIND)?;
        new.metadata.generation = Some(1);
        if self.status == StatusOwner::Subresource {
            new.fields.remove(STATUS);
        }
        Ok(())
    }

    fn attribute(&self, new: &mut dyn Object, _user: &User) -> Result<(), WrongType> {
        new.expect_mut::<Dynamic>(KIND).map(drop)
    }

    fn prepare_for_update(&self, part: Part, new: &mut dyn Object, old: &dyn Object) -> Result<(), WrongType> {
        let (new, old) = (new.expect_mut::<Dynamic>(KIND)?, old.expect_ref::<Dynamic>(KIND)?);
        if part.is_specification() {
            self.keep_status(new, old);
            let generation = old.metadata.generation.unwrap_or(0);
            new.metadata.generation = Some(if self.same_wish(new, old) { generation } else { generation + 1 });
        } else {
            keep_all_but_status(new, old);
        }
        Ok(())
    }

    fn grace(&self, object: &dyn Object, _requested: Option<i64>) -> Result<Grace, WrongType> {
        object.expect_ref::<Dynamic>(KIND).map(|_| Grace::None)
    }

    fn delete_warning(&self) -> Option<&'static str> {
        None
    }

    fn undeletable(&self, object: &dyn Object) -> Result<Option<&'static str>, WrongType> {
        object.expect_ref::<Dynamic>(KIND).map(|_| None)
    }

    fn mark_deleted(&self, object: &mut dyn Object) -> Result<(), WrongType> {
        object.expect_mut::<Dynamic>(KIND).map(drop)
    }

    fn may_disappear(&self, object: &dyn Object) -> Result<bool, WrongType> {
        object.expect_ref::<Dynamic>(KIND).map(|_| true)
    }

    fn warnings(&self, object: &dyn Object, _old: Option<&dyn Object>) -> Result<Vec<String>, WrongType> {
        object.expect_ref::<Dynamic>(KIND).map(|_| Vec::new())
    }

    fn scale(&self, object: &dyn Object) -> Result<Option<Scale>, WrongType> {
        let object = object.expect_ref::<Dynamic>(KIND)?;
        Ok(self.scale.as_ref().map(|paths| scale_of(object, paths)))
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) -> Result<(), WrongType> {
        let object = object.expect_mut::<Dynamic>(KIND)?;
        if let Some(paths) = &self.scale {
            set(&mut object.fields, &steps(&paths.wanted), replicas.into());
        }
        Ok(())
    }

    fn replicas_path(&self) -> Vec<&str> {
        self.scale.as_ref().map(|paths| steps(&paths.wanted)).unwrap_or_default()
    }

    fn reserve<'a>(
        &'a self,
        _new: Option<&'a mut dyn Object>,
        _old: Option<&'a dyn Object>,
        _dry_run: DryRun,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        Box::pin(future::ready(Ok(Reservation::default())))
    }
}
