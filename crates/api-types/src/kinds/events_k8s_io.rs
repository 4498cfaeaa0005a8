//! `events.k8s.io/v1.Event`.

use crate::{Kind, events};

impl Kind for events::Event {}
