//! `v1.Endpoints`.

use crate::{Kind, core};

impl Kind for core::Endpoints {}
