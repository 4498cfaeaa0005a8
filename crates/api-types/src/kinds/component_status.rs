//! `v1.ComponentStatus`.

use crate::{Kind, core};

impl Kind for core::ComponentStatus {}
