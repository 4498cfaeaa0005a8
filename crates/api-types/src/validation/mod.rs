//! Rules shared by several kinds: names, labels, metadata.

pub mod names;
