//! `ctl create`: from files, or from flags. One file a group of generators; each makes an object, and creating it is the same
//! for all.

mod config_map;
mod data;
mod deployment;
mod ingress;
mod job;
mod namespace;
mod policy;
mod quota;
mod role;
mod role_binding;
mod secret;
mod service;
mod token;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failures, apply::namespace_of, writing::Creating};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    manifests::FileFlags,
    resources::Catalog,
};

pub use data::check_variable;
pub use deployment::container_name;
pub use policy::number_or_text;
pub use quota::quantities;
pub use role_binding::Subjects;

/// What to create.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Flags {
    #[command(flatten)]
    files: Files,
    #[command(subcommand)]
    generator: Option<Generator>,
}

/// `create -f`.
#[derive(Args, Clone, Debug)]
struct Files {
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    creating: Creating,
    /// Edit before creating
    #[arg(long)]
    edit: bool,
    /// Accepted: lines end as on this system
    #[arg(long)]
    windows_line_endings: bool,
    /// POST the file to this URI as it is
    #[arg(long, value_name = "URI")]
    raw: Option<String>,
    /// Only the objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
enum Generator {
    /// Create a cluster role
    Clusterrole(role::ClusterRole),
    /// Create a cluster role binding for a particular cluster role
    Clusterrolebinding(role_binding::ClusterRoleBinding),
    /// Create a config map from a local file, directory or literal value
    #[command(visible_alias = "cm")]
    Configmap(config_map::Flags),
    /// Create a cron job with the specified name
    #[command(visible_alias = "cj")]
    Cronjob(job::CronJob),
    /// Create a deployment with the specified name
    #[command(visible_alias = "deploy")]
    Deployment(deployment::Flags),
    /// Create an ingress with the specified name
    #[command(visible_alias = "ing")]
    Ingress(ingress::Flags),
    /// Create a job with the specified name
    Job(job::Job),
    /// Create a namespace with the specified name
    #[command(visible_alias = "ns")]
    Namespace(namespace::Flags),
    /// Create a pod disruption budget with the specified name
    #[command(visible_alias = "pdb")]
    Poddisruptionbudget(policy::Budget),
    /// Create a priority class with the specified name
    #[command(visible_alias = "pc")]
    Priorityclass(policy::Priority),
    /// Create a quota with the specified name
    #[command(visible_alias = "resourcequota")]
    Quota(quota::Flags),
    /// Create a role with single rule
    Role(role::Role),
    /// Create a role binding for a particular role or cluster role
    Rolebinding(role_binding::RoleBinding),
    /// Create a secret using a specified subcommand
    Secret(secret::Flags),
    /// Create a service using a specified subcommand
    #[command(visible_alias = "svc")]
    Service(service::Flags),
    /// Create a service account with the specified name
    #[command(visible_alias = "sa")]
    Serviceaccount(namespace::ServiceAccount),
    /// Request a service account token
    Token(token::Flags),
}

/// An object, and how to create it.
type Generated<'a> = (Value, &'a Creating);

/// Runs the command.
///
/// # Errors
/// When a flag or a manifest is malformed or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    match &flags.generator {
        Some(Generator::Token(flags)) => token::run(api, flags).await,
        Some(generator) => generator.run(api, global).await,
        None => flags.files.run(api, global).await,
    }
}

impl Generator {
    async fn run(&self, api: &Api, global: &GlobalFlags) -> Result<()> {
        let (mut object, creating) = self.generate(api).await?;
        let resource = plain_resource(&object);
        if let Some(namespace) = global.namespace.as_ref().filter(|_| resource.namespaced) {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        creating.create(api, &resource, object, "created").await?;
        Ok(())
    }

    async fn generate(&self, api: &Api) -> Result<Generated<'_>> {
        match self {
            Self::Clusterrole(flags) => flags.generate(api).await,
            Self::Clusterrolebinding(flags) => flags.generate(),
            Self::Configmap(flags) => flags.generate(),
            Self::Cronjob(flags) => flags.generate(),
            Self::Deployment(flags) => flags.generate(),
            Self::Ingress(flags) => flags.generate(),
            Self::Job(flags) => flags.generate(api).await,
            Self::Namespace(flags) => flags.generate(),
            Self::Poddisruptionbudget(flags) => flags.generate(),
            Self::Priorityclass(flags) => flags.generate(),
            Self::Quota(flags) => flags.generate(),
            Self::Role(flags) => flags.generate(api).await,
            Self::Rolebinding(flags) => flags.generate(),
            Self::Secret(flags) => flags.generate(),
            Self::Service(flags) => flags.generate(),
            Self::Serviceaccount(flags) => flags.generate(),
            Self::Token(_) => Err(Error::usage("a token is no object")),
        }
    }
}

/// The type of an object of a kind that is compiled in: no server need be asked what it is.
#[must_use]
pub fn plain_resource(object: &Value) -> crate::resources::ResourceType {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = object["kind"].as_str().unwrap_or_default();
    let singular = kind.to_lowercase();
    let plural = match singular.strip_suffix('y').or_else(|| singular.strip_suffix('s')) {
        Some(stem) if singular.ends_with('y') => format!("{stem}ies"),
        Some(_) => format!("{singular}es"),
        None => format!("{singular}s"),
    };
    crate::resources::ResourceType {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural,
        singular,
        namespaced: !CLUSTER_KINDS.contains(&kind),
        ..Default::default()
    }
}

/// Kinds without a namespace among those that are generated.
const CLUSTER_KINDS: [&str; 4] = ["ClusterRole", "ClusterRoleBinding", "Namespace", "PriorityClass"];

/// An object with nothing but its name.
fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

impl Files {
    async fn run(&self, api: &Api, global: &GlobalFlags) -> Result<()> {
        if self.files.filenames.is_empty() {
            return Err(Error::usage("must specify one of -f and -k"));
        }
        let mut objects = self.files.objects()?;
        if let Some(selector) = &self.selector {
            objects = super::select::matching(objects, selector)?;
        }
        if let Some(uri) = &self.raw {
            return self.post_raw(api, uri, &objects).await;
        }
        if self.edit {
            objects = super::editor::edit(&objects)?;
        }
        let catalog = Catalog::discover(api).await?;
        let mut failures = Failures::default();
        for object in objects {
            failures.note(self.create(api, global, &catalog, object).await)?;
        }
        failures.result()
    }

    async fn post_raw(&self, api: &Api, uri: &str, objects: &[Value]) -> Result<()> {
        let [object] = objects else {
            return Err(Error::usage("--raw can only use a single local file or stdin"));
        };
        println!("{}", api.post(uri, object).await?);
        Ok(())
    }

    async fn create(&self, api: &Api, global: &GlobalFlags, catalog: &Catalog, mut object: Value) -> Result<()> {
        let resource = catalog.of_object(&object)?;
        let collection = resource.collection(Some(&namespace_of(api, global, &object)?));
        self.creating.save(&mut object);
        let created = match self.creating.writing.dry_run() {
            DryRun::Client => object,
            DryRun::None | DryRun::Server => {
                api.post(&self.creating.url(&collection, "kubectl-create"), &object).await?
            }
        };
        self.creating.writing.print(&resource, &created, "created")
    }
}
