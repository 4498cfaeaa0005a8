//! `ctl logs`.

use std::io::Write;

use clap::Args;
use futures::AsyncReadExt;

use super::{pods, query};
use crate::{
    api::Api,
    error::{Error, Result},
};

/// Which logs.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// POD or TYPE/NAME
    pod: Option<String>,
    /// CONTAINER
    container_argument: Option<String>,
    /// Container
    #[arg(short, long)]
    container: Option<String>,
    /// Go on as the log grows
    #[arg(short, long)]
    follow: bool,
    /// The container's previous run
    #[arg(short, long)]
    previous: bool,
    /// This many last lines; -1 means all
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    tail: i64,
    /// Not older than this, such as 5m
    #[arg(long, value_parser = component::flags::duration)]
    since: Option<std::time::Duration>,
    /// Not older than this time (RFC 3339)
    #[arg(long)]
    since_time: Option<String>,
    /// Each line's time
    #[arg(long)]
    timestamps: bool,
    /// At most this many bytes
    #[arg(long)]
    limit_bytes: Option<u64>,
    /// Label selector
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such pod or container, or no log yet.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let pods = match (&flags.pod, &flags.selector) {
        (Some(pod), None) => vec![pods::find(api, pod).await?],
        (None, Some(selector)) => pods::select(api, selector).await?,
        _ => return Err(Error::usage("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'")),
    };
    let named = flags.container.as_deref().or(flags.container_argument.as_deref());
    for pod in &pods {
        let container = pods::container(pod, named)?;
        copy(api, flags, pod.metadata.name.as_deref().unwrap_or_default(), &container).await?;
    }
    Ok(())
}

async fn copy(api: &Api, flags: &Flags, pod: &str, container: &str) -> Result<()> {
    let number = |n: u64| n.to_string();
    let yes = |flag: bool| flag.then_some("true");
    let tail = u64::try_from(flags.tail).ok().map(number);
    let (limit, since) = (flags.limit_bytes.map(number), flags.since.map(|since| number(since.as_secs().max(1))));
    let query = query(&[
        ("container", Some(container)),
        ("follow", yes(flags.follow)),
        ("previous", yes(flags.previous)),
        ("timestamps", yes(flags.timestamps)),
        ("tailLines", tail.as_deref()),
        ("limitBytes", limit.as_deref()),
        ("sinceSeconds", since.as_deref()),
        ("sinceTime", flags.since_time.as_deref()),
    ]);
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/log?{query}", api.namespace);
    let mut stream = std::pin::pin!(api.stream(&path, "*/*").await?);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await.map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut out = std::io::stdout();
        // A reader that has seen enough is no error.
        if read == 0 || out.write_all(&buffer[..read]).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}
