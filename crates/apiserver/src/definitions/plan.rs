//! What a definition leads to.

use std::sync::Arc;

use api_types::{
    Resource, Scope, StatusError, Subresource,
    apiextensions::{
        CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
        CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, JSONSchemaProps,
    },
    custom::{Definition, DynamicKind, OtherVersions, ScalePaths, Structure},
    object::{Column, SelectableField},
    resource::{Names, STATUS_VERBS, Text},
};
use sha2::{Digest, Sha256};

use super::{
    Settings,
    conversion::{Renamed, Side},
    naming::{Taken, accept},
    status::{ESTABLISHED, Wanted, is_true},
    webhook::{Converted, Hook},
};
use crate::{
    catalogue::{Endpoint, Route, SubRoute},
    handlers::{OfPart, Replicas},
    registry::{Conversion, DynamicStrategy, Part, Rest, StatusOwner, Storage, WatchSizes},
    storage::Prefix,
    webhook::{self as hooks, Server},
};

/// Verbs of a resource that comes to its end.
const LAST_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];

/// What is to be done about a definition.
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The names that it gets.
    pub names: CustomResourceDefinitionNames,
    /// Whether it does not get all that it wants.
    pub waiting: bool,
    /// What the routes are made of.
    pub print: [u8; 32],
    /// Whether that is something else than before.
    pub changed: bool,
    /// Versions that are served.
    pub versions: Vec<String>,
    /// What serves them.
    pub routes: Vec<Route>,
    /// What its objects are reached by, if it is served.
    pub rest: Option<Arc<Rest>>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// What its status is to say; `None` where it says so.
    pub status: Option<Wanted>,
}

impl Plan {
    /// Decides. Routes are made where they are not made of the same as those before.
    ///
    /// # Errors
    /// When the definition cannot be encoded.
    pub fn new(
        settings: &Settings,
        definition: &CustomResourceDefinition,
        taken: &Taken,
        before: Option<&[u8; 32]>,
    ) -> Result<Self, StatusError> {
        let status = definition.status.as_ref();
        let (names, conflict) = accept(&definition.spec.names, status, taken);
        let wanted = Wanted::of(definition, &names, conflict.as_ref());
        let served = conflict.is_none() || is_true(status, ESTABLISHED);
        let terminating = definition.metadata.deletion_timestamp.is_some();
        let print = print(definition, &names, served, terminating)?;
        let status = (!terminating && !wanted.is_said(status)).then_some(wanted);
        let changed = before != Some(&print);
        let mut plan = Self {
            changed,
            name: definition.metadata.name.clone().unwrap_or_default(),
            group: definition.spec.group.clone(),
            waiting: conflict.is_some(),
            print,
            versions: Vec::new(),
            routes: Vec::new(),
            rest: None,
            terminating,
            status,
            names,
        };
        if served && changed {
            plan.serve(settings, definition);
        }
        Ok(plan)
    }

    fn serve(&mut self, settings: &Settings, definition: &CustomResourceDefinition) {
        let spec = &definition.spec;
        let before = definition.status.as_ref().and_then(|status| status.stored_versions.as_ref());
        let server =
            |place, authorities| Server::new(hooks::Settings { place, authorities }, &settings.registry.handle());
        let hook = Hook::of(spec.conversion.as_ref(), server).map(Arc::new);
        let way = Way { hook: hook.as_ref(), mixed: before.is_some_and(|versions| versions.len() > 1) };
        let versions: Vec<Version<'_>> = spec.versions.iter().map(|version| Version::new(spec, version)).collect();
        let Some(stored) = versions.iter().find(|version| version.own.storage) else { return };
        let row = |version: &Version<'_>| self.row(spec, version, &versions, stored, way);
        let rows: Vec<Resource> = versions.iter().map(row).collect();
        let others: Vec<&Resource> = rows.iter().collect();
        let folder = Prefix::new(&format!("{}/{}/{}", settings.prefix, spec.group, self.names.plural));
        let stored_row = row(stored);
        let store = settings.registry.store().clone();
        let storage = Arc::new(Storage::new(store, folder, Arc::new(stored_row), &others, None));
        for (version, row) in versions.iter().zip(rows).filter(|(version, _)| version.own.served) {
            let conversion = way.conversion(version, stored);
            let strategy = Arc::new(version.strategy());
            let (storage, watched) = (storage.clone(), WatchSizes::default());
            let subresources = version.subresources(&self.names.kind);
            let route = Route::stored(row, subresources, |row| Rest { row, strategy, storage, conversion, watched });
            // Objects are deleted in the version in which they are stored, where that is served.
            if version.own.storage || self.rest.is_none() {
                self.rest = route.rest().cloned();
            }
            self.versions.push(version.own.name.clone());
            self.routes.push(route);
        }
        if self.rest.is_none() {
            let (row, conversion) = (storage.row.clone(), way.conversion(stored, stored));
            let strategy = Arc::new(stored.strategy());
            self.rest = Some(Arc::new(Rest { row, strategy, storage, conversion, watched: WatchSizes::default() }));
        }
    }

    fn row(
        &self,
        spec: &CustomResourceDefinitionSpec,
        version: &Version<'_>,
        all: &[Version<'_>],
        stored: &Version<'_>,
        way: Way<'_>,
    ) -> Resource {
        let names = &self.names;
        let owned = |names: &Option<Vec<String>>| Names::Owned(names.clone().unwrap_or_default().into());
        // Only what is stored is read in other versions.
        let others = all.iter().filter(|other| version.own.storage && !other.own.storage);
        let definition = Definition {
            also_stored: others.map(|other| (other.api_version.clone(), other.schema.clone())).collect(),
            other_versions: if way.hook.is_some() { OtherVersions::Kept } else { OtherVersions::Renamed },
            storage_version: stored.own.name.clone().into(),
            ..version.definition(names)
        };
        let row = DynamicKind::new(definition).row(names.plural.clone(), names.singular.clone().unwrap_or_default());
        Resource {
            short_names: owned(&names.short_names),
            categories: owned(&names.categories),
            scope: if spec.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
            verbs: if self.terminating { LAST_VERBS } else { row.verbs },
            ..row
        }
    }
}

/// What routes are made of, shortened: where it is the same, nothing has to be done.
fn print(
    definition: &CustomResourceDefinition,
    names: &CustomResourceDefinitionNames,
    served: bool,
    terminating: bool,
) -> Result<[u8; 32], StatusError> {
    let stored = definition.status.as_ref().and_then(|status| status.stored_versions.as_ref());
    let parts = (&definition.spec, names, stored, served, terminating);
    let json = serde_json::to_vec(&parts).map_err(StatusError::internal)?;
    Ok(Sha256::digest(json).into())
}

/// How versions are converted.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// Who is asked, if anybody is.
    hook: Option<&'a Arc<Hook>>,
    /// Whether objects may also be stored in other versions than the one that is stored now.
    mixed: bool,
}

impl Way<'_> {
    /// How a version becomes the one that is stored, and back; `None` where it is that one.
    fn conversion(self, version: &Version<'_>, stored: &Version<'_>) -> Option<Arc<dyn Conversion>> {
        let (served, is_stored) = (version.side(), version.own.storage);
        let stored = stored.side();
        match self.hook {
            Some(_) if is_stored && !self.mixed => None,
            Some(hook) => Some(Arc::new(Converted { hook: hook.clone(), served, stored })),
            None if is_stored => None,
            None => Some(Arc::new(Renamed { served, stored })),
        }
    }
}

/// A version of a definition.
struct Version<'a> {
    own: &'a CustomResourceDefinitionVersion,
    api_version: Text,
    schema: Arc<Structure>,
}

impl<'a> Version<'a> {
    fn new(spec: &CustomResourceDefinitionSpec, own: &'a CustomResourceDefinitionVersion) -> Self {
        let schema = own.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = schema.map_or_else(|| Structure::new(&anything()), Structure::new);
        Self { own, api_version: format!("{}/{}", spec.group, own.name).into(), schema: Arc::new(schema) }
    }

    fn side(&self) -> Side {
        Side { api_version: self.api_version.clone().into_owned(), schema: self.schema.clone() }
    }

    fn scale(&self) -> Option<ScalePaths> {
        let scale = self.own.subresources.as_ref()?.scale.as_ref()?;
        Some(ScalePaths {
            wanted: scale.spec_replicas_path.clone(),
            actual: scale.status_replicas_path.clone(),
            selector: scale.label_selector_path.clone().filter(|path| !path.is_empty()),
        })
    }

    fn has_status(&self) -> bool {
        self.own.subresources.as_ref().is_some_and(|own| own.status.is_some())
    }

    fn strategy(&self) -> DynamicStrategy {
        let status = if self.has_status() { StatusOwner::Subresource } else { StatusOwner::Writer };
        DynamicStrategy { status, scale: self.scale() }
    }

    fn definition(&self, names: &CustomResourceDefinitionNames) -> Definition {
        let columns = self.own.additional_printer_columns.iter().flatten();
        let mut columns: Vec<_> = columns.map(|own| (column(own), own.json_path.clone())).collect();
        if columns.is_empty() {
            let age = Column { r#type: "date".into(), ..Column::AGE };
            columns.push((age, ".metadata.creationTimestamp".to_owned()));
        }
        let selectable = self.own.selectable_fields.iter().flatten();
        let deprecated = self.own.deprecated == Some(true);
        let usual = || format!("{} {} is deprecated", self.api_version, names.kind);
        Definition {
            columns,
            selectable: selectable.map(|field| selected(&field.json_path)).collect(),
            scale: self.scale(),
            deprecation: deprecated.then(|| self.own.deprecation_warning.clone().unwrap_or_else(usual)),
            ..Definition::new(self.api_version.clone(), names.kind.clone(), self.schema.clone())
        }
    }

    fn subresources(&self, kind: &str) -> Vec<SubRoute> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let status = || SubRoute {
            row: Subresource {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                kind: kind.to_owned().into(),
                ..Subresource::new("status", ("", "", ""), STATUS_VERBS)
            },
            endpoint: Arc::new(OfPart(Part::Status)) as Arc<dyn Endpoint>,
        };
        let scale = || SubRoute {
            row: Subresource::new("scale", ("autoscaling", "v1", "Scale"), STATUS_VERBS),
            endpoint: Arc::new(Replicas),
        };
        let status = self.has_status().then(status);
        status.into_iter().chain(self.scale().map(|_| scale())).collect()
    }
}

/// What an old definition without a schema allows.
fn anything() -> JSONSchemaProps {
    JSONSchemaProps {
        type_: Some("object".into()),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..JSONSchemaProps::default()
    }
}

fn column(own: &CustomResourceColumnDefinition) -> Column {
    Column {
        name: own.name.clone().into(),
        r#type: own.type_.clone().into(),
        format: own.format.clone().unwrap_or_default().into(),
        description: own.description.clone().unwrap_or_default().into(),
        priority: own.priority.unwrap_or(0),
    }
}

fn selected(path: &str) -> SelectableField {
    let path: Text = path.trim_start_matches('.').to_owned().into();
    SelectableField { path: path.clone(), absent: "".into(), stored: path, otherwise: None }
}
