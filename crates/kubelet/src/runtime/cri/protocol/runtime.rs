//! Sandboxes, containers and the runtime itself.

use std::collections::BTreeMap;

use super::{
    ContainerConfig, ContainerMetadata, ImageSpec, Mount, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    Resources, UInt64Value,
};

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) version: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(in crate::runtime::cri) runtime_version: String,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) runtime_api_version: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct RuntimeStatusRequest {
    #[prost(bool, tag = "1")]
    pub(in crate::runtime::cri) verbose: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct Condition {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) kind: String,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) status: bool,
    #[prost(string, tag = "3")]
    pub(in crate::runtime::cri) reason: String,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) message: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct Conditions {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::runtime::cri) conditions: Vec<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct HandlerFeatures {
    #[prost(bool, tag = "1")]
    pub(in crate::runtime::cri) recursive_read_only_mounts: bool,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) user_namespaces: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct Handler {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) name: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) features: Option<HandlerFeatures>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct RuntimeStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) status: Option<Conditions>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::runtime::cri) info: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::runtime::cri) runtime_handlers: Vec<Handler>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) config: Option<PodSandboxConfig>,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) runtime_handler: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum PodSandboxState {
    Ready = 0,
    NotReady = 1,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct PodIp {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) ip: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct SandboxNetwork {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) ip: String,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::runtime::cri) additional_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct SandboxNamespaces {
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct LinuxSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) namespaces: Option<SandboxNamespaces>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandboxStatus {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) metadata: Option<PodSandboxMetadata>,
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub(in crate::runtime::cri) state: i32,
    #[prost(int64, tag = "4")]
    pub(in crate::runtime::cri) created_at: i64,
    #[prost(message, optional, tag = "5")]
    pub(in crate::runtime::cri) network: Option<SandboxNetwork>,
    #[prost(message, optional, tag = "6")]
    pub(in crate::runtime::cri) linux: Option<LinuxSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(in crate::runtime::cri) annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) status: Option<PodSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::runtime::cri) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandboxFilter {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(in crate::runtime::cri) label_selector: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) filter: Option<PodSandboxFilter>,
}

/// An entry of the list of sandboxes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) metadata: Option<PodSandboxMetadata>,
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub(in crate::runtime::cri) state: i32,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::runtime::cri) items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct StopContainerRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    /// In seconds.
    #[prost(int64, tag = "2")]
    pub(in crate::runtime::cri) timeout: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum State {
    Created = 0,
    Running = 1,
    Exited = 2,
    Unknown = 3,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerFilter {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(in crate::runtime::cri) label_selector: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) filter: Option<ContainerFilter>,
}

/// An entry of the list of containers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Container {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) metadata: Option<ContainerMetadata>,
    #[prost(enumeration = "State", tag = "6")]
    pub(in crate::runtime::cri) state: i32,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::runtime::cri) containers: Vec<Container>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerResources {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) linux: Option<Resources>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) metadata: Option<ContainerMetadata>,
    #[prost(enumeration = "State", tag = "3")]
    pub(in crate::runtime::cri) state: i32,
    #[prost(int64, tag = "4")]
    pub(in crate::runtime::cri) created_at: i64,
    #[prost(int64, tag = "5")]
    pub(in crate::runtime::cri) started_at: i64,
    #[prost(int64, tag = "6")]
    pub(in crate::runtime::cri) finished_at: i64,
    #[prost(int32, tag = "7")]
    pub(in crate::runtime::cri) exit_code: i32,
    #[prost(message, optional, tag = "8")]
    pub(in crate::runtime::cri) image: Option<ImageSpec>,
    #[prost(string, tag = "10")]
    pub(in crate::runtime::cri) reason: String,
    #[prost(string, tag = "11")]
    pub(in crate::runtime::cri) message: String,
    #[prost(btree_map = "string, string", tag = "12")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "13")]
    pub(in crate::runtime::cri) annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "14")]
    pub(in crate::runtime::cri) mounts: Vec<Mount>,
    #[prost(string, tag = "15")]
    pub(in crate::runtime::cri) log_path: String,
    #[prost(message, optional, tag = "16")]
    pub(in crate::runtime::cri) resources: Option<ContainerResources>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) status: Option<ContainerStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::runtime::cri) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct UpdateResourcesRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) linux: Option<Resources>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct CpuUsage {
    #[prost(int64, tag = "1")]
    pub(in crate::runtime::cri) timestamp: i64,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) usage_core_nano_seconds: Option<UInt64Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct MemoryUsage {
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) working_set_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::runtime::cri) usage_bytes: Option<UInt64Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct ContainerStats {
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) cpu: Option<CpuUsage>,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) memory: Option<MemoryUsage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct ContainerStatsResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) stats: Option<ContainerStats>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum ContainerEventType {
    Created = 0,
    Started = 1,
    Stopped = 2,
    Deleted = 3,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerEvent {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    #[prost(enumeration = "ContainerEventType", tag = "2")]
    pub(in crate::runtime::cri) kind: i32,
    #[prost(message, optional, tag = "4")]
    pub(in crate::runtime::cri) pod_sandbox_status: Option<PodSandboxStatus>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::runtime::cri) containers_statuses: Vec<ContainerStatus>,
}
