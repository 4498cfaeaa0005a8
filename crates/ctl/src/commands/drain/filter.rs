//! Which pods of a node may go. Each filter looks at one thing; the first that says no has the word, otherwise the last.

use clap::Args;
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;

use crate::{api::Api, error::Result};

/// Which pods must not stop a drain.
#[derive(Args, Clone, Debug, Default)]
pub struct Filters {
    /// Delete pods that nobody would make anew
    #[arg(long)]
    force: bool,
    /// Leave the pods of daemon sets alone
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Delete pods that have an emptyDir, and its contents
    #[arg(long, alias = "delete-local-data")]
    delete_emptydir_data: bool,
    /// Do not wait for pods that are being deleted for longer than so many seconds
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    skip_wait_for_delete_timeout: i64,
}

/// What a filter says.
enum Verdict {
    /// It may go.
    Okay,
    /// It may go, but people should know.
    Warned(&'static str),
    /// It is left alone.
    Left,
    /// It is left alone, and people should know.
    LeftWarned(&'static str),
    /// The node cannot be drained with it.
    Refused(String),
}

/// What became of all pods.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Those that may go.
    pub deletable: Vec<Value>,
    warned: Vec<(String, Vec<String>)>,
    refused: Vec<(String, Vec<String>)>,
}

impl Verdicts {
    /// Why the node cannot be drained.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.refused.iter().map(|(why, pods)| format!("cannot delete {why}: {}", pods.join(", "))).collect()
    }

    /// What people should know.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let warnings: Vec<String> =
            self.warned.iter().map(|(what, pods)| format!("{what}: {}", pods.join(", "))).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    fn add(&mut self, pod: Value, verdict: Verdict) {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let name = format!("{}/{}", text("namespace"), text("name"));
        match verdict {
            Verdict::Okay => self.deletable.push(pod),
            Verdict::Warned(what) => {
                note(&mut self.warned, what, name);
                self.deletable.push(pod);
            }
            Verdict::Left => {}
            Verdict::LeftWarned(what) => note(&mut self.warned, what, name),
            Verdict::Refused(why) => note(&mut self.refused, &why, name),
        }
    }
}

fn note(notes: &mut Vec<(String, Vec<String>)>, what: &str, pod: String) {
    match notes.iter_mut().find(|(known, _)| known == what) {
        Some((_, pods)) => pods.push(pod),
        None => notes.push((what.to_owned(), vec![pod])),
    }
}

type Filter = for<'a> fn(&'a Filters, &'a Api, &'a Value) -> BoxFuture<'a, Result<Verdict>>;

const FILTERS: [Filter; 5] = [
    |flags, api, pod| daemon_set(flags, api, pod).boxed(),
    |_, _, pod| ready(mirror(pod)),
    |flags, _, pod| ready(local_storage(flags, pod)),
    |flags, _, pod| ready(unreplicated(flags, pod)),
    |flags, _, pod| ready(deleted(flags, pod)),
];

fn ready<'a>(verdict: Option<Verdict>) -> BoxFuture<'a, Result<Verdict>> {
    std::future::ready(Ok(verdict.unwrap_or(Verdict::Okay))).boxed()
}

impl Filters {
    /// Asks every filter about every pod.
    ///
    /// # Errors
    /// When the server refuses to tell of daemon sets.
    pub async fn judge(&self, api: &Api, pods: Vec<Value>) -> Result<Verdicts> {
        let mut verdicts = Verdicts::default();
        for pod in pods {
            let mut verdict = Verdict::Okay;
            for filter in FILTERS {
                let said = filter(self, api, &pod).await?;
                // What was warned of stays said, unless a later filter has something to say.
                verdict = match (said, verdict) {
                    (Verdict::Okay, known @ Verdict::Warned(_)) => known,
                    (said, _) => said,
                };
                if !matches!(verdict, Verdict::Okay | Verdict::Warned(_)) {
                    break;
                }
            }
            verdicts.add(pod, verdict);
        }
        Ok(verdicts)
    }
}

fn controller(pod: &Value) -> Option<&Value> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

async fn daemon_set(flags: &Filters, api: &Api, pod: &Value) -> Result<Verdict> {
    let Some(owner) = controller(pod).filter(|owner| owner["kind"] == "DaemonSet" && !is_over(pod)) else {
        return Ok(Verdict::Okay);
    };
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = owner["name"].as_str().unwrap_or_default();
    match api.get(&format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")).await {
        Ok(_) if flags.ignore_daemonsets => Ok(Verdict::LeftWarned("ignoring DaemonSet-managed Pods")),
        Ok(_) => Ok(Verdict::Refused("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".to_owned())),
        Err(error) if error.is_not_found() && flags.force => {
            Ok(Verdict::Warned("deleting Pods that declare no controller"))
        }
        Err(error) if error.is_not_found() => Ok(Verdict::Refused(format!("{error}"))),
        Err(error) => Err(error),
    }
}

/// Pods that a kubelet has from elsewhere come back whatever is done.
fn mirror(pod: &Value) -> Option<Verdict> {
    pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").map(|_| Verdict::Left)
}

fn local_storage(flags: &Filters, pod: &Value) -> Option<Verdict> {
    let volumes = pod["spec"]["volumes"].as_array()?;
    if is_over(pod) || !volumes.iter().any(|volume| volume.get("emptyDir").is_some()) {
        return None;
    }
    Some(match flags.delete_emptydir_data {
        true => Verdict::Warned("deleting Pods with local storage"),
        false => Verdict::Refused("Pods with local storage (use --delete-emptydir-data to override)".to_owned()),
    })
}

fn unreplicated(flags: &Filters, pod: &Value) -> Option<Verdict> {
    if is_over(pod) || controller(pod).is_some() {
        return None;
    }
    Some(match flags.force {
        true => Verdict::Warned("deleting Pods that declare no controller"),
        false => Verdict::Refused("Pods that declare no controller (use --force to override)".to_owned()),
    })
}

fn deleted(flags: &Filters, pod: &Value) -> Option<Verdict> {
    let since: api_types::jiff::Timestamp = pod["metadata"]["deletionTimestamp"].as_str()?.parse().ok()?;
    let seconds = api_types::jiff::Timestamp::now().as_second() - since.as_second();
    (flags.skip_wait_for_delete_timeout > 0 && seconds > flags.skip_wait_for_delete_timeout).then_some(Verdict::Left)
}
