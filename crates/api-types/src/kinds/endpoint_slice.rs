//! `discovery.k8s.io/v1.EndpointSlice`.

use crate::{Kind, discovery};

impl Kind for discovery::EndpointSlice {}
