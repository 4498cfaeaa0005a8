//! `ctl run`: one pod from one image.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    attach::Session,
    create::plain_resource,
    expose::{atoi, pairs},
    overrides::Overrides,
    writing::{SaveConfig, Writing},
};
use crate::{
    api::Api,
    connection::GlobalFlags,
    dry_run::DryRun,
    error::{Error, Result},
    program::{misused, one_name, required},
    typed,
};

/// The pod, and what to do with it.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    pod: Pod,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    overrides: Overrides,
    /// Make a service for the pod, too; needs --port
    #[arg(long)]
    expose: bool,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    saving: SaveConfig,
    /// The shapes of old: pods are the only one that is left
    #[arg(long, hide = true)]
    generator: Option<String>,
    /// Arguments
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// What the pod is like.
#[derive(Args, Clone, Debug)]
struct Pod {
    /// Image
    #[arg(long)]
    image: Option<String>,
    /// Pull policy: Always, IfNotPresent, Never
    #[arg(long, default_value = "")]
    image_pull_policy: String,
    /// Always, OnFailure, Never
    #[arg(long, default_value = "Always")]
    restart: String,
    /// KEY=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// KEY=VALUE,… instead of run=NAME
    #[arg(short, long, default_value = "")]
    labels: String,
    /// KEY=VALUE
    #[arg(long)]
    annotations: Vec<String>,
    /// The port that the container listens on
    #[arg(long, default_value = "")]
    port: String,
    /// Everything is allowed to the container
    #[arg(long)]
    privileged: bool,
    /// The arguments are the command, not its arguments
    #[arg(long)]
    command: bool,
    /// Keep standard input open, and attach to it
    #[arg(short = 'i', long)]
    stdin: bool,
    /// A terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Standard input stays open after the first who was attached
    #[arg(long)]
    leave_stdin_open: bool,
}

/// What happens once it is there.
#[derive(Args, Clone, Debug)]
struct Running {
    /// Attach once it runs; true with --stdin
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    attach: Option<bool>,
    /// Delete the pod afterwards
    #[arg(long)]
    rm: bool,
    /// No prompts
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for the pod
    #[arg(long, default_value = "1m", value_parser = component::flags::duration)]
    pod_running_timeout: Duration,
    /// With --rm: what happens to dependents
    #[arg(long, default_value = "background")]
    cascade: String,
    /// With --rm: do not wait for the kubelet
    #[arg(long)]
    force: bool,
    /// With --rm: seconds that the pod gets to stop
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// With --rm: how long to wait for the deletion
    #[arg(long, default_value = "0s", value_parser = component::flags::duration)]
    timeout: Duration,
    /// With --rm: wait until the pod is gone
    #[arg(long)]
    wait: bool,
    /// The keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide = true)]
    detach_keys: String,
}

const NO_DRY_ATTACH: &str =
    "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)";

/// Runs the command.
///
/// # Errors
/// When the server refuses, the pod does not start, or its process fails.
pub async fn run(api: &Api, global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let image = required("image", flags.pod.image.as_deref())?;
    if let Some(generator) = &flags.generator {
        eprintln!("Flag --generator has been deprecated, has no effect and will be removed in the future.");
        if !generator.is_empty() && !generator.starts_with("run-pod/") {
            return Err(Error::usage(format!(
                "--generator={generator} is gone: use '{} create' to make anything but a pod",
                crate::program::name()
            )));
        }
    }
    if flags.names.is_empty() {
        return Err(misused("NAME is required for run", "run"));
    }
    let name = one_name(&flags.names, "run")?;
    let attach = flags.check(image)?;
    let service = if flags.expose { Some(flags.service(name)?) } else { None };
    let mut pod = flags.pod.object(name, image, &flags.arguments)?;
    if service.is_none() {
        flags.overrides.apply(&mut pod)?;
    }
    if let Some(mut service) = service {
        flags.overrides.apply(&mut service)?;
        flags.create(api, global, service).await?;
        separate(&flags.writing);
    }
    if !attach {
        return flags.create(api, global, pod).await;
    }
    let created = flags.post(api, global, pod).await?;
    flags.attached(api, &created).await
}

/// Documents of YAML are told apart.
fn separate(writing: &Writing) {
    if writing.printing().format() == crate::output::Format::Yaml {
        println!("---\n---");
    }
}

impl Flags {
    /// Whether to attach.
    fn check(&self, image: &str) -> Result<bool> {
        let running = &self.running;
        let attach = running.attach.unwrap_or(self.pod.stdin || self.pod.tty);
        if image.is_empty() {
            return Err(Error::usage("--image is required"));
        }
        if !is_reference(image) {
            return Err(Error::usage(format!("Invalid image name {image:?}: invalid reference format")));
        }
        if self.pod.tty && !self.pod.stdin {
            return Err(misused("-i/--stdin is required for containers with -t/--tty=true", "run"));
        }
        if self.expose && self.pod.port.is_empty() {
            return Err(misused("--port must be set when exposing a service", "run"));
        }
        if !["Always", "OnFailure", "Never"].contains(&self.pod.restart.as_str()) {
            return Err(misused(format!("invalid restart policy: {}", self.pod.restart), "run"));
        }
        if (attach || self.pod.tty || self.pod.stdin) && self.writing.dry_run() != DryRun::None {
            return Err(misused(NO_DRY_ATTACH, "run"));
        }
        if !["", "Always", "IfNotPresent", "Never"].contains(&self.pod.image_pull_policy.as_str()) {
            return Err(misused(format!("invalid image pull policy: {}", self.pod.image_pull_policy), "run"));
        }
        if running.rm && !attach {
            return Err(misused("--rm should only be used for attached containers", "run"));
        }
        Ok(attach)
    }

    async fn create(&self, api: &Api, global: &GlobalFlags, object: Value) -> Result<()> {
        let resource = plain_resource(&object);
        let object = self.post(api, global, object).await?;
        self.writing.print_made(&resource, &object, "created")
    }

    async fn post(&self, api: &Api, global: &GlobalFlags, mut object: Value) -> Result<Value> {
        let resource = plain_resource(&object);
        if let Some(namespace) = &global.namespace {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        typed::complete(&mut object);
        self.saving.apply(&mut object);
        if self.writing.dry_run() == DryRun::Client {
            return Ok(object);
        }
        api.post(&self.writing.url(&resource.collection(Some(&api.namespace)), "kubectl-run"), &object).await
    }

    fn service(&self, name: &str) -> Result<Value> {
        let port = atoi(&self.pod.port)?;
        let selector = self.pod.labels(name)?;
        Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": selector, "ports": [{"port": port, "protocol": "TCP", "targetPort": port}]}}))
    }

    async fn attached(&self, api: &Api, created: &Value) -> Result<()> {
        let session = Session {
            stdin: self.pod.stdin,
            tty: self.pod.tty,
            quiet: self.running.quiet,
            timeout: self.running.pod_running_timeout,
        };
        let name = created["metadata"]["name"].as_str().unwrap_or_default();
        let container = created["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
        let result = session.of_new_pod(api, created, container, self.pod.restart != "Never").await;
        if self.running.rm {
            self.remove(api, name).await?;
        }
        result
    }

    async fn remove(&self, api: &Api, name: &str) -> Result<()> {
        let policy = match self.running.cascade.as_str() {
            "orphan" => "Orphan",
            "foreground" => "Foreground",
            _ => "Background",
        };
        let mut options = json!({"propagationPolicy": policy});
        let grace = if self.running.force && self.running.grace_period < 0 { 0 } else { self.running.grace_period };
        if grace >= 0 {
            options["gracePeriodSeconds"] = grace.into();
        }
        let path = format!("/api/v1/namespaces/{}/pods/{name}", api.namespace);
        match api.delete(&path, &options).await {
            Err(error) if error.is_not_found() => return Ok(()),
            result => result?,
        };
        println!("pod {name:?} deleted from {} namespace", api.namespace);
        if self.running.wait {
            let collection = format!("/api/v1/namespaces/{}/pods", api.namespace);
            super::watching::until_gone(api, &collection, name, None, self.running.timeout).await?;
        }
        Ok(())
    }
}

/// Whether a text can be an image's name, as Docker's reference grammar has it.
fn is_reference(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let word = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    let tag_fits =
        tag.is_none_or(|tag| (1..=128).contains(&tag.len()) && tag.chars().all(word) && !tag.starts_with(['.', '-']));
    let digest_fits = digest.is_none_or(|digest| {
        digest
            .split_once(':')
            .is_some_and(|(_, hex)| hex.len() >= 32 && hex.chars().all(|char| char.is_ascii_hexdigit()))
    });
    let mut components: Vec<&str> = path.split('/').collect();
    let is_host = |text: &str| {
        text.contains(['.', ':']) || text == "localhost" || text.chars().any(|char| char.is_ascii_uppercase())
    };
    if components.len() > 1 && is_host(components[0]) {
        let host = components.remove(0);
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "0"));
        if host.is_empty()
            || !host.chars().all(|char| word(char) || "[]:".contains(char))
            || port.parse::<u32>().is_err()
        {
            return false;
        }
    }
    let fits = |part: &&str| {
        let lower = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
        part.starts_with(lower) && part.ends_with(lower) && part.chars().all(|char| lower(char) || "_.-".contains(char))
    };
    tag_fits && digest_fits && components.iter().all(fits)
}

impl Pod {
    fn labels(&self, name: &str) -> Result<Value> {
        if self.labels.is_empty() { Ok(json!({"run": name})) } else { Ok(pairs(&self.labels)?.into()) }
    }

    fn object(&self, name: &str, image: &str, arguments: &[String]) -> Result<Value> {
        let mut annotations = json!({});
        for text in &self.annotations {
            let (key, value) =
                text.split_once('=').ok_or_else(|| Error::usage(format!("unexpected annotation {text}")))?;
            annotations[key] = value.into();
        }
        let metadata = json!({"name": name, "labels": self.labels(name)?, "annotations": annotations});
        let spec = json!({"containers": [self.container(name, image, arguments)?],
            "restartPolicy": self.restart, "dnsPolicy": "ClusterFirst"});
        Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
    }

    fn container(&self, name: &str, image: &str, arguments: &[String]) -> Result<Value> {
        let mut container = json!({"name": name, "image": image, "imagePullPolicy": self.image_pull_policy,
            "stdin": self.stdin, "stdinOnce": self.stdin && !self.leave_stdin_open, "tty": self.tty});
        container[if self.command { "command" } else { "args" }] = json!(arguments);
        if !self.port.is_empty() {
            container["ports"] = json!([{"containerPort": atoi(&self.port)?}]);
        }
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        let env = self.env.iter().map(|text| {
            let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
            let (name, value) = pair.ok_or_else(|| Error::usage(format!("invalid env: {text}")))?;
            Ok(json!({"name": name, "value": value}))
        });
        container["env"] = env.collect::<Result<Vec<_>>>()?.into();
        Ok(container)
    }
}

#[cfg(test)]
mod tests {
    use super::is_reference;

    #[test]
    fn images_have_names_that_docker_takes() {
        for name in ["x", "a/b:1", "r.io:5000/a/b", "localhost/x", "a@sha256:0123456789abcdef0123456789abcdef"] {
            assert!(is_reference(name), "{name}");
        }
        for name in [" x", "X", "a//b", "a:", "-a", "a@b", "a b", ""] {
            assert!(!is_reference(name), "{name}");
        }
    }
}
