//! `apps/v1.Deployment`.

use crate::{Kind, apps};

impl Kind for apps::Deployment {}
