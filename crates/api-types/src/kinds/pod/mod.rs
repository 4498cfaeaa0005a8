//! `v1.Pod`.

mod columns;

use serde_json::Value;

use crate::{
    core::Pod,
    object::{Column, Kind, SelectableField},
    pod_spec::defaults,
};

impl Kind for Pod {
    const COLUMNS: &'static [Column] = columns::COLUMNS;

    const SELECTABLE: &'static [SelectableField] = &[
        SelectableField::text("spec.nodeName"),
        SelectableField::text("spec.restartPolicy"),
        SelectableField::text("spec.schedulerName"),
        SelectableField::text("spec.serviceAccountName"),
        SelectableField::boolean("spec.hostNetwork"),
        SelectableField::text("status.phase"),
        SelectableField::text("status.podIP"),
        SelectableField::text("status.nominatedNodeName"),
    ];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        defaults::set_defaults(spec);
        defaults::set_pod_defaults(spec);
    }

    fn cells(&self) -> Vec<Value> {
        columns::cells(self)
    }
}
