//! What is said to a runtime: the messages of upstream's `runtime.v1` (`k8s.io/cri-api`, Apache-2.0) that the kubelet
//! uses, with the fields that it writes or reads. Others are passed over, on either side.

mod config;
mod containerd;
mod images;
mod runtime;
mod streaming;

pub(in crate::runtime::cri) use config::*;
pub(in crate::runtime::cri) use containerd::*;
pub(in crate::runtime::cri) use images::*;
pub(in crate::runtime::cri) use runtime::*;
pub(in crate::runtime::cri) use streaming::*;

/// A message that says nothing: of several answers nothing more is wanted, and some questions have no fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct Nothing {}

/// A question about a sandbox or a container, which is named by the first field.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct OfId {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
}

/// The same, where more can be told (`verbose`).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct StatusOfId {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) verbose: bool,
}

/// A number that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct Int64Value {
    #[prost(int64, tag = "1")]
    pub(in crate::runtime::cri) value: i64,
}

/// A number that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub(in crate::runtime::cri) value: u64,
}
