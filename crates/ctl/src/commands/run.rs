//! `ctl run`: one pod from one image.

use clap::Args;
use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::{Value, json};

use super::{
    create::Writing,
    exec::{POD_START, Streams, pods_api},
};
use crate::{
    api::Api,
    dry_run::DryRun,
    error::{Error, Result},
    output::{Format, print_result},
};

/// The pod.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    name: String,
    /// Image
    #[arg(long)]
    image: String,
    /// Pull policy: Always, IfNotPresent, Never
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// Always, OnFailure, Never
    #[arg(long, default_value = "Always")]
    restart: String,
    /// KEY=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// KEY=VALUE,…
    #[arg(short, long, value_delimiter = ',')]
    labels: Vec<String>,
    /// The port that the container listens on
    #[arg(long)]
    port: Option<u16>,
    /// Keep standard input open, and attach to it
    #[arg(short = 'i', long)]
    stdin: bool,
    /// A terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Attach once it runs; true with --stdin
    #[arg(long)]
    attach: bool,
    /// Delete the pod afterwards
    #[arg(long)]
    rm: bool,
    /// The arguments are the command, not its arguments
    #[arg(long)]
    command: bool,
    #[command(flatten)]
    writing: Writing,
    /// Arguments
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the server refuses, the pod does not start, or its process fails.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let attach = flags.attach || flags.stdin;
    if flags.rm && !attach {
        return Err(Error::usage("--rm should only be used for attached containers"));
    }
    let pod = flags.pod()?;
    let dry_run = flags.writing.dry_run();
    if (attach || flags.tty) && dry_run != DryRun::None {
        return Err(Error::usage(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
        ));
    }
    let collection = format!("/api/v1/namespaces/{}/pods", api.namespace);
    let created = match dry_run {
        DryRun::Client => pod,
        DryRun::None | DryRun::Server => {
            api.post(&dry_run.ask(&format!("{collection}?fieldManager=ctl-run")), &pod).await?
        }
    };
    if !attach {
        let format = flags.writing.output.as_ref().unwrap_or(&Format::Human);
        return print_result(format, &pods(), &created, &dry_run.say("created"));
    }
    let result = attached(api, flags, &collection, &created).await;
    if flags.rm {
        api.delete(&format!("{collection}/{}", flags.name), &json!({})).await?;
        println!("pod {:?} deleted", flags.name);
    }
    result
}

fn pods() -> crate::resources::ResourceType {
    crate::resources::ResourceType { singular: "pod".into(), ..Default::default() }
}

/// Waits for the container, attaches or, when it is over already, prints its log.
async fn attached(api: &Api, flags: &Flags, collection: &str, created: &Value) -> Result<()> {
    let started = tokio::time::timeout(POD_START, wait_until(api, flags, collection, created, has_started)).await;
    let pod = started.map_err(|_| Error::usage("timed out waiting for the condition"))??;
    if !is_over(&pod) {
        if flags.stdin {
            eprintln!("If you don't see a command prompt, try pressing enter.");
        }
        let streams = Streams { stdin: flags.stdin, tty: flags.tty };
        let attached = pods_api(api).attach(&flags.name, &streams.parameters(&flags.name)).await;
        match attached {
            Ok(process) => streams.join(process).await?,
            Err(error) => eprintln!("warning: couldn't attach to pod/{}, falling back to its log: {error}", flags.name),
        }
    } else {
        print!("{}", api.text(&format!("{collection}/{}/log", flags.name)).await?);
    }
    if flags.restart != "Never" {
        return Ok(());
    }
    let pod = wait_until(api, flags, collection, &pod, is_over).await?;
    let code = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_u64().unwrap_or(0);
    match u8::try_from(code) {
        Ok(0) => Ok(()),
        code => Err(Error::RemoteExit(code.unwrap_or(1))),
    }
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn has_started(pod: &Value) -> bool {
    is_over(pod) || pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

async fn wait_until(
    api: &Api,
    flags: &Flags,
    collection: &str,
    pod: &Value,
    condition: fn(&Value) -> bool,
) -> Result<Value> {
    if condition(pod) {
        return Ok(pod.clone());
    }
    let version = pod["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let url = format!("{collection}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{}", flags.name);
    let mut lines = api.stream(&url, "application/json").await?.lines();
    while let Some(line) = lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))? {
        let mut event: Value = serde_json::from_str(&line).map_err(|error| Error::Unreachable(error.to_string()))?;
        match event["type"].as_str() {
            Some("DELETED") => return Err(Error::usage(format!("pod {:?} was deleted", flags.name))),
            Some("ADDED" | "MODIFIED") if condition(&event["object"]) => return Ok(event["object"].take()),
            _ => {}
        }
    }
    Err(Error::Unreachable("the watch ended".to_owned()))
}

impl Flags {
    fn pod(&self) -> Result<Value> {
        let mut container = json!({"name": self.name, "image": self.image});
        if !self.arguments.is_empty() {
            container[if self.command { "command" } else { "args" }] = json!(self.arguments);
        }
        if let Some(policy) = &self.image_pull_policy {
            container["imagePullPolicy"] = policy.clone().into();
        }
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        let pair = |text: &String| {
            let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.ok_or_else(|| Error::usage(format!("invalid {text:?}: expected KEY=VALUE")))
        };
        let env = self.env.iter().map(pair).collect::<Result<Vec<_>>>()?;
        if !env.is_empty() {
            container["env"] = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        }
        if self.stdin {
            container["stdin"] = true.into();
            container["stdinOnce"] = true.into();
        }
        if self.tty {
            container["tty"] = true.into();
        }
        let mut labels = json!({"run": self.name});
        for (key, value) in self.labels.iter().map(pair).collect::<Result<Vec<_>>>()? {
            labels[key] = value.into();
        }
        let metadata = json!({"name": self.name, "labels": labels});
        let spec = json!({"containers": [container], "restartPolicy": self.restart, "dnsPolicy": "ClusterFirst"});
        Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
    }
}
