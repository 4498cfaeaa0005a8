//! `v1.Secret`.

use crate::{Kind, core};

impl Kind for core::Secret {}
