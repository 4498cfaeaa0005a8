//! Merge keys: `apps/v1`.

use super::{APPS, METADATA, Type, field, key, keyed, meta::LABEL_SELECTOR, pod::POD_TEMPLATE_SPEC};

pub(super) static DAEMON_SET: Type = Type::new(
    APPS,
    "DaemonSet",
    &[METADATA, field("spec").of(&DAEMON_SET_SPEC).present(), field("status").of(&DAEMON_SET_STATUS).present()],
);

pub(super) static DAEMON_SET_SPEC: Type = Type::new(
    APPS,
    "DaemonSetSpec",
    &[
        field("selector").of(&LABEL_SELECTOR),
        field("template").of(&POD_TEMPLATE_SPEC).present(),
        field("updateStrategy").present(),
    ],
);

pub(super) static DAEMON_SET_STATUS: Type =
    Type::new(APPS, "DaemonSetStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static DEPLOYMENT: Type = Type::new(
    APPS,
    "Deployment",
    &[METADATA, field("spec").of(&DEPLOYMENT_SPEC).present(), field("status").of(&DEPLOYMENT_STATUS).present()],
);

pub(super) static DEPLOYMENT_SPEC: Type = Type::new(
    APPS,
    "DeploymentSpec",
    &[
        field("selector").of(&LABEL_SELECTOR),
        field("strategy").retain_keys().present(),
        field("template").of(&POD_TEMPLATE_SPEC).present(),
    ],
);

pub(super) static DEPLOYMENT_STATUS: Type =
    Type::new(APPS, "DeploymentStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static REPLICA_SET: Type = Type::new(
    APPS,
    "ReplicaSet",
    &[METADATA, field("spec").of(&REPLICA_SET_SPEC).present(), field("status").of(&REPLICA_SET_STATUS).present()],
);

pub(super) static REPLICA_SET_SPEC: Type = Type::new(
    APPS,
    "ReplicaSetSpec",
    &[field("selector").of(&LABEL_SELECTOR), field("template").of(&POD_TEMPLATE_SPEC).present()],
);

pub(super) static REPLICA_SET_STATUS: Type =
    Type::new(APPS, "ReplicaSetStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static STATEFUL_SET: Type = Type::new(
    APPS,
    "StatefulSet",
    &[METADATA, field("spec").of(&STATEFUL_SET_SPEC).present(), field("status").of(&STATEFUL_SET_STATUS).present()],
);

pub(super) static STATEFUL_SET_SPEC: Type = Type::new(
    APPS,
    "StatefulSetSpec",
    &[
        field("selector").of(&LABEL_SELECTOR),
        field("template").of(&POD_TEMPLATE_SPEC).present(),
        field("updateStrategy").present(),
    ],
);

pub(super) static STATEFUL_SET_STATUS: Type =
    Type::new(APPS, "StatefulSetStatus", &[keyed("conditions", &[key("type")]).merge("type")]);
