//! `ctl create`: from files, or from flags.

use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Failures, apply::namespace_of};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run::{self, DryRun},
    error::{Error, Result},
    manifests::FileFlags,
    output::{Format, print_result, render},
    resources::Catalog,
};

/// What to create.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Flags {
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    writing: Writing,
    #[command(subcommand)]
    generator: Option<Generator>,
}

/// How to write, and what to print.
#[derive(Args, Clone, Debug, Default)]
pub struct Writing {
    #[command(flatten)]
    dry_run: dry_run::Flag,
    /// Format: json, yaml, name
    #[arg(short, long)]
    pub output: Option<Format>,
}

#[derive(Clone, Debug, Subcommand)]
enum Generator {
    /// A deployment of an image
    #[command(visible_alias = "deploy")]
    Deployment(Deployment),
    /// A namespace
    #[command(visible_alias = "ns")]
    Namespace(Named),
    /// A service account
    #[command(visible_alias = "sa")]
    Serviceaccount(Named),
    /// A config map
    #[command(visible_alias = "cm")]
    Configmap(Data),
    /// A secret
    Secret(Secret),
    /// A service
    #[command(visible_alias = "svc")]
    Service(Service),
}

#[derive(Args, Clone, Debug)]
struct Named {
    name: String,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Args, Clone, Debug)]
struct Deployment {
    name: String,
    /// Images; a container each
    #[arg(long, required = true)]
    image: Vec<String>,
    /// How many pods
    #[arg(short, long, default_value_t = 1)]
    replicas: i32,
    /// The port that the container listens on
    #[arg(long)]
    port: Option<i32>,
    #[command(flatten)]
    writing: Writing,
    /// The container's command
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args, Clone, Debug)]
struct Data {
    name: String,
    /// KEY=VALUE
    #[arg(long)]
    from_literal: Vec<String>,
    /// [KEY=]FILE
    #[arg(long)]
    from_file: Vec<String>,
    /// The secret's type
    #[arg(long = "type")]
    kind: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Args, Clone, Debug)]
struct Secret {
    #[command(subcommand)]
    kind: SecretKind,
}

#[derive(Clone, Debug, Subcommand)]
enum SecretKind {
    /// From files and literals
    Generic(Data),
}

#[derive(Args, Clone, Debug)]
struct Service {
    #[command(subcommand)]
    kind: ServiceKind,
}

#[derive(Clone, Debug, Subcommand)]
enum ServiceKind {
    /// Reachable inside the cluster
    Clusterip(Ports),
    /// Reachable on every node
    Nodeport(Ports),
}

#[derive(Args, Clone, Debug)]
struct Ports {
    name: String,
    /// PORT[:TARGETPORT]
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    /// `None` for a headless service
    #[arg(long)]
    clusterip: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the command.
///
/// # Errors
/// When a manifest is malformed or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let (objects, writing) = match &flags.generator {
        Some(generator) => {
            let (object, writing) = generator.generate()?;
            (vec![object], writing)
        }
        None if flags.files.filenames.is_empty() => {
            return Err(Error::usage("must specify one of -f and -k"));
        }
        None => (flags.files.objects()?, &flags.writing),
    };
    let mut failures = Failures::default();
    let mut catalog = None;
    for object in objects {
        failures.note(create(api, global, &mut catalog, writing, object).await)?;
    }
    failures.result()
}

async fn create(
    api: &Api,
    global: &GlobalFlags,
    catalog: &mut Option<Catalog>,
    writing: &Writing,
    object: Value,
) -> Result<()> {
    let dry_run = writing.dry_run();
    if let Some(format) = writing.only_print() {
        print!("{}", render(format, &object)?);
        return Ok(());
    }
    let known = match catalog {
        Some(known) => known,
        None => catalog.insert(Catalog::discover(api).await?),
    };
    let resource = known.of_object(&object)?;
    let collection = resource.collection(Some(&namespace_of(api, global, &object)?));
    let format = writing.output.as_ref().unwrap_or(&Format::Human);
    let created = match dry_run {
        DryRun::Client => object,
        DryRun::None | DryRun::Server => {
            let url = format!("{collection}?fieldManager=ctl-create&fieldValidation=Strict");
            api.post(&dry_run.ask(&url), &object).await?
        }
    };
    print_result(format, &resource, &created, &dry_run.say("created"))
}

impl Writing {
    /// Whether the command writes.
    #[must_use]
    pub fn dry_run(&self) -> DryRun {
        self.dry_run.dry_run
    }

    /// The format in which to print the object instead of doing anything, which needs no server.
    #[must_use]
    pub fn only_print(&self) -> Option<&Format> {
        self.output.as_ref().filter(|format| self.dry_run() == DryRun::Client && format.is_structured())
    }
}

impl Generator {
    fn generate(&self) -> Result<(Value, &Writing)> {
        Ok(match self {
            Self::Deployment(flags) => (flags.object(), &flags.writing),
            Self::Namespace(flags) => (plain("Namespace", &flags.name), &flags.writing),
            Self::Serviceaccount(flags) => (plain("ServiceAccount", &flags.name), &flags.writing),
            Self::Configmap(flags) => (flags.config_map()?, &flags.writing),
            Self::Secret(Secret { kind: SecretKind::Generic(flags) }) => (flags.secret()?, &flags.writing),
            Self::Service(Service { kind: ServiceKind::Clusterip(flags) }) => {
                (flags.object("ClusterIP")?, &flags.writing)
            }
            Self::Service(Service { kind: ServiceKind::Nodeport(flags) }) => {
                (flags.object("NodePort")?, &flags.writing)
            }
        })
    }
}

fn plain(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
}

impl Deployment {
    fn object(&self) -> Value {
        let labels = json!({"app": self.name});
        let containers: Vec<Value> = self.image.iter().map(|image| self.container(image)).collect();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name, "labels": labels},
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}
        })
    }

    fn container(&self, image: &str) -> Value {
        let mut container = json!({"name": container_name(image), "image": image});
        if !self.command.is_empty() {
            container["command"] = json!(self.command);
        }
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        container
    }
}

/// kubectl's name for a container: the image's last part, without tag and digest.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    name.to_lowercase().replace(['_', '.'], "-")
}

impl Data {
    /// Keys and contents.
    fn entries(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut entries = Vec::new();
        for literal in &self.from_literal {
            let (key, value) = literal
                .split_once('=')
                .ok_or_else(|| Error::usage(format!("invalid literal source {literal}, expected key=value")))?;
            entries.push((key.to_owned(), value.as_bytes().to_vec()));
        }
        for file in &self.from_file {
            let (key, path) = match file.split_once('=') {
                Some((key, path)) => (key.to_owned(), PathBuf::from(path)),
                None => {
                    let path = PathBuf::from(file);
                    (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path)
                }
            };
            let content = std::fs::read(&path)
                .map_err(|error| Error::File(format!("error reading {}: {error}", path.display())))?;
            entries.push((key, content));
        }
        Ok(entries)
    }

    fn config_map(&self) -> Result<Value> {
        let mut object = plain("ConfigMap", &self.name);
        for (key, content) in self.entries()? {
            match String::from_utf8(content) {
                Ok(text) => object["data"][key] = text.into(),
                Err(error) => object["binaryData"][key] = BASE64_STANDARD.encode(error.as_bytes()).into(),
            }
        }
        Ok(object)
    }

    fn secret(&self) -> Result<Value> {
        let mut object = plain("Secret", &self.name);
        let data: Map<String, Value> =
            self.entries()?.into_iter().map(|(key, content)| (key, BASE64_STANDARD.encode(content).into())).collect();
        object["data"] = data.into();
        if let Some(kind) = &self.kind {
            object["type"] = kind.clone().into();
        }
        Ok(object)
    }
}

impl Ports {
    fn object(&self, kind: &str) -> Result<Value> {
        let ports = self.tcp.iter().map(|port| parse_port(port)).collect::<Result<Vec<_>>>()?;
        let mut object = plain("Service", &self.name);
        object["metadata"]["labels"] = json!({"app": self.name});
        object["spec"] = json!({"type": kind, "selector": {"app": self.name}, "ports": ports});
        if let Some(address) = &self.clusterip {
            object["spec"]["clusterIP"] = address.clone().into();
        }
        Ok(object)
    }
}

fn parse_port(text: &str) -> Result<Value> {
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().map_err(|_| Error::usage(format!("invalid port {text:?}")));
    let target = target.parse::<u16>().map_or_else(|_| json!(target), |target| json!(target));
    let name = text.replace(':', "-");
    Ok(json!({"name": name, "port": number(port)?, "protocol": "TCP", "targetPort": target}))
}

#[cfg(test)]
mod tests {
    use super::container_name;

    #[test]
    fn containers_are_named_after_images() {
        for (image, name) in
            [("nginx", "nginx"), ("ferrokube/demo:v1", "demo"), ("r.io:5000/a/my_app@sha256:0", "my-app")]
        {
            assert_eq!(container_name(image), name);
        }
    }
}
