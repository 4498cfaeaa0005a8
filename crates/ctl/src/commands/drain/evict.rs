//! Making pods go: evicted all at once, each asked for again while a budget forbids it, or deleted.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::Flags;
use crate::{
    api::Api,
    commands::watching::until_gone,
    dry_run::DryRun,
    error::{Error, Result},
};

/// What is said when the time is over.
pub const TIMED_OUT: &str = "context deadline exceeded";

/// How long to wait before a budget is asked again, as kubectl.
const RETRY: Duration = Duration::from_secs(5);

/// So many evictions at a time.
const AT_ONCE: usize = 64;

/// A pod, named.
struct Pod<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
}

impl<'a> Pod<'a> {
    fn of(pod: &'a Value) -> Self {
        let text = |field: &str| pod["metadata"][field].as_str();
        Self {
            namespace: text("namespace").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
            uid: text("uid"),
        }
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }
}

/// Makes all pods go; why those did not that did not.
pub async fn all(api: &Api, flags: &Flags, pods: &[Value]) -> Vec<String> {
    let one = async |pod: &Value| -> Option<String> {
        let pod = Pod::of(pod);
        let going = async {
            match flags.disable_eviction {
                true => delete(api, flags, &pod).await,
                false => evict(api, flags, &pod).await,
            }
        };
        let result = match flags.timeout.is_zero() {
            true => going.await,
            false => tokio::time::timeout(flags.timeout, going).await.unwrap_or_else(|_| Err(timed_out(flags, &pod))),
        };
        result.err()
    };
    let mut reasons: Vec<String> =
        stream::iter(pods).map(one).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    reasons.dedup();
    reasons
}

fn timed_out(flags: &Flags, pod: &Pod<'_>) -> String {
    if flags.disable_eviction {
        return TIMED_OUT.to_owned();
    }
    format!("error when waiting for pod {:?} in namespace {:?} to terminate: {TIMED_OUT}", pod.name, pod.namespace)
}

type Outcome = std::result::Result<(), String>;

fn options(flags: &Flags) -> Value {
    let mut options = json!({});
    if flags.grace_period >= 0 {
        options["gracePeriodSeconds"] = flags.grace_period.into();
    }
    options
}

fn message(error: &Error) -> String {
    match error {
        Error::Server(status) => status.message.clone().unwrap_or_default(),
        error => error.to_string(),
    }
}

async fn evict(api: &Api, flags: &Flags, pod: &Pod<'_>) -> Outcome {
    let dry_run = flags.dry_run.dry_run;
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace}, "deleteOptions": options(flags)});
    let path = dry_run.ask_server(&format!("{}/{}/eviction", pod.collection(), pod.name));
    loop {
        println!("evicting pod {}/{}{}", pod.namespace, pod.name, dry_run.say(""));
        if dry_run == DryRun::Client {
            return Ok(());
        }
        match api.post(&path, &body).await {
            Ok(_) => break,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if is_for_now(&error) => {
                eprintln!(
                    "error when evicting pods/{:?} -n {:?} (will retry after 5s): {}",
                    pod.name,
                    pod.namespace,
                    message(&error)
                );
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                return Err(format!(
                    "error when evicting pods/{:?} -n {:?}: {}",
                    pod.name,
                    pod.namespace,
                    message(&error)
                ));
            }
        }
    }
    if dry_run == DryRun::None {
        gone(api, pod).await?;
        println!("pod/{} evicted", pod.name);
    }
    Ok(())
}

/// Whether asking again may help: a budget allows no disruption now.
fn is_for_now(error: &Error) -> bool {
    matches!(error, Error::Server(status) if status.code == Some(429))
}

async fn delete(api: &Api, flags: &Flags, pod: &Pod<'_>) -> Outcome {
    let dry_run = flags.dry_run.dry_run;
    if dry_run != DryRun::None {
        println!("evicting pod {}/{}{}", pod.namespace, pod.name, dry_run.say(""));
    }
    if dry_run == DryRun::Client {
        return Ok(());
    }
    let path = dry_run.ask_server(&format!("{}/{}", pod.collection(), pod.name));
    match api.delete(&path, &options(flags)).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(message(&error)),
    }
    if dry_run == DryRun::None {
        gone(api, pod).await?;
        println!("pod/{} deleted", pod.name);
    }
    Ok(())
}

async fn gone(api: &Api, pod: &Pod<'_>) -> Outcome {
    let waited: Result<()> = until_gone(api, &pod.collection(), pod.name, pod.uid, Duration::ZERO).await;
    waited.map_err(|error| {
        format!(
            "error when waiting for pod {:?} in namespace {:?} to terminate: {}",
            pod.name,
            pod.namespace,
            message(&error)
        )
    })
}
