//! `ctl debug`: an ephemeral container in a pod, a copy of a pod, or a pod on a node. [`profile`] says what the container may do.

mod copy;
mod profile;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    attach::Session,
    objects::{Asked, Found, each},
    watching::{Seen, until},
    writing::pair,
};
use crate::{
    api::{Api, PatchType},
    connection::GlobalFlags,
    error::{Error, Result},
    manifests::FileFlags,
    program::misused,
};

use profile::Profile;

/// What to debug, and how.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    container: Container,
    #[command(flatten)]
    copy: copy::Copying,
    /// Whose processes the ephemeral container sees
    #[arg(long, default_value = "")]
    target: String,
    /// general, baseline, restricted, netadmin or sysadmin
    #[arg(long, default_value = "general")]
    profile: Profile,
    /// A file with fields of the container
    #[arg(long)]
    custom: Option<std::path::PathBuf>,
    /// Attach once it runs; true with --stdin
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    attach: Option<bool>,
    /// No prompts
    #[arg(short, long)]
    quiet: bool,
    /// The container's command
    #[arg(last = true)]
    command: Vec<String>,
}

/// The container.
#[derive(Args, Clone, Debug)]
struct Container {
    /// Its name
    #[arg(short = 'c', long = "container", default_value = "", id = "debug_container")]
    name: String,
    /// Its image
    #[arg(long, default_value = "")]
    image: String,
    /// Pull policy
    #[arg(long, default_value = "")]
    image_pull_policy: String,
    /// KEY=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// What follows -- are arguments, not a command
    #[arg(long)]
    arguments_only: bool,
    /// Keep standard input open, and attach to it
    #[arg(short = 'i', long)]
    stdin: bool,
    /// A terminal
    #[arg(short = 't', long)]
    tty: bool,
}

/// How long to wait for the container.
const START: Duration = Duration::from_secs(600);

/// Runs the command.
///
/// # Errors
/// When flags do not fit each other, or the server refuses.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    flags.check()?;
    let arguments: Vec<String> = match flags.arguments.as_slice() {
        [name] if !name.contains('/') => vec!["pods".to_owned(), name.clone()],
        names => names.to_vec(),
    };
    let asked = Asked { arguments: &arguments, files: Some(&flags.files), ..Asked::default() };
    if asked.is_nothing() {
        return Err(misused("NAME or TYPE/NAME is required for debug", "debug"));
    }
    let found = asked.find(api, global).await?;
    each(found, async |found| match found.resource.kind.as_str() {
        "Pod" if flags.copy.copies() => flags.debug_copy(api, &found).await,
        "Pod" => flags.debug_in_place(api, &found).await,
        "Node" => flags.debug_node(api, &found).await,
        kind => Err(Error::usage(format!("\"{kind}\" not supported by debug"))),
    })
    .await
}

impl Flags {
    fn check(&self) -> Result<()> {
        if self.container.image.is_empty() && !self.copy.copies() {
            return Err(Error::usage("you must specify --image when not using --copy-to."));
        }
        if self.copy.copies() && self.container.image.is_empty() && !self.copy.sets_images() && self.command.is_empty()
        {
            return Err(Error::usage("you must specify an --image or command when using --copy-to"));
        }
        if !self.target.is_empty() && self.copy.copies() {
            return Err(Error::usage("--target is incompatible with --copy-to. Use --share-processes instead."));
        }
        if self.container.tty && !self.container.stdin {
            return Err(Error::usage("-i/--stdin is required for containers with -t/--tty=true"));
        }
        if self.container.arguments_only && self.command.is_empty() {
            return Err(Error::usage("you must specify arguments with --arguments-only"));
        }
        self.copy.check()
    }

    fn attaches(&self) -> bool {
        self.attach.unwrap_or(self.container.stdin)
    }

    /// The debugging container, without what its profile says.
    fn container(&self, name: &str) -> Result<Value> {
        let flags = &self.container;
        let mut container = json!({"name": name, "image": flags.image, "stdin": flags.stdin, "tty": flags.tty,
            "terminationMessagePolicy": "File"});
        if !flags.image_pull_policy.is_empty() {
            container["imagePullPolicy"] = flags.image_pull_policy.clone().into();
        }
        if !self.command.is_empty() {
            container[if flags.arguments_only { "args" } else { "command" }] = json!(self.command);
        }
        let env = flags.env.iter().map(|text| pair(text).map(|(name, value)| json!({"name": name, "value": value})));
        let env = env.collect::<Result<Vec<_>>>()?;
        if !env.is_empty() {
            container["env"] = env.into();
        }
        Ok(container)
    }

    /// What a file says of the container besides.
    fn customize(&self, container: &mut Value) -> Result<()> {
        let Some(path) = &self.custom else { return Ok(()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("failed to read {}: {error}", path.display())))?;
        let fields = api_types::yaml::from_str(&text).map_err(|error| {
            Error::usage(format!("{} does not contain a valid container spec: {error}", path.display()))
        })?;
        let name = container["name"].take();
        json_patch::merge(container, &fields);
        container["name"] = name;
        Ok(())
    }

    async fn debug_in_place(&self, api: &Api, found: &Found) -> Result<()> {
        let name = self.free_name(&found.object)?;
        if !self.quiet {
            if self.container.name.is_empty() {
                eprintln!("Defaulting debug container name to {name}.");
            }
            if self.target.is_empty() && self.profile.wants_target() {
                eprintln!("--target is not set: the processes of the pod's containers may not be seen.");
            }
        }
        let mut container = self.container(&name)?;
        if !self.target.is_empty() {
            if !self.quiet {
                let target = &self.target;
                eprintln!(
                    "Targeting container {target:?}. If you don't see processes from this container it may be because the container runtime doesn't support this feature."
                );
            }
            container["targetContainerName"] = self.target.clone().into();
        }
        self.profile.apply_to_container(&mut container);
        self.customize(&mut container)?;
        let patch = json!({"spec": {"ephemeralContainers": [container]}});
        let path = format!("{}/ephemeralcontainers", found.path());
        let pod = api.patch(&path, PatchType::Strategic, &patch).await.map_err(|error| match error {
            error if error.is_not_found() => {
                Error::usage("ephemeral containers are disabled for this cluster (error from server: \"the server could not find the requested resource\").")
            }
            error => error,
        })?;
        self.join(api, &pod, &name).await
    }

    /// A name that no container of the pod has.
    fn free_name(&self, pod: &Value) -> Result<String> {
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        let known = |name: &str| {
            lists.iter().any(|list| {
                pod["spec"][list].as_array().into_iter().flatten().any(|container| container["name"] == name)
            })
        };
        if !self.container.name.is_empty() {
            return match known(&self.container.name) {
                true => Err(Error::usage(format!("container {:?} already exists in pod", self.container.name))),
                false => Ok(self.container.name.clone()),
            };
        }
        let names = std::iter::repeat_with(|| format!("debugger-{}", suffix()));
        names.take(100).find(|name| !known(name)).ok_or_else(|| Error::usage("no name is free"))
    }

    async fn debug_copy(&self, api: &Api, found: &Found) -> Result<()> {
        let added = !self.container.image.is_empty() && !self.copy.replaces_image(&self.container.name, &found.object);
        let name = match self.container.name.as_str() {
            "" if added => self.free_name(&found.object)?,
            "" => copy::first_container(&found.object),
            name => name.to_owned(),
        };
        let mut pod = self.copy.of(&found.object)?;
        if added {
            if self.container.name.is_empty() && !self.quiet {
                eprintln!("Defaulting debug container name to {name}.");
            }
            let mut container = self.container(&name)?;
            self.profile.apply_to_container(&mut container);
            self.customize(&mut container)?;
            copy::push_container(&mut pod, container);
        } else {
            let mut container = copy::take_container(&mut pod, &name)?;
            let changes = self.container(&name)?;
            for (field, value) in changes.as_object().into_iter().flatten() {
                if !matches!(value, Value::Bool(false)) && value != "" {
                    container[field] = value.clone();
                }
            }
            self.profile.apply_to_container(&mut container);
            self.customize(&mut container)?;
            copy::push_container(&mut pod, container);
        }
        let namespace = found.namespace.as_deref().unwrap_or(&api.namespace);
        let collection = format!("/api/v1/namespaces/{namespace}/pods");
        let created = api.post(&collection, &pod).await?;
        if self.copy.replaces() {
            api.delete(&found.path(), &json!({})).await?;
        }
        self.join(api, &created, &name).await
    }

    async fn debug_node(&self, api: &Api, found: &Found) -> Result<()> {
        let name = match self.container.name.as_str() {
            "" => "debugger",
            name => name,
        };
        let mut container = self.container(name)?;
        self.profile.apply_to_node_container(&mut container);
        self.customize(&mut container)?;
        let pod_name = format!("node-debugger-{}-{}", found.name, suffix());
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod_name, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
            "spec": {"nodeName": found.name, "restartPolicy": "Never", "containers": [container],
                "tolerations": [{"operator": "Exists"}]}});
        self.profile.apply_to_node_pod(&mut pod);
        let created = api.post(&format!("/api/v1/namespaces/{}/pods", api.namespace), &pod).await?;
        if !self.quiet {
            eprintln!("Creating debugging pod {pod_name} with container {name} on node {}.", found.name);
        }
        self.join(api, &created, name).await
    }

    /// Attaches when that was asked for.
    async fn join(&self, api: &Api, pod: &Value, container: &str) -> Result<()> {
        if !self.attaches() {
            return Ok(());
        }
        let session =
            Session { stdin: self.container.stdin, tty: self.container.tty, quiet: self.quiet, timeout: START };
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let mut api = api.clone();
        if let Some(namespace) = pod["metadata"]["namespace"].as_str() {
            namespace.clone_into(&mut api.namespace);
        }
        let seen = Seen::of(pod, "pods");
        until(&api, &seen, START, |pod| super::attach::has_started(pod, container)).await?;
        session.join(&api, name, container, self.container.tty).await
    }
}

/// Five letters and digits that say nothing.
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    use std::hash::{BuildHasher, RandomState};
    let mut number = RandomState::new().hash_one(std::process::id());
    let mut letter = || {
        let at = usize::try_from(number % LETTERS.len() as u64).unwrap_or_default();
        number /= LETTERS.len() as u64;
        char::from(LETTERS[at])
    };
    (0..5).map(|_| letter()).collect()
}
