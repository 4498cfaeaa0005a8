//! `v1.Binding`.

use crate::{Kind, core};

impl Kind for core::Binding {}
