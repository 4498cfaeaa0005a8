//! `v1.ServiceAccount`.

use crate::{Kind, core};

impl Kind for core::ServiceAccount {}
