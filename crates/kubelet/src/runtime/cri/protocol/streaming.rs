//! Commands and sessions.

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct ExecSyncRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::runtime::cri) cmd: Vec<String>,
    /// In seconds; none is no limit.
    #[prost(int64, tag = "3")]
    pub(in crate::runtime::cri) timeout: i64,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct ExecSyncResponse {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::runtime::cri) stdout: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::runtime::cri) stderr: bytes::Bytes,
    #[prost(int32, tag = "3")]
    pub(in crate::runtime::cri) exit_code: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct ExecRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::runtime::cri) cmd: Vec<String>,
    #[prost(bool, tag = "3")]
    pub(in crate::runtime::cri) tty: bool,
    #[prost(bool, tag = "4")]
    pub(in crate::runtime::cri) stdin: bool,
    #[prost(bool, tag = "5")]
    pub(in crate::runtime::cri) stdout: bool,
    #[prost(bool, tag = "6")]
    pub(in crate::runtime::cri) stderr: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct AttachRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) container_id: String,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) stdin: bool,
    #[prost(bool, tag = "3")]
    pub(in crate::runtime::cri) tty: bool,
    #[prost(bool, tag = "4")]
    pub(in crate::runtime::cri) stdout: bool,
    #[prost(bool, tag = "5")]
    pub(in crate::runtime::cri) stderr: bool,
}

/// Where a session is held.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct StreamingResponse {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) url: String,
}
