//! `v1.Namespace`.

use crate::{Kind, core};

impl Kind for core::Namespace {}
