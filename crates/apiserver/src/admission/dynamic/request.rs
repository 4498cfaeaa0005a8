//! A request as `admission.k8s.io/v1` tells it, to webhooks and to expressions.

use std::collections::BTreeMap;

use component::auth::User;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::version::{Names, Version};
use crate::registry::{DryRun, Review};

/// Group, version and kind.
#[derive(Serialize)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

/// Group, version and plural.
#[derive(Serialize)]
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a User> for UserInfo<'a> {
    fn from(user: &'a User) -> Self {
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra }
    }
}

/// A request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admission) struct AdmissionRequest<'a> {
    uid: &'a str,
    kind: Kind<'a>,
    resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Kind<'a>,
    request_resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'static str,
    user_info: UserInfo<'a>,
    object: Option<&'a RawValue>,
    old_object: Option<&'a RawValue>,
    dry_run: bool,
    options: Option<Value>,
}

impl<'a> AdmissionRequest<'a> {
    /// A request as it is asked about in this version, without its objects.
    pub(in crate::admission) fn new(uid: &'a str, review: &'a Review<'_>, version: &'a Version) -> Self {
        let door = &review.door;
        let (group, own_version, kind) = door.kind();
        let row = door.row;
        Self {
            uid,
            kind: version.kind.kind(),
            resource: version.resource.resource(),
            sub_resource: door.subresource,
            request_kind: Kind { group, version: own_version, kind },
            request_resource: Resource { group: &row.group, version: &row.version, resource: &row.plural },
            request_sub_resource: door.subresource,
            name: review.object_name(),
            namespace: door.namespace(),
            operation: door.operation.as_str(),
            user_info: review.user().into(),
            object: None,
            old_object: None,
            dry_run: review.dry_run() == DryRun::All,
            options: review.options(),
        }
    }

    /// The same with its objects.
    ///
    /// # Errors
    /// When they are no JSON.
    pub(in crate::admission) fn with_objects(self, version: &'a Version) -> serde_json::Result<Self> {
        let raw = |json: Option<&'a [u8]>| json.map(serde_json::from_slice::<&RawValue>).transpose();
        Ok(Self { object: raw(version.object())?, old_object: raw(version.old_object())?, ..self })
    }
}

impl Names {
    fn kind(&self) -> Kind<'_> {
        Kind { group: &self.group, version: &self.version, kind: &self.name }
    }

    fn resource(&self) -> Resource<'_> {
        Resource { group: &self.group, version: &self.version, resource: &self.name }
    }
}
