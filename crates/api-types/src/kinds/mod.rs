//! What each kind knows of itself: defaults, validation, selectable fields, printer columns.
//! One file per kind.

mod authentication;
mod authorization;
mod binding;
mod certificate_signing_request;
mod component_status;
mod config_map;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
pub(crate) mod events_k8s_io;
mod ingress;
mod ingress_class;
mod ip_address;
mod lease;
mod limit_range;
mod namespace;
mod network_policy;
mod node;
mod persistent_volume;
pub(crate) mod persistent_volume_claim;
mod pod;
mod pod_template;
pub(crate) mod priority_class;
mod rbac;
mod replica_set;
mod replicated;
mod replication_controller;
mod resource_quota;
mod runtime_class;
mod secret;
mod service;
mod service_account;
mod service_cidr;
mod storage_class;
