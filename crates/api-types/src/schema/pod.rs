//! Merge keys: Pods and their templates.

use super::{
    CORE, METADATA, PROTOCOL, Type, atomic,
    core::{
        CONFIG_MAP_KEY_SELECTOR, FILE_KEY_SELECTOR, LOCAL_OBJECT_REFERENCE, NODE_SELECTOR, OBJECT_FIELD_SELECTOR,
        RESOURCE_FIELD_SELECTOR, SECRET_KEY_SELECTOR,
    },
    field, key, keyed, list,
    meta::LABEL_SELECTOR,
    volume::VOLUME,
};

pub(super) static AFFINITY: Type = Type::new(CORE, "Affinity", &[field("nodeAffinity").of(&NODE_AFFINITY)]);

pub(super) static CONTAINER: Type = Type::new(
    CORE,
    "Container",
    &[
        keyed("env", &[key("name")]).of(&ENV_VAR).merge("name"),
        keyed("ports", &[key("containerPort"), PROTOCOL]).merge("containerPort"),
        field("resources").of(&RESOURCE_REQUIREMENTS),
        keyed("volumeDevices", &[key("devicePath")]).merge("devicePath"),
        keyed("volumeMounts", &[key("mountPath")]).merge("mountPath"),
    ],
);

pub(super) static ENV_VAR: Type = Type::new(CORE, "EnvVar", &[field("valueFrom").of(&ENV_VAR_SOURCE)]);

pub(super) static ENV_VAR_SOURCE: Type = Type::new(
    CORE,
    "EnvVarSource",
    &[
        field("configMapKeyRef").of(&CONFIG_MAP_KEY_SELECTOR),
        field("fieldRef").of(&OBJECT_FIELD_SELECTOR),
        field("fileKeyRef").of(&FILE_KEY_SELECTOR),
        field("resourceFieldRef").of(&RESOURCE_FIELD_SELECTOR),
        field("secretKeyRef").of(&SECRET_KEY_SELECTOR),
    ],
);

pub(super) static EPHEMERAL_CONTAINER: Type = Type::new(
    CORE,
    "EphemeralContainer",
    &[
        keyed("env", &[key("name")]).of(&ENV_VAR).merge("name"),
        keyed("ports", &[key("containerPort"), PROTOCOL]).merge("containerPort"),
        field("resources").of(&RESOURCE_REQUIREMENTS),
        keyed("volumeDevices", &[key("devicePath")]).merge("devicePath"),
        keyed("volumeMounts", &[key("mountPath")]).merge("mountPath"),
    ],
);

pub(super) static NODE_AFFINITY: Type =
    Type::new(CORE, "NodeAffinity", &[field("requiredDuringSchedulingIgnoredDuringExecution").of(&NODE_SELECTOR)]);

pub(super) static POD: Type = Type::new(
    CORE,
    "Pod",
    &[METADATA, field("spec").of(&POD_SPEC).present(), field("status").of(&POD_STATUS).present()],
);

pub(super) static POD_SPEC: Type = Type::new(
    CORE,
    "PodSpec",
    &[
        field("affinity").of(&AFFINITY),
        keyed("containers", &[key("name")]).of(&CONTAINER).merge("name").present(),
        keyed("ephemeralContainers", &[key("name")]).of(&EPHEMERAL_CONTAINER).merge("name"),
        keyed("hostAliases", &[key("ip")]).merge("ip"),
        keyed("imagePullSecrets", &[key("name")]).of(&LOCAL_OBJECT_REFERENCE).merge("name"),
        keyed("initContainers", &[key("name")]).of(&CONTAINER).merge("name"),
        atomic("nodeSelector"),
        keyed("resourceClaims", &[key("name")]).merge("name").retain_keys(),
        field("resources").of(&RESOURCE_REQUIREMENTS),
        keyed("schedulingGates", &[key("name")]).merge("name"),
        keyed("topologySpreadConstraints", &[key("topologyKey"), key("whenUnsatisfiable")])
            .of(&TOPOLOGY_SPREAD_CONSTRAINT)
            .merge("topologyKey"),
        keyed("volumes", &[key("name")]).of(&VOLUME).merge("name").retain_keys(),
    ],
);

pub(super) static POD_STATUS: Type = Type::new(
    CORE,
    "PodStatus",
    &[
        keyed("conditions", &[key("type")]).merge("type"),
        list("hostIPs").merge("ip"),
        keyed("podIPs", &[key("ip")]).merge("ip"),
        keyed("resourceClaimStatuses", &[key("name")]).merge("name").retain_keys(),
        field("resources").of(&RESOURCE_REQUIREMENTS),
    ],
);

pub(super) static POD_TEMPLATE: Type =
    Type::new(CORE, "PodTemplate", &[METADATA, field("template").of(&POD_TEMPLATE_SPEC).present()]);

pub(super) static POD_TEMPLATE_SPEC: Type =
    Type::new(CORE, "PodTemplateSpec", &[METADATA, field("spec").of(&POD_SPEC).present()]);

pub(super) static RESOURCE_REQUIREMENTS: Type =
    Type::new(CORE, "ResourceRequirements", &[keyed("claims", &[key("name")])]);

pub(super) static TOPOLOGY_SPREAD_CONSTRAINT: Type =
    Type::new(CORE, "TopologySpreadConstraint", &[field("labelSelector").of(&LABEL_SELECTOR)]);
