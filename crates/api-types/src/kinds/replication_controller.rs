//! `v1.ReplicationController`.

use crate::{Kind, core};

impl Kind for core::ReplicationController {}
