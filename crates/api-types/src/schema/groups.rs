//! Merge keys: The smaller groups.

use super::{
    AUTOSCALING, EVENTS, METADATA, POLICY, Type, core::OBJECT_REFERENCE, field, key, keyed, meta::LABEL_SELECTOR,
};

pub(super) static CROSS_VERSION_OBJECT_REFERENCE: Type = Type::atomic(AUTOSCALING, "CrossVersionObjectReference");

pub(super) static HORIZONTAL_POD_AUTOSCALER: Type = Type::new(
    AUTOSCALING,
    "HorizontalPodAutoscaler",
    &[METADATA, field("spec").of(&HORIZONTAL_POD_AUTOSCALER_SPEC).present(), field("status").present()],
);

pub(super) static HORIZONTAL_POD_AUTOSCALER_SPEC: Type = Type::new(
    AUTOSCALING,
    "HorizontalPodAutoscalerSpec",
    &[field("scaleTargetRef").of(&CROSS_VERSION_OBJECT_REFERENCE)],
);

pub(super) static EVENTS_EVENT: Type = Type::new(
    EVENTS,
    "Event",
    &[
        field("deprecatedSource").present(),
        METADATA,
        field("regarding").of(&OBJECT_REFERENCE),
        field("related").of(&OBJECT_REFERENCE),
    ],
);

pub(super) static POD_DISRUPTION_BUDGET: Type = Type::new(
    POLICY,
    "PodDisruptionBudget",
    &[
        METADATA,
        field("spec").of(&POD_DISRUPTION_BUDGET_SPEC).present(),
        field("status").of(&POD_DISRUPTION_BUDGET_STATUS).present(),
    ],
);

pub(super) static POD_DISRUPTION_BUDGET_SPEC: Type =
    Type::new(POLICY, "PodDisruptionBudgetSpec", &[field("selector").of(&LABEL_SELECTOR).replace()]);

pub(super) static POD_DISRUPTION_BUDGET_STATUS: Type =
    Type::new(POLICY, "PodDisruptionBudgetStatus", &[keyed("conditions", &[key("type")]).merge("type")]);
