//! Images that are made here: CRI has no words for that, containerd has (`containerd.services`, Apache-2.0).

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::runtime::cri) enum WriteAction {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct WriteContentRequest {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(in crate::runtime::cri) action: i32,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) reference: String,
    #[prost(int64, tag = "3")]
    pub(in crate::runtime::cri) total: i64,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) expected: String,
    #[prost(int64, tag = "5")]
    pub(in crate::runtime::cri) offset: i64,
    #[prost(bytes = "bytes", tag = "6")]
    pub(in crate::runtime::cri) data: bytes::Bytes,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct WriteContentResponse {
    #[prost(int64, tag = "4")]
    pub(in crate::runtime::cri) offset: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Descriptor {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) media_type: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) digest: String,
    #[prost(int64, tag = "3")]
    pub(in crate::runtime::cri) size: i64,
}

/// An image as containerd keeps it: a name for a manifest.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct NamedImage {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) name: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct CreateImageRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) image: Option<NamedImage>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct CreateLeaseRequest {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(in crate::runtime::cri) labels: BTreeMap<String, String>,
}
