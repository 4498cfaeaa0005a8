//! Horizontal pod autoscalers.

use api_types::{
    autoscaling_v2::{self, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus},
    meta::ObjectMeta,
};
use serde::Deserialize;

/// A horizontal pod autoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Autoscaler {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Spec.
    pub spec: HorizontalPodAutoscalerSpec,
    /// Status.
    pub status: HorizontalPodAutoscalerStatus,
}

component::slim_resource!(Autoscaler => autoscaling_v2::HorizontalPodAutoscaler);
