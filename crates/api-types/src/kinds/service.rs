//! `v1.Service`.

use crate::{Kind, core};

impl Kind for core::Service {}
