//! Images.

use std::collections::BTreeMap;

use super::{ImageSpec, Int64Value, UInt64Value};

/// A question about an image, or about all.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct OfImage {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) image: Option<ImageSpec>,
    #[prost(bool, tag = "2")]
    pub(in crate::runtime::cri) verbose: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct Image {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) id: String,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::runtime::cri) repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(in crate::runtime::cri) repo_digests: Vec<String>,
    #[prost(uint64, tag = "4")]
    pub(in crate::runtime::cri) size: u64,
    #[prost(message, optional, tag = "5")]
    pub(in crate::runtime::cri) uid: Option<Int64Value>,
    #[prost(string, tag = "6")]
    pub(in crate::runtime::cri) username: String,
    #[prost(bool, tag = "8")]
    pub(in crate::runtime::cri) pinned: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::runtime::cri) images: Vec<Image>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) image: Option<Image>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(in crate::runtime::cri) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct AuthConfig {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) username: String,
    #[prost(string, tag = "2")]
    pub(in crate::runtime::cri) password: String,
    #[prost(string, tag = "4")]
    pub(in crate::runtime::cri) server_address: String,
    #[prost(string, tag = "5")]
    pub(in crate::runtime::cri) identity_token: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PullImageRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::runtime::cri) image: Option<ImageSpec>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) auth: Option<AuthConfig>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct PullImageResponse {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) image_ref: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct FilesystemIdentifier {
    #[prost(string, tag = "1")]
    pub(in crate::runtime::cri) mountpoint: String,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(in crate::runtime::cri) struct FilesystemUsage {
    #[prost(message, optional, tag = "2")]
    pub(in crate::runtime::cri) fs_id: Option<FilesystemIdentifier>,
    #[prost(message, optional, tag = "3")]
    pub(in crate::runtime::cri) used_bytes: Option<UInt64Value>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::runtime::cri) struct ImageFsInfoResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::runtime::cri) image_filesystems: Vec<FilesystemUsage>,
}
