//! Rules shared by several kinds: names, labels, metadata, numbers.

pub(crate) mod address;
pub(crate) mod conditions;
pub(crate) mod endpoint;
pub(crate) mod keyed_data;
pub mod meta;
pub mod names;
pub(crate) mod number;
pub(crate) mod quantity;
pub(crate) mod resource_names;
pub(crate) mod selector;
pub(crate) mod taints;
pub(crate) mod template;
pub(crate) mod volume;
pub(crate) mod webhook;
