//! `create rolebinding` and `create clusterrolebinding`.

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::{one_name, required},
};

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";

/// Who is bound.
#[derive(Args, Clone, Debug, Default)]
pub struct Subjects {
    /// Users
    #[arg(long)]
    user: Vec<String>,
    /// Groups
    #[arg(long)]
    group: Vec<String>,
    /// Service accounts: NAMESPACE:NAME
    #[arg(long)]
    serviceaccount: Vec<String>,
}

impl Subjects {
    /// As the bindings have them.
    ///
    /// # Errors
    /// When a service account is none.
    pub fn list(&self) -> Result<Vec<Value>> {
        let subject = |kind: &'static str| move |name: &String| json!({"apiGroup": GROUP, "kind": kind, "name": name});
        let mut subjects: Vec<Value> = self.user.iter().map(subject("User")).collect();
        subjects.extend(self.group.iter().map(subject("Group")));
        for account in &self.serviceaccount {
            let parts: Vec<&str> = account.split(':').collect();
            let [namespace, name] = parts[..] else {
                return Err(Error::usage("serviceaccount must be <namespace>:<name>"));
            };
            if namespace.is_empty() || name.is_empty() {
                return Err(Error::usage("serviceaccount must be <namespace>:<name>"));
            }
            subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        }
        Ok(subjects)
    }
}

fn binding(kind: &str, name: &str, role_kind: &str, role: &str, subjects: &Subjects) -> Result<Value> {
    let mut object = named(VERSION, kind, name);
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    object["subjects"] = subjects.list()?.into();
    Ok(object)
}

/// `create clusterrolebinding`.
#[derive(Args, Clone, Debug)]
pub struct ClusterRoleBinding {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The role
    #[arg(long)]
    clusterrole: Option<String>,
    #[command(flatten)]
    subjects: Subjects,
    #[command(flatten)]
    creating: Creating,
}

impl ClusterRoleBinding {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let role = required("clusterrole", self.clusterrole.as_deref())?;
        let name = one_name(&self.names, "create clusterrolebinding")?;
        let object = binding("ClusterRoleBinding", name, "ClusterRole", role, &self.subjects)?;
        Ok((object, &self.creating))
    }
}

/// `create rolebinding`.
#[derive(Args, Clone, Debug)]
pub struct RoleBinding {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A cluster role
    #[arg(long)]
    clusterrole: Option<String>,
    /// A role of the namespace
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    subjects: Subjects,
    #[command(flatten)]
    creating: Creating,
}

impl RoleBinding {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create rolebinding")?;
        let (kind, role) = match (&self.clusterrole, &self.role) {
            (Some(role), None) => ("ClusterRole", role),
            (None, Some(role)) => ("Role", role),
            _ => return Err(Error::usage("exactly one of clusterrole or role must be specified")),
        };
        Ok((binding("RoleBinding", name, kind, role, &self.subjects)?, &self.creating))
    }
}
