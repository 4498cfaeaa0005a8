//! Merge keys: What every object shares.

use super::{META, Type, key, keyed, set};

pub(super) static LABEL_SELECTOR: Type = Type::atomic(META, "LabelSelector");

pub(super) static OBJECT_META: Type = Type::new(
    META,
    "ObjectMeta",
    &[set("finalizers").merge_values(), keyed("ownerReferences", &[key("uid")]).of(&OWNER_REFERENCE).merge("uid")],
);

pub(super) static OWNER_REFERENCE: Type = Type::atomic(META, "OwnerReference");
