//! What a sandbox or a container is to be.

use std::collections::BTreeMap;

use super::Int64Value;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct DnsConfig {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::runtime::cri) servers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::runtime::cri) searches: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(in crate::runtime::cri) options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum PortProtocol {
    Tcp = 0,
    Udp = 1,
    Sctp = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PortMapping {
    #[prost(enumeration = "PortProtocol", tag = "1")]
    pub(in crate::runtime::cri) protocol: i32,
    #[prost(int32, tag = "2")]
    pub(in crate::runtime::cri) container_port: i32,
    #[prost(int32, tag = "3")]
    pub(in crate::runtime::cri) host_port: i32,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) host_ip: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum Propagation {
    Private = 0,
    HostToContainer = 1,
    Bidirectional = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Mount {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_path: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) host_path: String,
    #[prost(bool, tag = "3")]
    pub(in crate::runtime::cri) readonly: bool,
    #[prost(enumeration = "Propagation", tag = "5")]
    pub(in crate::runtime::cri) propagation: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum Mode {
    Pod = 0,
    Container = 1,
    Node = 2,
    Target = 3,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct NamespaceOption {
    #[prost(enumeration = "Mode", tag = "1")]
    pub(in crate::runtime::cri) network: i32,
    #[prost(enumeration = "Mode", tag = "2")]
    pub(in crate::runtime::cri) pid: i32,
    #[prost(enumeration = "Mode", tag = "3")]
    pub(in crate::runtime::cri) ipc: i32,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) target_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum ProfileType {
    RuntimeDefault = 0,
    Unconfined = 1,
    Localhost = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct SecurityProfile {
    #[prost(enumeration = "ProfileType", tag = "1")]
    pub(in crate::runtime::cri) profile_type: i32,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) localhost_ref: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct SandboxSecurityContext {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) namespace_options: Option<NamespaceOption>,
    #[prost(bool, tag = "4")]
    pub(in crate::runtime::cri) readonly_rootfs: bool,
    #[prost(bool, tag = "6")]
    pub(in crate::runtime::cri) privileged: bool,
    #[prost(message, optional, tag = "9")]
    pub(in crate::runtime::cri) seccomp: Option<SecurityProfile>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) security_context: Option<SandboxSecurityContext>,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(in crate::runtime::cri) sysctls: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) name: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) uid: String,
    #[prost(string, tag = "3")]
    pub(in crate::runtime::cri) namespace: String,
    #[prost(uint32, tag = "4")]
    pub(in crate::runtime::cri) attempt: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) metadata: Option<PodSandboxMetadata>,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) hostname: String,
    #[prost(string, tag = "3")]
    pub(in crate::runtime::cri) log_directory: String,
    #[prost(message, optional, tag = "4")]
    pub(in crate::runtime::cri) dns_config: Option<DnsConfig>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::runtime::cri) port_mappings: Vec<PortMapping>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(in crate::runtime::cri) annotations: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(in crate::runtime::cri) linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) name: String,
    #[prost(uint32, tag = "2")]
    pub(in crate::runtime::cri) attempt: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) image: String,
    #[prost(string, tag = "18")]
    pub(in crate::runtime::cri) user_specified_image: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) value: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Device {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_path: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) host_path: String,
    #[prost(string, tag = "3")]
    pub(in crate::runtime::cri) permissions: String,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Resources {
    #[prost(int64, tag = "1")]
    pub(in crate::runtime::cri) cpu_period: i64,
    #[prost(int64, tag = "2")]
    pub(in crate::runtime::cri) cpu_quota: i64,
    #[prost(int64, tag = "3")]
    pub(in crate::runtime::cri) cpu_shares: i64,
    #[prost(int64, tag = "4")]
    pub(in crate::runtime::cri) memory_limit_in_bytes: i64,
    #[prost(int64, tag = "5")]
    pub(in crate::runtime::cri) oom_score_adj: i64,
    #[prost(int64, tag = "10")]
    pub(in crate::runtime::cri) memory_swap_limit_in_bytes: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Capability {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::runtime::cri) add_capabilities: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::runtime::cri) drop_capabilities: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerSecurityContext {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) capabilities: Option<Capability>,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) privileged: bool,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) namespace_options: Option<NamespaceOption>,
    #[prost(message, optional, tag = "5")]
    pub(in crate::runtime::cri) run_as_user: Option<Int64Value>,
    #[prost(string, tag = "6")]
    pub(in crate::runtime::cri) run_as_username: String,
    #[prost(bool, tag = "7")]
    pub(in crate::runtime::cri) readonly_rootfs: bool,
    #[prost(int64, repeated, tag = "8")]
    pub(in crate::runtime::cri) supplemental_groups: Vec<i64>,
    #[prost(bool, tag = "11")]
    pub(in crate::runtime::cri) no_new_privs: bool,
    #[prost(message, optional, tag = "12")]
    pub(in crate::runtime::cri) run_as_group: Option<Int64Value>,
    #[prost(string, repeated, tag = "13")]
    pub(in crate::runtime::cri) masked_paths: Vec<String>,
    #[prost(string, repeated, tag = "14")]
    pub(in crate::runtime::cri) readonly_paths: Vec<String>,
    #[prost(message, optional, tag = "15")]
    pub(in crate::runtime::cri) seccomp: Option<SecurityProfile>,
    #[prost(message, optional, tag = "16")]
    pub(in crate::runtime::cri) apparmor: Option<SecurityProfile>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct LinuxContainerConfig {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) resources: Option<Resources>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) security_context: Option<ContainerSecurityContext>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    pub(in crate::runtime::cri) command: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(in crate::runtime::cri) args: Vec<String>,
    #[prost(string, tag = "5")]
    pub(in crate::runtime::cri) working_dir: String,
    #[prost(message, repeated, tag = "6")]
    pub(in crate::runtime::cri) envs: Vec<KeyValue>,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::runtime::cri) mounts: Vec<Mount>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::runtime::cri) devices: Vec<Device>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "10")]
    pub(in crate::runtime::cri) annotations: BTreeMap<String, String>,
    #[prost(string, tag = "11")]
    pub(in crate::runtime::cri) log_path: String,
    #[prost(bool, tag = "12")]
    pub(in crate::runtime::cri) stdin: bool,
    #[prost(bool, tag = "13")]
    pub(in crate::runtime::cri) stdin_once: bool,
    #[prost(bool, tag = "14")]
    pub(in crate::runtime::cri) tty: bool,
    #[prost(message, optional, tag = "15")]
    pub(in crate::runtime::cri) linux: Option<LinuxContainerConfig>,
}
