//! Objects, reduced to what they use.

use std::{borrow::Cow, fmt::Debug};

use api_types::{
    codec::{self, FromJson},
    core::{PersistentVolumeClaim, Pod, Service},
    meta::ObjectMeta,
    quota::Subject,
};

/// A kind of which more than the number counts.
pub(super) trait Uses:
    kube::Resource<DynamicType = ()> + FromJson + Clone + Debug + Send + Sync + 'static
{
    /// What an object uses.
    fn subject(&self) -> Subject;
}

impl Uses for Pod {
    fn subject(&self) -> Subject {
        Subject::of_pod(self)
    }
}

impl Uses for Service {
    fn subject(&self) -> Subject {
        Subject::of_service(self)
    }
}

impl Uses for PersistentVolumeClaim {
    fn subject(&self) -> Subject {
        Subject::of_claim(self)
    }
}

/// An object of such a kind: its identity and what it uses; nothing else is kept.
#[derive(Clone, Debug)]
pub(super) struct Used<T> {
    metadata: ObjectMeta,
    pub subject: Subject,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T> Used<T> {
    pub(super) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
}

impl<T: Uses> FromJson for Used<T> {
    fn from_json(json: &[u8]) -> Result<Self, codec::Error> {
        let object = T::from_json(json)?;
        let meta = object.meta();
        let metadata = ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..ObjectMeta::default()
        };
        Ok(Self { subject: object.subject(), metadata, kind: std::marker::PhantomData })
    }
}

impl<T: Uses> kube::Resource for Used<T> {
    type DynamicType = ();
    type Scope = T::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        T::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        T::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        T::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        T::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
