//! `coordination.k8s.io/v1.Lease`.

use crate::{Kind, coordination};

impl Kind for coordination::Lease {}
