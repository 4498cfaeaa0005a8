//! `v1.ConfigMap`.

use crate::{Kind, core};

impl Kind for core::ConfigMap {}
