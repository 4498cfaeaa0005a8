//! `v1.Node`.

use crate::{Kind, core};

impl Kind for core::Node {}
