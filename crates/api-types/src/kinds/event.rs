//! `v1.Event`.

use crate::{Kind, core};

impl Kind for core::Event {}
