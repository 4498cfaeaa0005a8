//! `storage.k8s.io/v1.CSIStorageCapacity`.

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::warnings,
    quantity,
    storage::CSIStorageCapacity,
    validation::{meta::immutable, names, quantity as amounts, selector},
};

impl Kind for CSIStorageCapacity {
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("StorageClassName", STORAGE_CLASS), Column::text("Capacity", CAPACITY)];

    fn set_defaults(&mut self) {
        let amounts = [&mut self.capacity, &mut self.maximum_volume_size];
        amounts.into_iter().flatten().for_each(quantity::canonicalize_one);
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(own) = &self.node_topology {
            errors.extend(selector::validate(&Path::new("nodeTopology"), own));
        }
        let class = Path::new("storageClassName");
        errors.extend(names::check(names::dns1123_subdomain, &class, &self.storage_class_name));
        for (field, own) in [("capacity", &self.capacity), ("maximumVolumeSize", &self.maximum_volume_size)] {
            errors.extend(own.as_ref().and_then(|own| amounts::not_negative(&Path::new(field), own)));
        }
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let topology = immutable(&Path::new("nodeTopology"), &self.node_topology, &old.node_topology);
        let class = Path::new("storageClassName");
        topology.into_iter().chain(immutable(&class, &self.storage_class_name, &old.storage_class_name)).collect()
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let Some(topology) = &self.node_topology else { return Vec::new() };
        let path = Path::new("nodeTopology");
        let keys = topology.match_expressions.iter().flatten().map(|own| own.key.as_str());
        let mut warnings = warnings::of_expressions(&path.child("matchExpressions"), keys);
        for key in topology.match_labels.iter().flat_map(|labels| labels.keys()) {
            let path = path.child("matchLabels").child(key);
            warnings.extend(warnings::of_node_label(key).map(|why| format!("{path}: {why}")));
        }
        warnings
    }

    fn cells(&self) -> Vec<Value> {
        let capacity = self.capacity.as_ref().map_or("<nil>", |own| &*own.0);
        vec![self.metadata.name.clone().into(), self.storage_class_name.clone().into(), capacity.into()]
    }
}

const STORAGE_CLASS: &str = "storageClassName represents the name of the StorageClass that the reported capacity applies to. It must meet the same requirements as the name of a StorageClass object (non-empty, DNS subdomain). If that object no longer exists, the CSIStorageCapacity object is obsolete and should be removed by its creator. This field is immutable.";
const CAPACITY: &str = "capacity is the value reported by the CSI driver in its GetCapacityResponse for a GetCapacityRequest with topology and parameters that match the previous fields.\n\nThe semantic is currently (CSI spec 1.2) defined as: The available capacity, in bytes, of the storage that can be used to provision volumes. If not set, that information is currently unavailable.";
