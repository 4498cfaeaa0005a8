//! The objects that a command means: from files, by names, by selectors. Every verb that changes objects finds them here.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::{Failures, apply::namespace_of, query, writing::Writing};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    resources::{Catalog, ResourceType, Target},
    strategic,
};

/// `-l` and `--all`.
#[derive(Args, Clone, Debug, Default)]
pub struct Selecting {
    /// Label selector
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Every object of the types in the namespace
    #[arg(long)]
    pub all: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Types and names.
    pub arguments: &'a [String],
    /// Files.
    pub files: Option<&'a FileFlags>,
    /// Label selector.
    pub selector: Option<&'a str>,
    /// Field selector.
    pub field_selector: Option<&'a str>,
    /// `--all`.
    pub all: bool,
    /// In every namespace.
    pub all_namespaces: bool,
    /// Files are taken as they are; no server is asked.
    pub local: bool,
}

/// An object, and where it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its type.
    pub resource: Arc<ResourceType>,
    /// Its namespace, of kinds that have one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Itself.
    pub object: Value,
}

impl Found {
    /// Path of the object.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.resource.collection(self.namespace.as_deref()), self.name)
    }

    /// `deployment.apps/web`.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}/{}", self.resource.display_name(), self.name)
    }

    fn new(resource: &Arc<ResourceType>, object: Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let namespace = text("namespace").filter(|_| resource.namespaced);
        Self { resource: Arc::clone(resource), namespace, name: text("name").unwrap_or_default(), object }
    }
}

impl Asked<'_> {
    fn has_files(&self) -> bool {
        self.files.is_some_and(|files| !files.filenames.is_empty())
    }

    /// Whether nothing was asked for at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.arguments.is_empty() && !self.has_files()
    }

    /// Every object, or why it cannot be had.
    ///
    /// # Errors
    /// When what is asked for makes no sense, or nothing can be had at all.
    pub async fn find(&self, api: &Api, global: &GlobalFlags) -> Result<Vec<Result<Found>>> {
        if self.local {
            return self.local();
        }
        let catalog = Catalog::discover(api).await?;
        if self.has_files() {
            return self.files(api, global, &catalog).await;
        }
        let mut found = Vec::new();
        for target in catalog.targets(self.arguments)? {
            match &target.name {
                Some(name) => found.push(self.one(api, &target, name).await),
                None => found.extend(self.members(api, &target.resource).await?.into_iter().map(Ok)),
            }
        }
        Ok(found)
    }

    /// Every object; fails with the first that cannot be had.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn find_all(&self, api: &Api, global: &GlobalFlags) -> Result<Vec<Found>> {
        self.find(api, global).await?.into_iter().collect()
    }

    fn local(&self) -> Result<Vec<Result<Found>>> {
        if let Some(argument) = self.arguments.first().filter(|_| !self.has_files()) {
            let what = argument.split('/').next().unwrap_or_default();
            return Err(Error::usage(format!(
                "resource(s) were provided, but no server is asked with --local: {what} must come from a file"
            )));
        }
        let objects = self.files.map_or_else(|| Ok(Vec::new()), FileFlags::objects)?;
        let found = |object: Value| {
            let resource = Arc::new(super::create::plain_resource(&object));
            Ok(Found::new(&resource, object))
        };
        Ok(objects.into_iter().map(found).collect())
    }

    async fn files(&self, api: &Api, global: &GlobalFlags, catalog: &Catalog) -> Result<Vec<Result<Found>>> {
        let mut objects = self.files.map_or_else(|| Ok(Vec::new()), FileFlags::objects)?;
        if let Some(selector) = self.selector {
            objects = super::select::matching(objects, selector)?;
        }
        let mut found = Vec::new();
        for object in objects {
            found.push(self.named_in_file(api, global, catalog, &object).await);
        }
        Ok(found)
    }

    async fn named_in_file(&self, api: &Api, global: &GlobalFlags, catalog: &Catalog, object: &Value) -> Result<Found> {
        let resource = catalog.of_object(object)?;
        let namespace = namespace_of(api, global, object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let target = Target { resource, name: Some(name) };
        let object = api.get(&target.path(Some(&namespace))).await?;
        Ok(Found::new(&target.resource, object))
    }

    async fn one(&self, api: &Api, target: &Target, name: &str) -> Result<Found> {
        if self.selector.is_some_and(|selector| !selector.is_empty()) || self.all {
            return Err(Error::usage("name cannot be provided when a selector is specified"));
        }
        if self.all_namespaces && target.resource.namespaced {
            return Err(Error::usage("a resource cannot be retrieved by name across all namespaces"));
        }
        let object = api.get(&target.path(Some(&api.namespace))).await?;
        let mut found = Found::new(&target.resource, object);
        found.name = name.to_owned();
        Ok(found)
    }

    async fn members(&self, api: &Api, resource: &Arc<ResourceType>) -> Result<Vec<Found>> {
        let selected = [self.selector, self.field_selector].into_iter().flatten().any(|text| !text.is_empty());
        if self.all && selected {
            return Err(Error::usage("setting 'all' parameter but found a non empty selector. "));
        }
        if !self.all && !selected {
            return Err(Error::usage("resource(s) were provided, but no name was specified"));
        }
        let namespace = (!self.all_namespaces).then_some(api.namespace.as_str());
        let query = query(&[("labelSelector", self.selector), ("fieldSelector", self.field_selector)]);
        let mut list = api.get(&format!("{}?{query}", resource.collection(namespace))).await?;
        let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
        let member = |mut item: Value| {
            item["apiVersion"] = resource.api_version().into();
            item["kind"] = resource.kind.clone().into();
            Found::new(resource, item)
        };
        Ok(items.into_iter().map(member).collect())
    }
}

/// Runs a change on every object that was found; goes on after those that fail.
///
/// # Errors
/// When one failed.
pub async fn each<F: AsyncFnMut(Found) -> Result<()>>(found: Vec<Result<Found>>, mut change: F) -> Result<()> {
    let mut failures = Failures::default();
    for found in found {
        let result = match found {
            Ok(found) => change(found).await,
            Err(error) => Err(error),
        };
        failures.note(result)?;
    }
    failures.result()
}

/// Sends what makes the object `after` of what was found; the object as it is then. Nothing is sent when nothing changed or
/// in a client's dry run.
///
/// # Errors
/// When the server refuses.
pub async fn send_change(api: &Api, writing: &Writing, found: &Found, after: Value, manager: &str) -> Result<Value> {
    let Some(patch) = strategic::difference(&found.object, &after) else { return Ok(found.object.clone()) };
    if writing.dry_run() == DryRun::Client {
        return Ok(after);
    }
    let kind = if patch.strategic { PatchType::Strategic } else { PatchType::Merge };
    api.patch(&writing.url(&found.path(), manager), kind, &patch.body).await
}
