//! What is on the wire: Kubernetes v1.36 types, re-exported from k8s-openapi under plain names,
//! and what it lacks: the table of resources with defaulting, validation, selectable fields and
//! printer columns; what pods mean ([`pod`]); quantities, selectors, patch merge keys and `Status` errors. No I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codec;
pub mod cron;
pub mod custom;
pub mod dynamic;
mod encode;
pub mod expressions;
pub mod field;
mod kinds;
pub mod object;
pub mod pod;
pub mod pod_spec;
pub mod quantity;
pub mod quota;
pub mod resource;
pub mod rows;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod validation;
pub mod yaml;

pub use dynamic::Dynamic;
pub use k8s_openapi;
pub use k8s_openapi::jiff;
pub use kinds::autoscaler::{
    annotations::{OF_SPEC as AUTOSCALER_SPEC_ANNOTATIONS, OF_STATUS as AUTOSCALER_STATUS_ANNOTATIONS},
    convert::{from_v1 as autoscaler_from_v1, to_v1 as autoscaler_to_v1},
};
pub use kinds::events_k8s_io::{from_core as event_from_core, to_core as event_to_core};
pub use kinds::flow_control::bootstrap::{MANDATORY as MANDATORY_FLOW_CONTROL, flow_schemas, priority_levels};
pub use kinds::job::{Identity as JobIdentity, POD_LABELS as JOB_POD_LABELS, SELECTED_BY as JOB_SELECTED_BY};
pub use kinds::priority_class::SYSTEM_PRIORITY_CLASSES;
pub use object::{Kind, Object};
pub use resource::{Resource, Scope, Subresource, WrongType};
pub use status::{GroupResource, StatusError};

/// `admissionregistration.k8s.io/v1`.
pub use k8s_openapi::api::admissionregistration::v1 as admissionregistration;
/// `apps/v1`.
pub use k8s_openapi::api::apps::v1 as apps;
/// `authentication.k8s.io/v1`.
pub use k8s_openapi::api::authentication::v1 as authentication;
/// `authorization.k8s.io/v1`.
pub use k8s_openapi::api::authorization::v1 as authorization;
/// `autoscaling/v1`.
pub use k8s_openapi::api::autoscaling::v1 as autoscaling;
/// `autoscaling/v2`.
pub use k8s_openapi::api::autoscaling::v2 as autoscaling_v2;
/// `batch/v1`.
pub use k8s_openapi::api::batch::v1 as batch;
/// `certificates.k8s.io/v1`.
pub use k8s_openapi::api::certificates::v1 as certificates;
/// `coordination.k8s.io/v1`.
pub use k8s_openapi::api::coordination::v1 as coordination;
/// `v1`: the core group.
pub use k8s_openapi::api::core::v1 as core;
/// `discovery.k8s.io/v1`.
pub use k8s_openapi::api::discovery::v1 as discovery;
/// `events.k8s.io/v1`.
pub use k8s_openapi::api::events::v1 as events;
/// `flowcontrol.apiserver.k8s.io/v1`.
pub use k8s_openapi::api::flowcontrol::v1 as flowcontrol;
/// `networking.k8s.io/v1`.
pub use k8s_openapi::api::networking::v1 as networking;
/// `node.k8s.io/v1`.
pub use k8s_openapi::api::node::v1 as node;
/// `policy/v1`.
pub use k8s_openapi::api::policy::v1 as policy;
/// `rbac.authorization.k8s.io/v1`.
pub use k8s_openapi::api::rbac::v1 as rbac;
/// `resource.k8s.io/v1`.
pub use k8s_openapi::api::resource::v1 as devices;
/// `scheduling.k8s.io/v1`.
pub use k8s_openapi::api::scheduling::v1 as scheduling;
/// `storage.k8s.io/v1`.
pub use k8s_openapi::api::storage::v1 as storage;
/// `apiextensions.k8s.io/v1`.
pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
/// `meta/v1`: what every object shares.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
/// An integer or a string, such as a port or a percentage.
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
/// `apiregistration.k8s.io/v1`.
pub use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
