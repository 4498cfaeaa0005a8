//! `v1.Pod`.

use crate::{Kind, core};

impl Kind for core::Pod {}
