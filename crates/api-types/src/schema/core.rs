//! Merge keys: Kinds of `core/v1` but pods and volumes.

use super::{CORE, METADATA, PROTOCOL, Type, atomic, field, key, keyed, pod::POD_TEMPLATE_SPEC, set};

pub(super) static BINDING: Type = Type::new(CORE, "Binding", &[METADATA, field("target").of(&OBJECT_REFERENCE)]);

pub(super) static COMPONENT_STATUS: Type =
    Type::new(CORE, "ComponentStatus", &[keyed("conditions", &[key("type")]).merge("type"), METADATA]);

pub(super) static CONFIG_MAP_KEY_SELECTOR: Type = Type::atomic(CORE, "ConfigMapKeySelector");

pub(super) static EVENT: Type = Type::new(
    CORE,
    "Event",
    &[
        field("involvedObject").of(&OBJECT_REFERENCE),
        METADATA,
        field("related").of(&OBJECT_REFERENCE),
        field("source").present(),
    ],
);

pub(super) static FILE_KEY_SELECTOR: Type = Type::atomic(CORE, "FileKeySelector");

pub(super) static LOCAL_OBJECT_REFERENCE: Type = Type::atomic(CORE, "LocalObjectReference");

pub(super) static NAMESPACE: Type =
    Type::new(CORE, "Namespace", &[METADATA, field("spec").present(), field("status").of(&NAMESPACE_STATUS).present()]);

pub(super) static NAMESPACE_STATUS: Type =
    Type::new(CORE, "NamespaceStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static NODE: Type = Type::new(
    CORE,
    "Node",
    &[METADATA, field("spec").of(&NODE_SPEC).present(), field("status").of(&NODE_STATUS).present()],
);

pub(super) static NODE_SELECTOR: Type = Type::atomic(CORE, "NodeSelector");

pub(super) static NODE_SPEC: Type = Type::new(CORE, "NodeSpec", &[set("podCIDRs").merge_values()]);

pub(super) static NODE_STATUS: Type = Type::new(
    CORE,
    "NodeStatus",
    &[
        keyed("addresses", &[key("type")]).merge("type"),
        keyed("conditions", &[key("type")]).merge("type"),
        field("daemonEndpoints").present(),
        field("nodeInfo").present(),
    ],
);

pub(super) static OBJECT_FIELD_SELECTOR: Type = Type::atomic(CORE, "ObjectFieldSelector");

pub(super) static OBJECT_REFERENCE: Type = Type::atomic(CORE, "ObjectReference");

pub(super) static REPLICATION_CONTROLLER: Type = Type::new(
    CORE,
    "ReplicationController",
    &[
        METADATA,
        field("spec").of(&REPLICATION_CONTROLLER_SPEC).present(),
        field("status").of(&REPLICATION_CONTROLLER_STATUS).present(),
    ],
);

pub(super) static REPLICATION_CONTROLLER_SPEC: Type =
    Type::new(CORE, "ReplicationControllerSpec", &[atomic("selector"), field("template").of(&POD_TEMPLATE_SPEC)]);

pub(super) static REPLICATION_CONTROLLER_STATUS: Type =
    Type::new(CORE, "ReplicationControllerStatus", &[keyed("conditions", &[key("type")]).merge("type")]);

pub(super) static RESOURCE_FIELD_SELECTOR: Type = Type::atomic(CORE, "ResourceFieldSelector");

pub(super) static RESOURCE_QUOTA: Type = Type::new(
    CORE,
    "ResourceQuota",
    &[METADATA, field("spec").of(&RESOURCE_QUOTA_SPEC).present(), field("status").present()],
);

pub(super) static RESOURCE_QUOTA_SPEC: Type =
    Type::new(CORE, "ResourceQuotaSpec", &[field("scopeSelector").of(&SCOPE_SELECTOR)]);

pub(super) static SCOPE_SELECTOR: Type = Type::atomic(CORE, "ScopeSelector");

pub(super) static SECRET_KEY_SELECTOR: Type = Type::atomic(CORE, "SecretKeySelector");

pub(super) static SECRET_REFERENCE: Type = Type::atomic(CORE, "SecretReference");

pub(super) static SERVICE: Type = Type::new(
    CORE,
    "Service",
    &[METADATA, field("spec").of(&SERVICE_SPEC).present(), field("status").of(&SERVICE_STATUS).present()],
);

pub(super) static SERVICE_ACCOUNT: Type = Type::new(
    CORE,
    "ServiceAccount",
    &[METADATA, keyed("secrets", &[key("name")]).of(&OBJECT_REFERENCE).merge("name")],
);

pub(super) static SERVICE_SPEC: Type =
    Type::new(CORE, "ServiceSpec", &[keyed("ports", &[key("port"), PROTOCOL]).merge("port"), atomic("selector")]);

pub(super) static SERVICE_STATUS: Type = Type::new(
    CORE,
    "ServiceStatus",
    &[keyed("conditions", &[key("type")]).merge("type"), field("loadBalancer").present()],
);

pub(super) static TYPED_LOCAL_OBJECT_REFERENCE: Type = Type::atomic(CORE, "TypedLocalObjectReference");
